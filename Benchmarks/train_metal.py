"""Train the metal network: once for every fold of held-out patients, and once on all.

    python Benchmarks/train_metal.py DATA WORK [--only FOLD] [--epochs N] [--loss ce]

DATA is a folder of series folders, WORK one for crops, checkpoints and models: `WORK/fold-N` and `WORK/all`
are model folders (`networks.model_folder`). `metal_in_streaks.py` scores them. Nothing of a held-out patient,
neither slice nor metal, is in the crops of his fold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Data"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

from DicomAnalysisLib import __version__
from DicomAnalysisLib.networks.architectures import ModelDescription, build_network
from DicomAnalysisLib.networks.card import ModelCard
from DicomAnalysisLib.networks.fit_options import FitOptions, FitProgress, FitResult
from DicomAnalysisLib.networks.fitting import fit
from DicomAnalysisLib.networks.model_folder import save_model
from DicomAnalysisLib.segmentation.training.metal_samples import MetalCrops, MetalSamples
from DicomAnalysisLib.segmentation.training.metal_training import metal_training_sets
from metal_cases import FOLDS, metal_cases, slices_without_metal

SEED, PER_SLICE, PER_CASE, SIZE = 0, 4, 8, 96
VALIDATION = {"chest-rider-neardup", "chest-totalseg-j2k"}
"""Patients by whom the best epoch is chosen; neither trained on nor scored."""
OPTIONS = FitOptions(epochs=18, batch=8, learning_rate=3e-3, patience=8, seed=0, device="cpu", amp=False, classes=2)
DESCRIPTION = ModelDescription(
    name="metal",
    version="1.0.0",
    task="metal in CT, in windows around what may be metal",
    architecture={
        "network": "UNet",
        "spatial_dims": 2,
        "in_channels": 2,
        "out_channels": 2,
        "channels": [12, 24, 48, 96],
        # The first level keeps the full resolution: implants are a few pixels wide.
        "strides": [1, 2, 2],
        "num_res_units": 1,
        "norm": "BATCH",
    },
    input={
        "channels": ["HU/1000 from -1.024 to 3.071", "log2(max(HU, 3071)/3071)/3"],
        "spacing": "as acquired; trained on 0.49 to 0.98 mm",
    },
    output={"classes": ["background", "metal"]},
)


def crops_of(data: Path, work: Path) -> MetalCrops:
    """All crops, made once."""
    cache = work / f"crops-{SEED}-{PER_SLICE}-{PER_CASE}.npz"
    return metal_training_sets(
        slices_without_metal(data), metal_cases(data), SEED, PER_SLICE, PER_CASE, cache, _said("crops of slice")
    )


def _said(what: str) -> object:
    return lambda done, total: print(f"{what} {done} of {total}", flush=True)


def train(crops: MetalCrops, held_out: set[str], folder: Path, options: FitOptions = OPTIONS) -> FitResult:
    """Train without the held-out patients and write a model folder beside the training's own."""
    network = build_network(DESCRIPTION)
    result = fit(
        network,
        MetalSamples(crops.without(held_out | VALIDATION), SEED, SIZE),
        MetalSamples(crops.of(VALIDATION), SEED, SIZE, augment=False),
        options,
        folder.with_name(folder.name + "-training"),
        _told,
        class_names=("metal",),
    )
    card = ModelCard("Scoring of held-out patients." if held_out else "Metal in CT.", program_version=__version__)
    save_model(folder, network, DESCRIPTION, card)
    return result


def _told(progress: FitProgress) -> None:
    if progress.record is not None:
        one = progress.record
        print(
            f"epoch {one.epoch}: loss {one.training_loss:.4f}, validation {one.validation_loss:.4f}, "
            f"Dice {one.score:.4f}, {one.seconds:.0f} s",
            flush=True,
        )


def main() -> None:
    """Train all folds and the final model, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", help="0, 1, … for a fold, or all for the final model")
    parser.add_argument("--epochs", type=int, default=OPTIONS.epochs)
    parser.add_argument("--loss", default=OPTIONS.loss)
    parser.add_argument("--name", help="of the model's folder, for trials")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(OPTIONS.seed)
    arguments.work.mkdir(parents=True, exist_ok=True)
    crops = crops_of(arguments.data, arguments.work)
    options = FitOptions(**{**vars(OPTIONS), "epochs": arguments.epochs, "loss": arguments.loss})
    for name in [*map(str, range(len(FOLDS))), "all"] if arguments.only is None else [arguments.only]:
        held_out = set() if name == "all" else set(FOLDS[int(name)])
        folder = arguments.work / (arguments.name or ("all" if name == "all" else f"fold-{name}"))
        torch.manual_seed(OPTIONS.seed)
        result = train(crops, held_out, folder, options)
        print(f"{folder.name}: best epoch {result.best_epoch}, Dice {result.best_score:.4f}, {result.seconds:.0f} s")


if __name__ == "__main__":
    main()

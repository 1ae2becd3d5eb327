"""Train the metal network that ships.

    python Benchmarks/train_metal.py DATA WORK [--ship] [--loss ce] [--epochs N]

DATA is a folder of series folders, WORK one for crops, checkpoints and the model. The network learns from made
implants in slices of series without metal alone; neither a slice nor a mask of `metal-aapm-ctmar` is in its training,
so that all 14 cases there are held out and the scored model is the shipped one. With `--ship` the model replaces the
one in `networks/models/metal`, with the scores given in WORK/scores.json on its card; `metal_in_streaks.py --scores`
writes them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Data"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

from DicomAnalysisLib import __version__
from DicomAnalysisLib.networks.architectures import ModelDescription, build_network
from DicomAnalysisLib.networks.card import ModelCard, Score, TrainingSet
from DicomAnalysisLib.networks.fit_options import FitOptions, FitProgress, FitResult
from DicomAnalysisLib.networks.fitting import fit
from DicomAnalysisLib.networks.model_folder import SHIPPED, load_model, save_model
from DicomAnalysisLib.segmentation.training.metal_samples import MetalCrops, MetalSamples
from DicomAnalysisLib.segmentation.training.metal_training import metal_training_sets
from metal_cases import slices_without_metal

SEED, PER_SLICE = 0, 32
VALIDATION = {"chest-rider-neardup", "chest-totalseg-j2k"}
"""Patients by whom the best epoch is chosen; neither trained on nor scored."""
OPTIONS = FitOptions(epochs=10, batch=8, learning_rate=4e-3, patience=10, seed=0, device="cpu", amp=False, classes=2)
STAGES = ((96, OPTIONS), (64, replace(OPTIONS, epochs=16, batch=16, learning_rate=3e-3, patience=16)))
"""Size of the samples and options: streaks far around first, then the border of the metal."""
DESCRIPTION = ModelDescription(
    name="metal",
    version="1.1.0",
    task="metal",
    architecture={
        # Unlike MONAI's UNet it works at full resolution at both ends: implants are a few pixels wide.
        "network": "BasicUNet",
        "spatial_dims": 2,
        "in_channels": 3,
        "out_channels": 2,
        "features": [16, 24, 32, 48, 64, 16],
        "norm": "batch",
    },
    input={
        "channels": ["HU/1000 from -1.024 to 3.071", "log2(max(HU, 3071)/3071)/3", "pixel size in mm"],
        "spacing": "as acquired; trained on 0.49 to 0.98 mm",
    },
    output={"classes": ["background", "metal"]},
)
TRAINING_SETS = (
    TrainingSet("abdomen-acrin001-t0", "CC BY 3.0", 1, "TCIA ACRIN-FLT-Breast, doi:10.7937/K9/TCIA.2017.ol20zmxg"),
    TrainingSet("chest-lidc314-implicit", "CC BY 3.0", 1, "TCIA LIDC-IDRI"),
    TrainingSet("chest-rider-neardup", "CC BY 3.0", 1, "TCIA RIDER Pilot", "choice of the best epoch only"),
    TrainingSet("chest-totalseg-j2k", "Apache-2.0", 1, "wasserth/TotalSegmentator", "choice of the best epoch only"),
    TrainingSet("cohort-tcga-luad-single-slices", "CC BY 3.0", 12, "TCIA TCGA-LUAD"),
    TrainingSet("head-ge-tilt-uneven", "BSD-2-Clause", 1, "neurolabusc/dcm_qa_ct"),
    TrainingSet("head-pcir-ge-dental", "public domain", 1, "pcir.org", "slices far from its own metal"),
    TrainingSet("made implants", "Apache-2.0", 0, "", "drawn and scanned in silico by this program"),
)
INTENDED_USE = (
    "Metal (implants, fillings, clips, seeds, wires) in axial CT in Hounsfield units, pixels of 0.5 to 1 mm, drawn at "
    "its true size where blooming and streaks make a threshold draw too much. It decides only in windows around "
    "pieces that the threshold method sees. Research use; look at the result."
)
KNOWN_FAILURES = (
    "Trained and scored on simulated streaks; of real implants only plausibility could be checked.",
    "Very small dense pieces (gold seeds of a few pixels) come out some pixels too large or too small.",
    "Metal that nowhere reaches the end of a 12-bit scale (3000 HU) opens no window and is not found.",
    "Thin metal in real series is in part lost: of sternal wires it draws 0.07 ml where the threshold method draws "
    "0.26 ml (something in 18 of 23 slices), of a biliary stent with lead "
    "wires outside 0.03 of 0.57 ml, of a port with dental metal 0.20 of 0.94 ml. Use the threshold method there.",
    "Wires thinner than a pixel; slices reformatted to other planes; cone-beam CT.",
)


REMARKS = (
    "Version 1.1.0: eight times as many crops as 1.0.0, and metal that fills a part of the slice's thickness. The "
    "weights are those of the script, to the bit. The test cases were scored during development of 1.0.0: mirror "
    "images were added after such a look; epochs were chosen by the validation patients."
)


def crops_of(data: Path, work: Path) -> MetalCrops:
    """All crops, made once."""
    return metal_training_sets(
        slices_without_metal(data),
        (),
        SEED,
        PER_SLICE,
        cache=work / f"crops-{SEED}-{PER_SLICE}.npz",
        report=_said("crops of slice"),
        jobs=2,
    )


def _said(what: str) -> Callable[[int, int], None]:
    return lambda done, total: print(f"{what} {done} of {total}", flush=True)


def train(crops: MetalCrops, folder: Path, loss: str, epochs: int | None) -> FitResult:
    """Train and write a model folder, the training's own beside it."""
    import torch

    torch.manual_seed(OPTIONS.seed)
    network = build_network(DESCRIPTION)
    crops = crops.decidable()
    for stage, (size, options) in enumerate(STAGES):
        result = fit(
            network.train(),
            MetalSamples(crops.without(VALIDATION), SEED + stage, size),
            MetalSamples(crops.of(VALIDATION), SEED, 96, augment=False),
            replace(options, loss=loss, epochs=epochs or options.epochs),
            folder.with_name(f"{folder.name}-training-{stage + 1}"),
            _told,
            class_names=("metal",),
        )
    save_model(folder, network, DESCRIPTION, _card(()))
    return result


def _told(progress: FitProgress) -> None:
    if progress.record is not None:
        one = progress.record
        print(
            f"epoch {one.epoch}: loss {one.training_loss:.4f}, validation {one.validation_loss:.4f}, "
            f"Dice {one.score:.4f}, {one.seconds:.0f} s",
            flush=True,
        )


def _card(scores: tuple[Score, ...]) -> ModelCard:
    return ModelCard(
        INTENDED_USE, TRAINING_SETS, scores, KNOWN_FAILURES, date.today().isoformat(), __version__, remarks=REMARKS
    )


def ship(folder: Path, scores: Path) -> None:
    """Put a model, with its scores on the card, where the program finds it."""
    found = tuple(Score(**one) for one in json.loads(scores.read_text(encoding="utf-8")))
    save_model(SHIPPED / DESCRIPTION.name, load_model(folder).network, DESCRIPTION, _card(found))


def main() -> None:
    """Train, or ship what was trained and scored."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--name", default="metal", help="of the model's folder in WORK, for trials")
    parser.add_argument("--loss", default=OPTIONS.loss)
    parser.add_argument("--epochs", type=int, help="of each stage, for trials")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    folder = arguments.work / arguments.name
    if not (folder / "manifest.json").is_file():
        result = train(crops_of(arguments.data, arguments.work), folder, arguments.loss, arguments.epochs)
        print(f"best epoch {result.best_epoch}, Dice {result.best_score:.4f}, {result.seconds:.0f} s")
    if arguments.ship:
        ship(folder, arguments.work / "scores.json")


if __name__ == "__main__":
    main()

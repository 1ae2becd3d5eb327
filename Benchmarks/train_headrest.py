"""Train the headrest network that ships, and score it on patients it has not seen.

    python Benchmarks/train_headrest.py DATA --work FOLDER [--jobs 2] [--ship]

DATA is a folder of series folders; those with a `reference-patient.npz` are known (the mask is the patient), the
others in OTHERS are labelled by the classical method. Scenes are made once; then one network is trained for each
of FOLDS, of patients that no scene of its training shows (neither their body nor their support), and with `--ship`
one on all. A fold's schedule is fixed and its last weights but for the best of scenes kept back from training
scenes are taken, so that the held-out patients choose nothing. What is there already in FOLDER is not done again.
`Benchmarks/score_headrest_network.py` scores what this script leaves.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Data"))

from DicomAnalysisLib.networks.architectures import build_network
from DicomAnalysisLib.networks.card import ModelCard
from DicomAnalysisLib.networks.fit_options import FitOptions
from DicomAnalysisLib.networks.fitting import fit
from DicomAnalysisLib.networks.model_folder import save_model
from DicomAnalysisLib.segmentation.training.example import Example, headrest_example
from DicomAnalysisLib.segmentation.training.examples import collect_examples
from DicomAnalysisLib.segmentation.training.headrest_samples import HeadrestSamples
from DicomAnalysisLib.segmentation.training.scenes import Scene, make_scene
from DicomAnalysisLib.segmentation.training.tasks import model_description
from known_series import known_series

FOLDS = (
    ("head-ge-tilt-uneven",),
    ("head-pcir-ge-dental",),
    ("abdomen-acrin001-t0", "head-torso-acrin001-t1-port"),
    ("abdomen-cptacpda-biliary-stent",),
    ("chest-lidc314-implicit",),
    ("chest-rider-neardup",),
    ("chest-lungfcp-sternal-wires",),
)
"""Series of one patient, held out together."""
OTHERS = ("cohort-tcga-luad-single-slices", "metal-aapm-ctmar")
SCENES, SCENE_SIZE, SIZE, SEED = 8000, (192, 192), (128, 128), 7
KEPT_BACK = 25
"""Every so many scenes one is kept for validation."""
ALL = len(FOLDS)


def options(epochs: int) -> FitOptions:
    """How every fold and the shipped network are trained."""
    return FitOptions(epochs=epochs, batch=12, learning_rate=2e-3, patience=epochs, seed=SEED, device="cpu", classes=3)


def examples(data: Path) -> list[Example]:
    """All that is learned from."""
    found = [headrest_example(k.volume, k.patient, k.support) for k in known_series(data)]
    for name in OTHERS:
        found += collect_examples(data / name).examples
    return found


def make_scenes(data: Path, work: Path, jobs: int) -> None:
    """Scenes with the patients in them, in one file."""
    path = work / "scenes.npz"
    if path.exists():
        return
    # Every process reads the examples itself: they are large, and would be handed over with every chunk.
    with ProcessPoolExecutor(jobs, initializer=_learn, initargs=(data,)) as pool:
        scenes = list(pool.map(_scene, range(SCENES), chunksize=50))
    patients = [" | ".join(scene.patients) for scene in scenes]
    np.savez(
        path,
        blocks=np.stack([s.blocks for s in scenes]),
        classes=np.stack([s.classes for s in scenes]),
        guess=np.stack([s.guess for s in scenes]),
        patients=np.array(patients),
    )


_learned: list[Example] = []


def _learn(data: Path) -> None:
    _learned.extend(examples(data))


def _scene(number: int) -> Scene:
    return make_scene(_learned, SCENE_SIZE, SEED, number)


def train(data: Path, work: Path, fold: int, epochs: int, per_epoch: int) -> None:
    """One fold, or with `fold` == ALL the network that ships."""
    stored = np.load(work / "scenes.npz")
    held = held_out_patients(data, fold)
    patients = [set(text.split(" | ")) for text in stored["patients"].tolist()]
    usable = [n for n, found in enumerate(patients) if not found & held]
    blocks, classes, guess = stored["blocks"], stored["classes"], stored["guess"]
    kept_back = usable[::KEPT_BACK]
    learned = sorted(set(usable) - set(kept_back))
    training, validation = (
        HeadrestSamples(
            size=SIZE,
            per_epoch=count,
            seed=SEED,
            augment=varied,
            scenes=[Scene(blocks[n], classes[n], guess[n], ()) for n in chosen],
        )
        for chosen, count, varied in ((learned, per_epoch, True), (kept_back, len(kept_back), False))
    )
    description = model_description("headrest")
    folder = work / f"fold-{fold}"
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    network = build_network(description)
    preview = [validation.sample(0, n) for n in range(6)]
    fit(
        network,
        training,
        validation,
        options(epochs),
        folder,
        report=_tell(fold),
        preview=preview,
        resume=(folder / "checkpoint.pt").exists(),
        class_names=description.classes,
        picture_channel=1,
    )
    card = ModelCard(f"Fold {fold} of a cross-validation; not for use.", date=date.today().isoformat())
    save_model(folder / "model", network, description, card)


def held_out_patients(data: Path, fold: int) -> set[str]:
    """Patient IDs that the fold's network must not have seen."""
    if fold == ALL:
        return set()
    import pydicom

    found = set()
    for name in FOLDS[fold]:
        path = next(
            p for p in sorted((data / name).rglob("*")) if p.suffix not in {".txt", ".npz", ".png"} and p.is_file()
        )
        header = pydicom.dcmread(path, stop_before_pixels=True)
        found.add(str(header.get("PatientID", "")))
    return found


def _tell(fold: int) -> object:
    def tell(progress: object) -> None:
        record = getattr(progress, "record", None)
        if record is not None:
            print(
                f"fold {fold}",
                f"epoch {record.epoch} loss {record.training_loss:.3f} score {record.score:.3f}",
                flush=True,
            )

    return tell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--per-epoch", type=int, default=1200)
    parser.add_argument("--ship", action="store_true", help="also train on all patients")
    parser.add_argument("--fold", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.fold is not None:
        train(arguments.data, arguments.work, arguments.fold, arguments.epochs, arguments.per_epoch)
        return
    make_scenes(arguments.data, arguments.work, arguments.jobs)
    wanted = [*range(len(FOLDS)), *([ALL] if arguments.ship else [])]
    wanted = [fold for fold in wanted if not (arguments.work / f"fold-{fold}" / "model" / "manifest.json").exists()]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        list(pool.map(partial(_in_a_process, sys.argv), wanted))


def _in_a_process(command: list[str], fold: int) -> None:
    subprocess.run([sys.executable, *command, "--fold", str(fold)], check=True)


if __name__ == "__main__":
    main()

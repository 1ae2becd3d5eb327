"""Score metal in simulated streaks: held-out patients, beside trivial baselines and the threshold method.

    python Benchmarks/metal_in_streaks.py DATA [MODEL] [--scores FILE]

DATA is a folder of series folders with `metal-aapm-ctmar`, MODEL a model's name or folder (the shipped one if none
is given). The network learns from made implants in other patients' slices (`train_metal.py`), so all cases are held
out. Intervals are 95 % percentile bootstraps over patients (8, not 14: several cases show the same person), with a
fixed seed. Prints Markdown; FILE is what `train_metal.py --ship` puts on the model card.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Data"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.networks.card import Score
from DicomAnalysisLib.networks.model_folder import find_model, load_model
from DicomAnalysisLib.networks.prediction import Predictor
from DicomAnalysisLib.segmentation.metal import Candidates, metal_pieces, metal_threshold
from DicomAnalysisLib.segmentation.network.metal import refine_metal
from DicomAnalysisLib.volume import Volume
from metal_cases import MATERIAL, StreakedCase, streaked_cases

RESAMPLES = 2000
WITHOUT_METAL = (
    "abdomen-acrin001-t0",
    "chest-lidc314-implicit",
    "chest-rider-neardup",
    "chest-totalseg-j2k",
    "head-ge-tilt-uneven",
    "head-philips-phantom-tilt-minus18.5",
    "head-philips-phantom-tilt-plus16.5",
)
Method = Callable[[Volume], np.ndarray]


def empty(volume: Volume) -> np.ndarray:
    """Baseline: no metal."""
    return np.zeros(volume.shape, bool)


def by_threshold(volume: Volume) -> np.ndarray:
    """The classical method: a threshold read off the data, pieces around seeds."""
    candidates = Candidates.of(volume.voxels)
    return _drawn(volume, metal_pieces(candidates, metal_threshold(candidates)))


def above(level: float) -> Method:
    """Baseline: everything above a fixed level."""
    return lambda volume: volume.voxels >= level


def by_network(predictor: Predictor) -> Method:
    """The network in windows around the classical method's pieces."""

    def method(volume: Volume) -> np.ndarray:
        candidates = Candidates.of(volume.voxels)
        spacing = volume.geometry.spacing_kji
        return _drawn(volume, refine_metal(volume.voxels, candidates, metal_threshold(candidates), spacing, predictor))

    return method


def _drawn(volume: Volume, pieces: list[np.ndarray]) -> np.ndarray:
    mask = np.zeros(volume.shape, bool)
    for piece in pieces:
        mask.reshape(-1)[piece] = True
    return mask


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|)."""
    return float(2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth)))


def interval(scores: dict[str, list[float]]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over cases; patients are drawn, with all their cases."""
    rng = np.random.default_rng(0)
    patients = list(scores.values())
    drawn = rng.integers(len(patients), size=(RESAMPLES, len(patients)))
    means = [np.mean(np.concatenate([patients[n] for n in row])) for row in drawn]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def score_streaks(cases: list[StreakedCase], network: Method, images: Callable[[StreakedCase], Volume]) -> Score:
    """Print a row a case, and the means; give the network's score."""
    fixed: dict[str, Method] = {
        "empty mask": empty,
        "2500 HU": above(2500),
        "3000 HU": above(3000),
        "threshold method": by_threshold,
    }
    names = [*fixed, "network"]
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    print(f"\n| case | metal, pixels | material | {' | '.join(names)} |\n|{'---|' * (len(names) + 3)}")
    for case in cases:
        volume = images(case)
        found = [dice(method(volume), case.truth) for method in [*fixed.values(), network]]
        for name, value in zip(names, found, strict=True):
            scores[name].setdefault(case.patient, []).append(value)
        cells = " | ".join(f"{value:.3f}" for value in found)
        print(f"| {case.number} | {np.count_nonzero(case.truth)} | {MATERIAL[case.number]} | {cells} |")
    flat = {name: np.concatenate(list(by.values())) for name, by in scores.items()}
    cells = " | ".join("{:.3f} ({:.3f} to {:.3f})".format(flat[name].mean(), *interval(scores[name])) for name in names)
    print(f"| **mean of {len(cases)} cases, {len(scores[names[0]])} patients** | | | {cells} |")
    print(f"| least | | | {' | '.join(f'{flat[name].min():.3f}' for name in names)} |")
    gain = {
        who: [a - b for a, b in zip(scores[names[-1]][who], scores[names[-2]][who], strict=True)]
        for who in scores[names[0]]
    }
    low, high = interval(gain)
    mean = np.mean(np.concatenate(list(gain.values())))
    print(f"\nNetwork less threshold method: {mean:.3f} ({low:.3f} to {high:.3f}).")
    low, high = interval(scores[names[-1]])
    return Score(
        "mean Dice of metal",
        f"{len(cases)} AAPM CT-MAR slices of {len(gain)} patients, none of them trained on",
        round(float(flat[names[-1]].mean()), 4),
        round(low, 4),
        round(high, 4),
        0.95,
        {name: round(float(flat[name].mean()), 4) for name in names[:-1]},
    )


def score_false_voxels(data: Path, cases: list[StreakedCase], network: Method) -> None:
    """Print what is called metal where none is."""
    print("\n| without metal | threshold method | network |\n|---|---|---|")
    for name in WITHOUT_METAL:
        volume = read_volume(data / name)
        print(f"| {name} | {by_threshold(volume).sum()} | {network(volume).sum()} |")
    for case in cases:
        counts = by_threshold(case.empty).sum(), network(case.empty).sum()
        print(f"| case {case.number}, metal removed | {counts[0]} | {counts[1]} |")


def main() -> None:
    """Score everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", nargs="?", default="metal")
    parser.add_argument("--scores", type=Path)
    arguments = parser.parse_args()
    cases = streaked_cases(arguments.data)
    network = by_network(Predictor(load_model(find_model(arguments.model)), "cpu"))
    print("A copied neighbouring slice cannot be scored: every case is a single slice.")
    print("\n## In streaks")
    streaked = score_streaks(cases, network, lambda case: case.streaked)
    print("\n## As published, without streaks")
    plain = score_streaks(cases, network, lambda case: case.plain)
    print("\n## Without metal")
    score_false_voxels(arguments.data, cases, network)
    if arguments.scores is not None:
        named = [replace(streaked, name="mean Dice of metal in simulated streaks"), plain]
        arguments.scores.write_text(json.dumps([asdict(one) for one in named], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()

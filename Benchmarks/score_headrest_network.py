"""Score the headrest network on patients it has not seen, beside the classical method and trivial answers.

    python Benchmarks/score_headrest_network.py DATA --work FOLDER [--made 4] [--json FILE]

FOLDER is what `train_headrest.py` left: a network for each fold of held-out patients. Two tables, in Markdown:
the series with a reference mask, scored as `score_series.py` does, and composites in contact, whose truth is known
by construction: a held-out patient, and a support that no training has shown (a scanner's, or a made one).
Intervals are 95 % percentile bootstraps over patients.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Data"))

from contact_cases import ContactCase, KnownSeries, cases
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.segmentation.analysis import Analysis
from DicomAnalysisLib.segmentation.network.grid import network_grid
from DicomAnalysisLib.segmentation.network.headrest import CERTAIN, NetworkView, draw_view, owned
from DicomAnalysisLib.segmentation.training.scenes import SUPPORT_SHARE
from DicomAnalysisLib.volume import Volume
from known_series import known_series, unseen_supports
from score_series import interval, targets
from train_headrest import FOLDS

Row = tuple[str, str, str, dict[str, float]]
"""Kind of case, patient, method, scores."""


def methods(model: Path) -> dict[str, Callable[[Volume], np.ndarray]]:
    """What is compared; `model` is the fold's network."""

    def ours(method: str) -> Callable[[Volume], np.ndarray]:
        options = SegmentationOptions(tasks=("headrest",), method=method, device="cpu", models=(str(model),))
        return lambda volume: segment(volume, options).segment("Headrest").mask

    return {
        "network": ours("network"),
        "classical": ours("classical"),
        "empty mask": lambda volume: np.zeros(volume.shape, bool),
    }


def neighbouring_slice(truth: np.ndarray) -> np.ndarray:
    """Every slice's truth taken from the slice before: what slices alone give away."""
    return np.concatenate([truth[1:2], truth[:-1]]) if len(truth) > 1 else np.zeros_like(truth)


def drawn_from_truth(case: ContactCase) -> np.ndarray:
    """The border as it is drawn where the network's answer is the truth: the most that blocks can give."""
    volume = case.volume
    analysis = Analysis(volume, SegmentationOptions(tasks=("headrest",)), lambda _share, _stage: None)
    grid = network_grid(volume.shape, volume.geometry)
    patient, support = (
        np.rint(grid.block_means(mask * np.int16(1000), floor=0) * (CERTAIN / 1000)).astype(int)
        for mask in (case.truth.patient, case.truth.support)
    )
    # As in training: a block of which a third is support, and not more is patient, is support.
    support = np.where((support >= SUPPORT_SHARE * CERTAIN) & (support > patient), np.maximum(support, 140), support)
    patient = np.where(support > patient, CERTAIN - support, patient)
    means = grid.block_means(volume.voxels)
    view = NetworkView(grid, np.arange(grid.shape[0]), patient.astype(np.uint8), support.astype(np.uint8), means)
    whose = owned(view, analysis.levels, np.zeros(grid.shape, np.uint8))
    return draw_view(volume.voxels, view, whose, analysis.levels, np.zeros(volume.shape, bool))


def score_fold(data: Path, work: Path, made: int, fold: int) -> list[Row]:
    """All scores of one fold's held-out series."""
    import torch

    torch.set_num_threads(1)
    held = known_series(data, FOLDS[fold])
    compared = methods(work / f"fold-{fold}" / "model")
    rows: list[Row] = []
    for series in held:
        rows += _real_rows(series, compared)
    for case in cases(held, unseen_supports(data), made=made, seed=fold):
        answers = {name: method(case.volume) for name, method in compared.items()}
        answers["neighbouring slice"] = neighbouring_slice(case.truth.support)
        answers["truth in blocks"] = drawn_from_truth(case)
        for name, mask in answers.items():
            rows.append((f"composite, {case.kind}", case.volume.identity.patient_id, name, case.scores(mask)))
            print(f"| {case.name} | {name} | {_text(rows[-1][3])} |", file=sys.stderr, flush=True)
    return rows


def _real_rows(series: KnownSeries, compared: dict[str, Callable[[Volume], np.ndarray]]) -> list[Row]:
    inside, support = targets(series.volume, series.patient)
    answers = {name: method(series.volume) for name, method in compared.items()}
    answers["neighbouring slice"] = neighbouring_slice(support)
    rows = []
    for name, mask in answers.items():
        scores = {
            "support_found": np.count_nonzero(mask & support) / max(1, np.count_nonzero(support)),
            "patient_lost_ppm": 1e6 * np.count_nonzero(mask & inside) / np.count_nonzero(series.patient),
        }
        rows.append(("series", series.patient_id, name, scores))
        print(f"| {series.name} | {name} | {_text(scores)} |", file=sys.stderr, flush=True)
    return rows


def _text(scores: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in scores.items())


def summary(rows: list[Row]) -> list[dict[str, object]]:
    """Mean over patients with its interval, and the worst case, for every kind, method and score."""
    grouped: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for kind, patient, method, scores in rows:
        for name, value in scores.items():
            grouped[kind, method, name][patient].append(value)
    out = []
    for (kind, method, name), patients in grouped.items():
        means = [float(np.mean(values)) for values in patients.values()]
        low, high = interval(means)
        every = [value for values in patients.values() for value in values]
        worst = max(every) if name.endswith("ppm") else min(every)
        out.append(
            {"kind": kind, "method": method, "score": name, "mean": float(np.mean(means)), "low": low, "high": high}
            | {"worst": worst, "patients": len(means), "cases": len(every)}
        )
    return out


def main() -> None:
    """Score every fold and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--made", type=int, default=4, help="composites with a made support for each series")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        parts = pool.map(partial(score_fold, arguments.data, arguments.work, arguments.made), range(len(FOLDS)))
        table = summary([row for part in parts for row in part])
    print("| cases | method | score | mean over patients (95 % interval) | worst | patients, cases |")
    print("|---|---|---|---|---|---|")
    for row in table:
        mean = f"{row['mean']:.4g} ({row['low']:.4g} to {row['high']:.4g})"
        count = f"{row['patients']}, {row['cases']}"
        print(f"| {row['kind']} | {row['method']} | {row['score']} | {mean} | {row['worst']:.4g} | {count} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()

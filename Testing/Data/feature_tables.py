"""Feature tables of made cohorts, with clusters, labels or leaks planted in them."""

from __future__ import annotations

import numpy as np
from DicomAnalysisLib.cohort.features.table import FeatureTable


def make_table(values: np.ndarray, tags: dict | None = None, per_patient: int = 2, sources: dict | None = None):
    """A table of made series; so many in turn are of one patient."""
    count = len(values)
    return FeatureTable(
        tuple(f"1.2.3.{k}" for k in range(count)),
        tuple(f"P{k // per_patient:05d}" for k in range(count)),
        tuple(f"feature {k}" for k in range(values.shape[1])),
        values,
        tags or {},
        sources or {},
        recipe_hash="made",
    )


def planted(kind: str, count: int, features: int = 512, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values and the planted cluster of each row (-1 for noise).

    Parameters
    ----------
    kind : str
        "separated": eight clusters of one width; "unequal": eight of widths 0.5 to 2 and sizes 6 to 24 %, with
        5 % of noise over the whole space; "none": one cloud.
    count, features : int
    seed : int
    """
    random = np.random.default_rng(seed)
    if kind == "none":
        return random.normal(size=(count, features)).astype(np.float32), np.zeros(count, np.int64)
    if kind == "separated":
        centres = random.normal(0, 1, (8, features))
        labels = random.integers(0, 8, count)
        return (centres[labels] + random.normal(size=(count, features))).astype(np.float32), labels
    shares = np.array([0.24, 0.18, 0.14, 0.12, 0.10, 0.09, 0.07, 0.06])
    widths = np.geomspace(0.5, 2.0, 8)[random.permutation(8)]
    centres = random.normal(0, 0.5, (8, features))
    labels = random.choice(8, count, p=shares)
    values = centres[labels] + random.normal(size=(count, features)) * widths[labels][:, None]
    noise = random.permutation(count)[: count // 20]
    labels[noise] = -1
    values[noise] = random.uniform(-6, 6, (len(noise), features))
    return values.astype(np.float32), labels

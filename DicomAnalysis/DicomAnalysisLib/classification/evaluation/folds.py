"""Folds inside training: every patient in one, those with the class spread evenly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FOLDS = 5


def patient_folds(truth: np.ndarray, patients: Sequence[str] | np.ndarray, seed: int) -> np.ndarray:
    """The fold of each case, 0 to 4.

    Parameters
    ----------
    truth : array of 0 and 1, (cases,)
    patients : sequence of str
    seed : int

    Returns
    -------
    int array, (cases,)
        Cases of a patient are in one fold; patients with a positive case are dealt out before the others.
    """
    names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    positive = np.bincount(index, np.asarray(truth) == 1, len(names)) > 0
    order = np.lexsort((np.random.default_rng(seed).random(len(names)), ~positive))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % FOLDS
    return fold[index]

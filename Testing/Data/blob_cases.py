"""Tiny prepared cases in memory, whose truth is known: a bright blob somewhere in noise, or none.

They stand where `classification.dataset.CohortDataset` stands in a training: `sample(i)` gives the images of a case
with its labels.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from DicomAnalysisLib.classification.cohort import Target

FINDING = Target("finding", "binary", ("normal", "abnormal"))
PLACES = Target("place", "multilabel", ("first", "second", "third"))
SIDE = Target("side", "multiclass", ("none", "upper", "lower"))


class BlobCases:
    """Cases with a blob in half of them.

    Parameters
    ----------
    count, seed : int
    shape : tuple of int
        Views, slices, rows, columns.
    targets : tuple of Target
        Of `FINDING`, `PLACES` (the view or third of the slices it is in) and `SIDE` (half of the rows it is in).
    missing : float
        Share of the views that are missing.
    """

    def __init__(self, count, seed, shape=(1, 8, 32, 32), targets=(FINDING,), missing=0.0, size=3):
        self.count, self.seed, self.shape, self.targets, self.missing, self.size = (
            count,
            seed,
            shape,
            targets,
            missing,
            size,
        )
        self.case_ids = tuple(f"{seed}-{index}" for index in range(count))

    def __len__(self):
        return self.count

    def sample(self, index):
        random = np.random.default_rng((self.seed, index))
        views, slices, rows, columns = self.shape
        images = random.normal(0.4, 0.05, self.shape).astype(np.float32)
        images[..., :2, :] = 0.0  # background
        present = (random.random(views) >= self.missing).astype(np.float32)
        if not present.any():
            present[0] = 1
        abnormal, third, lower = index % 2, int(random.integers(3)), int(random.integers(2))
        if abnormal:
            size = self.size
            k = 0 if slices == 1 else int((third + random.random()) * slices / 3)
            j = rows // 2 * lower + int(random.integers(2, rows // 2 - size))
            i = int(random.integers(2, columns - size - 2))
            depth = slice(max(0, k - 1), k + 2)
            for view in range(views):
                place = (i + 5 * third + view) % (columns - size)
                images[view, depth, j : j + size, place : place + size] += 0.6
        images *= present[:, None, None, None]
        labels = {
            "finding": np.array([abnormal]),
            "place": np.eye(3, dtype=int)[third] * abnormal,
            "side": np.array([(1 + lower) * abnormal]),
        }
        return SimpleNamespace(
            case_id=self.case_ids[index],
            images=images,
            present=present,
            labels={target.name: labels[target.name] for target in self.targets},
        )

"""Prepared pictures of several findings at once: a square, a disc and a cross, each there or not, in noise.

They stand where `classification.dataset.CohortDataset` stands in a training, and know where each shape is.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from DicomAnalysisLib.classification.cohort import Target

SHAPES = ("square", "disc", "cross")
ANY = Target("any", "binary", ("no", "yes"))
WHICH = Target("which", "multilabel", SHAPES)
LARGEST = Target("largest", "multiclass", ("none", *SHAPES))
SIZE = 64
PREVALENCE = 0.45


class ShapePictures:
    """Pictures (1 view, 1 slice, `SIZE`, `SIZE`) with labels of `ANY`, `WHICH` and `LARGEST`.

    Parameters
    ----------
    count, seed : int
    """

    def __init__(self, count, seed):
        self.count, self.seed = count, seed
        self.case_ids = tuple(f"{seed}-{index}" for index in range(count))

    def __len__(self):
        return self.count

    def sample(self, index):
        """As `CohortDataset.sample`, with ``places``: row, column and radius by the shape's name."""
        random = np.random.default_rng((self.seed, index))
        picture = random.normal(0.4, 0.08, (SIZE, SIZE)).astype(np.float32)
        quarters = random.permutation(4)
        half, places = SIZE // 2, {}
        rows, columns = np.mgrid[:SIZE, :SIZE]
        for shape, quarter in zip(SHAPES, quarters, strict=False):
            if random.random() >= PREVALENCE:
                continue
            radius = int(random.integers(SIZE // 10, SIZE // 7))
            corner = np.array([quarter // 2, quarter % 2]) * half
            row, column = corner + random.integers(radius + 1, half - radius - 1, 2)
            dy, dx = np.abs(rows - row), np.abs(columns - column)
            inside = {
                "square": (np.maximum(dy, dx) <= radius) & (np.maximum(dy, dx) >= radius - 2),
                "disc": dy**2 + dx**2 <= radius**2,
                "cross": (np.minimum(dy, dx) <= 1) & (np.maximum(dy, dx) <= radius),
            }
            picture[inside[shape]] += 0.45
            places[shape] = (int(row), int(column), radius)
        largest = max(places, key=lambda shape: places[shape][2]) if places else "none"
        labels = {
            ANY.name: np.array([int(bool(places))]),
            WHICH.name: np.array([int(shape in places) for shape in SHAPES]),
            LARGEST.name: np.array([LARGEST.classes.index(largest)]),
        }
        present = np.ones(1, np.float32)
        return SimpleNamespace(
            case_id=self.case_ids[index], images=picture[None, None], present=present, labels=labels, places=places
        )

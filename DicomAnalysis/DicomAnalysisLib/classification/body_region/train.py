"""Training of the body-region network: balanced over regions, then over patients, on augmented slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UsageError
from ...networks.architectures import ModelDescription, build_network
from .augmentation import augment, empty_scenes, windowed
from .grid import CELL_MM, CELLS, WINDOWS_HU
from .labels import REGIONS
from .made_slices import made_slices
from .network import MODEL

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

VERSION = "1.0.0"
MADE_REGIONS = ("neck", "pelvis", "limb")
MADE_PATIENTS, MADE_SLICES = 4, 30
"""Made slices count as this many patients of this many slices each, in each of these regions."""


@dataclass(frozen=True)
class RegionExamples:
    """Slices whose region is known.

    Attributes
    ----------
    cells : array of shape (slices, CELLS, CELLS)
        What `grid.slice_cells` gives, HU.
    regions : array of int, shape (slices,)
        Index in `labels.REGIONS`.
    patients : array of str, shape (slices,)
        Slices of one patient are never on both sides of a split.
    """

    cells: np.ndarray
    regions: np.ndarray
    patients: np.ndarray

    def of(self, chosen: np.ndarray) -> RegionExamples:
        """Some of the slices, by a mask."""
        return RegionExamples(self.cells[chosen], self.regions[chosen], self.patients[chosen])


@dataclass(frozen=True)
class RegionFit:
    """How long and how fast to learn."""

    steps: int = 260
    batch: int = 48
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    none_share: float = 0.08
    seed: int = 0


def describe(temperature: float = 1.0) -> ModelDescription:
    """The network: MONAI's ``Classifier``, four convolutions that halve, and one linear layer."""
    architecture = {
        "network": "Classifier",
        "in_shape": [len(WINDOWS_HU), CELLS // 2, CELLS // 2],
        "classes": len(REGIONS),
        "channels": [16, 32, 48, 64],
        "strides": [2, 2, 2, 2],
        "kernel_size": 3,
        "num_res_units": 0,
        "act": "RELU",
        "norm": "BATCH",
    }
    seen = {"modality": "CT", "cells": CELLS, "cell_mm": CELL_MM, "windows_hu": [list(one) for one in WINDOWS_HU]}
    output = {"classes": list(REGIONS), "temperature": temperature}
    return ModelDescription(MODEL, VERSION, MODEL, architecture, seen, output)


def fit_regions(
    examples: RegionExamples, fit: RegionFit | None = None, report: Callable[[int, float], None] | None = None
) -> Module:
    """Train the network; the same examples and seed give the same weights.

    Parameters
    ----------
    examples : RegionExamples
    fit : RegionFit, optional
    report : callable, optional
        Told the step and the loss.

    Raises
    ------
    UsageError
        If there are fewer than two regions.
    """
    import torch
    from torch.nn.functional import cross_entropy

    fit = fit or RegionFit()
    if len(np.unique(examples.regions)) < 2:
        msg = "Slices of at least two body regions are needed to learn to tell them apart."
        raise UsageError(msg)
    rng = np.random.default_rng(fit.seed)
    torch.manual_seed(fit.seed)
    network = build_network(describe())
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=fit.learning_rate, weight_decay=fit.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, fit.learning_rate, total_steps=fit.steps)
    examples = _with_made(examples, fit.seed)
    weights = sampling_weights(examples)
    for step in range(fit.steps):
        cells, regions = _batch(examples, weights, fit, rng)
        loss = cross_entropy(network(windowed(cells)), regions, label_smoothing=fit.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if report is not None:
            report(step + 1, loss.item())
    return network.eval()


def _with_made(examples: RegionExamples, seed: int) -> RegionExamples:
    cells, regions, patients = [examples.cells], [examples.regions], [examples.patients]
    for region in MADE_REGIONS:
        for number in range(MADE_PATIENTS):
            cells.append(made_slices(region, MADE_SLICES, seed + number).astype(examples.cells.dtype))
            regions.append(np.full(MADE_SLICES, REGIONS.index(region)))
            patients.append(np.full(MADE_SLICES, f"made {number}"))
    return RegionExamples(np.concatenate(cells), np.concatenate(regions), np.concatenate(patients))


def sampling_weights(examples: RegionExamples) -> np.ndarray:
    """How often each slice is drawn: regions alike, in a region patients alike, in a patient slices alike."""
    pairs = np.array(
        [f"{region} {patient}" for region, patient in zip(examples.regions, examples.patients, strict=True)]
    )
    _, which, slices = np.unique(pairs, return_inverse=True, return_counts=True)
    patients = {region: len(set(examples.patients[examples.regions == region])) for region in set(examples.regions)}
    weights = 1 / slices[which] / np.array([patients[region] for region in examples.regions])
    return weights / weights.sum()


def _batch(
    examples: RegionExamples, weights: np.ndarray, fit: RegionFit, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    import torch

    scenes = max(1, round(fit.batch * fit.none_share))
    drawn = rng.choice(len(weights), fit.batch - scenes, p=weights)
    real = augment(torch.from_numpy(examples.cells[drawn].astype(np.float32)), rng)
    made = augment(torch.from_numpy(empty_scenes(scenes, rng)), rng)
    regions = np.concatenate([examples.regions[drawn], np.full(scenes, REGIONS.index("none"))])
    return torch.cat([real, made]), torch.from_numpy(regions.astype(np.int64))

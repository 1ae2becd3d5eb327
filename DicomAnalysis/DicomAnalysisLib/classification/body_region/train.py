"""Training of the body-region network: balanced over regions, then over patients, on augmented slices."""

from __future__ import annotations

from collections.abc import Callable, Collection
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
    from torch.nn import Module

VERSION = "1.1.0"
MADE_REGIONS = ("neck", "pelvis", "limb")
MADE_PATIENTS, MADE_SLICES = 4, 60
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
class RegionPool:
    """Augmented slices as the network sees them, made once for all trainings.

    Attributes
    ----------
    images : array of float16, shape (slices, windows, CELLS / 2, CELLS / 2)
    regions, patients : array, shape (slices,)
        As in `RegionExamples`; made slices are of patients of their own.
    """

    images: np.ndarray
    regions: np.ndarray
    patients: np.ndarray


@dataclass(frozen=True)
class RegionFit:
    """How long and how fast to learn."""

    steps: int = 300
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
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


def make_pool(examples: RegionExamples, count: int = 8000, seed: int = 0, batch: int = 100) -> RegionPool:
    """Augment real and made slices: regions alike, in a region patients alike, in a patient slices alike.

    Parameters
    ----------
    examples : RegionExamples
    count : int
        How many slices.
    seed, batch : int
    """
    import torch

    rng = np.random.default_rng(seed)
    examples = _with_made(examples, rng)
    weights = sampling_weights(examples.regions, examples.patients)
    drawn = rng.choice(len(weights), count, p=weights)
    images = []
    for start in range(0, count, batch):
        cells = torch.from_numpy(examples.cells[drawn[start : start + batch]].astype(np.float32))
        images.append(windowed(augment(cells, rng)).numpy().astype(np.float16))
    return RegionPool(np.concatenate(images), examples.regions[drawn], examples.patients[drawn])


def fit_regions(
    pool: RegionPool,
    fit: RegionFit | None = None,
    without: Collection[str] = (),
    report: Callable[[int, float], None] | None = None,
) -> Module:
    """Train the network; the same pool and seed give the same weights.

    Parameters
    ----------
    pool : RegionPool
    fit : RegionFit, optional
    without : collection of str
        Patients that are left out.
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
    used = np.flatnonzero(~np.isin(pool.patients, list(without)))
    if len(np.unique(pool.regions[used])) < 2:
        msg = "Slices of at least two body regions are needed to learn to tell them apart."
        raise UsageError(msg)
    rng = np.random.default_rng(fit.seed)
    torch.manual_seed(fit.seed)
    network = build_network(describe())
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=fit.learning_rate, weight_decay=fit.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, fit.learning_rate, total_steps=fit.steps)
    weights = sampling_weights(pool.regions[used], pool.patients[used])
    for step in range(fit.steps):
        drawn = used[rng.choice(len(used), fit.batch, p=weights)]
        images = torch.from_numpy(pool.images[drawn].astype(np.float32))
        regions = torch.from_numpy(pool.regions[drawn].astype(np.int64))
        loss = cross_entropy(network(images), regions, label_smoothing=fit.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if report is not None:
            report(step + 1, loss.item())
    return network.eval()


def sampling_weights(regions: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """How often each slice is drawn: regions alike, in a region patients alike, in a patient slices alike."""
    pairs = np.array([f"{region} {patient}" for region, patient in zip(regions, patients, strict=True)])
    _, which, slices = np.unique(pairs, return_inverse=True, return_counts=True)
    of_region = {region: len(set(patients[regions == region])) for region in set(regions.tolist())}
    weights = 1 / slices[which] / np.array([of_region[region] for region in regions.tolist()])
    return weights / weights.sum()


def _with_made(examples: RegionExamples, rng: np.random.Generator) -> RegionExamples:
    cells, regions, patients = [examples.cells], [examples.regions], [examples.patients]
    for region in (*MADE_REGIONS, "none"):
        for number in range(MADE_PATIENTS):
            made = empty_scenes(MADE_SLICES, rng) if region == "none" else made_slices(region, MADE_SLICES, rng)
            cells.append(made.astype(examples.cells.dtype))
            regions.append(np.full(MADE_SLICES, REGIONS.index(region)))
            patients.append(np.full(MADE_SLICES, f"made {number}"))
    return RegionExamples(np.concatenate(cells), np.concatenate(regions), np.concatenate(patients))

"""The loss of every head: the one that belongs to it, with weights for rare classes or focal.

A loss is not chosen freely. The seed of many a wrong result is a categorical cross-entropy on a single sigmoid, which
is zero whatever the network says; here the target's kind decides, and another loss is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError
from .cohort import BINARY, MULTICLASS, Target
from .heads import Head, Heads

if TYPE_CHECKING:
    import torch

BINARY_CROSS_ENTROPY = "binary cross-entropy with logits"
CATEGORICAL_CROSS_ENTROPY = "categorical cross-entropy"

BALANCES = ("weights", "focal", "none")
"""What is done about rare classes: weights, focal loss (Lin et al. 2017) or nothing."""

LARGEST_WEIGHT = 20.0
FOCUS = 2.0
UNKNOWN = -1
"""A label that is not known counts nothing."""


def loss_name(head: Head) -> str:
    """The loss that belongs to a head."""
    return CATEGORICAL_CROSS_ENTROPY if head.target.kind == MULTICLASS else BINARY_CROSS_ENTROPY


def require_matching(head: Head, name: str) -> None:
    """Refuse a loss that does not belong to a head.

    Raises
    ------
    UsageError
        If it does not.
    """
    if name != loss_name(head):
        msg = (
            f"The {head.target.kind} label '{head.target.name}' has {head.outputs} output(s) with a {head.activation}; "
            f"its loss is {loss_name(head)}, not {name}."
        )
        raise UsageError(msg)


def class_weights(target: Target, labels: np.ndarray) -> np.ndarray:
    """What a case of each class counts, so that classes weigh alike; `LARGEST_WEIGHT` at most.

    Parameters
    ----------
    target : Target
    labels : int array, (cases, columns)
        Of the training part alone.

    Returns
    -------
    float64 array
        Binary: the weight of a positive case, (1,). Multi-label: of a positive of each class, (classes,).
        Multi-class: of each class, (classes,), 1 on average over the cases.
    """
    labels = np.asarray(labels).reshape(-1, target.columns)
    if target.kind == MULTICLASS:
        counts = np.bincount(labels[labels >= 0].astype(np.int64), minlength=len(target.classes)).astype(np.float64)
        weights = counts.sum() / np.maximum(counts, 1) / max(1, np.count_nonzero(counts))
        weights = np.where(counts > 0, np.clip(weights, 1 / LARGEST_WEIGHT, LARGEST_WEIGHT), 1.0)
        return weights * counts.sum() / max(1.0, float((weights * counts).sum()))
    positives, negatives = (labels == 1).sum(0), (labels == 0).sum(0)
    weights = np.where(positives > 0, negatives / np.maximum(positives, 1), 1.0)
    return np.clip(weights, 1 / LARGEST_WEIGHT, LARGEST_WEIGHT)


class HeadsLoss:
    """The sum of the heads' losses, each a mean over the cases whose label is known.

    Parameters
    ----------
    heads : Heads
    weights : mapping of str to array
        By target, as `class_weights` gives them; empty for none.
    focal : bool
        Let cases that are told well count less.
    names : mapping of str to str, optional
        Losses that the caller wants by target; anything but the matching one is refused.
    """

    def __init__(
        self,
        heads: Heads,
        weights: Mapping[str, np.ndarray] | None = None,
        focal: bool = False,
        names: Mapping[str, str] | None = None,
    ):
        for head in heads:
            require_matching(head, (names or {}).get(head.target.name, loss_name(head)))
        self.heads, self.weights, self.focal = heads, dict(weights or {}), focal

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss.

        Parameters
        ----------
        logits : float32 Tensor, (cases, outputs)
        labels : int64 Tensor, (cases, label columns of all targets)
            As `label_table` puts them side by side.
        """
        total, start = logits.new_zeros(()), 0
        for head in self.heads:
            columns = head.target.columns
            total = total + self._of(head, logits[:, head.place], labels[:, start : start + columns])
            start += columns
        return total

    def _of(self, head: Head, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn import functional

        weights = self.weights.get(head.target.name)
        weights = None if weights is None else torch.as_tensor(weights, dtype=logits.dtype, device=logits.device)
        known = labels >= 0
        if head.target.kind == MULTICLASS:
            chosen = labels[:, 0].clamp(min=0)
            each = functional.cross_entropy(logits, chosen, reduction="none")
            scale = known[:, 0].to(logits.dtype)
            if self.focal:
                each = each * (1 - torch.exp(-each)) ** FOCUS
            if weights is not None:
                scale = scale * weights[chosen]
            return (each * scale).sum() / scale.sum().clamp(min=1e-6)
        truth = labels.clamp(min=0).to(logits.dtype)
        each = functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=weights, reduction="none")
        if self.focal:
            wrong = torch.sigmoid(torch.where(truth > 0, -logits, logits))
            each = each * wrong**FOCUS
        return (each * known).sum() / known.sum().clamp(min=1)


def make_loss(heads: Heads, balance: str, weights: Mapping[str, np.ndarray]) -> HeadsLoss:
    """The loss of a training with one of `BALANCES`; weights come from the training part alone."""
    return HeadsLoss(heads, weights if balance == "weights" else None, focal=balance == "focal")


def prior_shifts(heads: Heads, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """What to add to the logits of a network that was trained with weights, (outputs,).

    A weight w moves the best logit by log w: the network would call rare things more likely than they are.
    """
    shifts = np.zeros(heads.outputs)
    for head in heads:
        if head.target.name in weights:
            shifts[head.place] = -np.log(weights[head.target.name])
    return shifts


def label_table(heads: Heads, labels: Mapping[str, np.ndarray]) -> np.ndarray:
    """The labels of one case side by side, int64 (label columns of all targets)."""
    parts = []
    for head in heads:
        own = labels.get(head.target.name)
        parts.append(np.full(head.target.columns, UNKNOWN) if own is None else np.asarray(own).reshape(-1))
    return np.concatenate(parts).astype(np.int64)


def indicators(head: Head, table: np.ndarray, start: int) -> np.ndarray:
    """0/1 per class, (cases, classes), of one head's columns in a table of labels; -1 where it is not known."""
    labels = table[:, start : start + head.target.columns]
    if head.target.kind in (BINARY, MULTICLASS):
        found = (labels == np.arange(len(head.target.classes))).astype(np.int64)
        return np.where(labels < 0, UNKNOWN, found)
    return labels

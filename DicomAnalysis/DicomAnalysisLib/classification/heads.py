"""What a network's outputs mean: one head for each target, each with the one loss that belongs to it.

A binary target has one logit and a sigmoid, a multi-class target one logit a class and a softmax, a multi-label target
one logit a class and a sigmoid each. The heads' logits stand side by side in one tensor (cases, outputs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from .cohort import BINARY, MULTICLASS, Target

SIGMOID, SOFTMAX = "sigmoid", "softmax"


@dataclass(frozen=True)
class Head:
    """One target's place among the outputs.

    Parameters
    ----------
    target : Target
    start : int
        Its first output.
    """

    target: Target
    start: int = 0

    @property
    def outputs(self) -> int:
        """How many logits it has; a binary target has one."""
        return 1 if self.target.kind == BINARY else len(self.target.classes)

    @property
    def activation(self) -> str:
        """``softmax`` where exactly one class of several is true, else ``sigmoid``."""
        return SOFTMAX if self.target.kind == MULTICLASS else SIGMOID

    @property
    def place(self) -> slice:
        """Its outputs among all."""
        return slice(self.start, self.start + self.outputs)

    @property
    def judged(self) -> tuple[str, ...]:
        """Classes whose score is told: of a binary target the positive one alone."""
        return self.target.classes[1:] if self.target.kind == BINARY else self.target.classes

    def output_of(self, class_index: int) -> int:
        """The output that speaks for a class; of a binary target always the only one."""
        return self.start + (0 if self.target.kind == BINARY else class_index)

    def probabilities(self, logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Of every class, float64 (cases, classes); of a binary target both.

        Parameters
        ----------
        logits : array, (cases, all outputs)
        temperature : float
            Divides the logits; above 1 is less sure.
        """
        own = np.asarray(logits, np.float64)[:, self.place] / temperature
        if self.activation == SOFTMAX:
            raised = np.exp(own - own.max(axis=1, keepdims=True))
            return raised / raised.sum(axis=1, keepdims=True)
        positive = np.exp(-np.logaddexp(0.0, -own))
        if self.target.kind == BINARY:
            return np.concatenate([np.exp(-np.logaddexp(0.0, own)), positive], axis=1)
        return positive


class Heads(Sequence[Head]):
    """The heads of a model, in the order of its targets.

    Parameters
    ----------
    targets : sequence of Target
    """

    def __init__(self, targets: Sequence[Target]):
        self._heads: list[Head] = []
        for target in targets:
            self._heads.append(Head(target, self.outputs))

    @property
    def outputs(self) -> int:
        """Logits of all heads together."""
        return sum(head.outputs for head in self._heads)

    def __len__(self) -> int:
        return len(self._heads)

    def __getitem__(self, index: int) -> Head:
        return self._heads[index]

    def __iter__(self) -> Iterator[Head]:
        return iter(self._heads)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is told."""
        return tuple(head.target for head in self._heads)

    @property
    def judged(self) -> tuple[str, ...]:
        """Names of all classes that are scored, for histories and curves."""
        several = len(self._heads) > 1
        return tuple(f"{h.target.name}: {name}" if several else name for h in self._heads for name in h.judged)

    def probabilities(
        self, logits: np.ndarray, temperatures: Mapping[str, float] | None = None
    ) -> dict[str, np.ndarray]:
        """Of every class of every target, by the target's name; see `Head.probabilities`."""
        warm = temperatures or {}
        return {h.target.name: h.probabilities(logits, float(warm.get(h.target.name, 1.0))) for h in self._heads}


def output_document(
    targets: Sequence[Target], temperatures: Mapping[str, float], views: Sequence[str]
) -> dict[str, object]:
    """``output`` of a model's description."""
    return {
        "targets": [{"name": t.name, "kind": t.kind, "classes": list(t.classes)} for t in targets],
        "temperature": {t.name: float(temperatures.get(t.name, 1.0)) for t in targets},
        "classes": [name for t in targets for name in t.classes],
        "views": list(views),
    }


def targets_of(output: Mapping[str, object]) -> tuple[Target, ...]:
    """The targets that a model's description names.

    Raises
    ------
    ModelError
        If it names none, or one that is not whole.
    """
    try:
        found = tuple(Target(str(t["name"]), str(t["kind"]), tuple(t["classes"])) for t in output["targets"])
    except Exception as error:
        msg = f"The model's description does not say what its outputs mean ({error}). Train it again."
        raise ModelError(msg) from error
    if not found:
        msg = "The model's description names no target. Train it again."
        raise ModelError(msg)
    return found

"""What a classifier says about a series: probabilities, the same in words, and where it looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..volume import SeriesIdentity
from .cohort import BINARY, MULTILABEL, Target

THRESHOLD = 0.5
"""From this probability on, a class of a multi-label target is said to be present."""


DIGITS = 9
"""Significant digits of a probability that is written: a float32 comes back as it was."""


@dataclass(frozen=True)
class ModelStamp:
    """Which model gave an answer.

    Attributes
    ----------
    name, version : str
    sha256 : str
        Of the weights; empty for a model that is in no folder.
    recipe : str
        Name of the preparation.
    """

    name: str
    version: str
    sha256: str = ""
    recipe: str = ""

    def __str__(self) -> str:
        short = f" ({self.sha256[:12]})" if self.sha256 else ""
        return f"{self.name} {self.version}{short}"


@dataclass(frozen=True)
class Answer:
    """What was told of one target.

    Attributes
    ----------
    target : Target
    probabilities : tuple of float
        Calibrated, one for each class; they add up to 1 unless the target is multi-label.
    """

    target: Target
    probabilities: tuple[float, ...]

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Classes and probabilities, the most probable first; equals in the order of the target."""
        pairs = zip(self.target.classes, self.probabilities, strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])

    @property
    def best(self) -> str:
        """The most probable class."""
        return self.ranked[0][0]

    @property
    def present(self) -> tuple[str, ...]:
        """The classes that are told: those above the threshold of a multi-label target, else the best one."""
        if self.target.kind != MULTILABEL:
            return (self.best,)
        return tuple(name for name, probability in self.ranked if probability >= THRESHOLD)

    @property
    def words(self) -> str:
        """The answer as users read it.

        Binary: ``normal 3.7 %, abnormal 96.3 %``. One of several: the same, most probable first. Any of
        several: those that are present, then the rest: ``nodule 91.0 %; below 50 %: effusion 12.0 %``.
        """
        if self.target.kind == BINARY:
            return _listed(zip(self.target.classes, self.probabilities, strict=True))
        if self.target.kind != MULTILABEL:
            return _listed(self.ranked)
        above = [pair for pair in self.ranked if pair[1] >= THRESHOLD]
        below = [pair for pair in self.ranked if pair[1] < THRESHOLD]
        parts = [_listed(above) if above else "none above 50 %"]
        return "; ".join([*parts, f"below 50 %: {_listed(below)}"] if below else parts)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where in a series a classifier looked.

    Attributes
    ----------
    values : float32 array of shape (k, j, i)
        On the slices of the volume that was classified: 0 where nothing spoke for the class, 1 where most did.
    target, class_name : str
        What it explains.
    method : str
        ``grad-cam`` or ``occlusion``.
    view : str
        Name of the view; empty for the only one.
    """

    values: np.ndarray = field(repr=False)
    target: str
    class_name: str
    method: str
    view: str = ""

    @property
    def name(self) -> str:
        """What it explains: ``finding: abnormal``."""
        return f"{self.target}: {self.class_name}"

    @property
    def title(self) -> str:
        """What is to be read above a picture of it."""
        return f"{self.view + ': ' if self.view else ''}{self.name} ({self.method})"


@dataclass(frozen=True)
class ClassificationResult:
    """The answer of a classifier on one series, or on the views of one case.

    Attributes
    ----------
    identity : SeriesIdentity
        Of the series; of the first view that is there.
    answers : tuple of Answer
        One for each target, in the model's order.
    model : ModelStamp
    warnings : tuple of str
        What was unusual about the series, in which ways it is not like those of the training, and
        what could not be done as asked.
    views : mapping of str to str
        Name of each view and the Series Instance UID that was taken for it; empty where it is missing.
    device : str
    seconds : float
    explanations : tuple of Explanation
        For each class that was asked for, one for each view that is there.
    """

    identity: SeriesIdentity
    answers: tuple[Answer, ...]
    model: ModelStamp
    warnings: tuple[str, ...] = ()
    views: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    seconds: float = 0.0
    explanations: tuple[Explanation, ...] = ()

    @property
    def words(self) -> str:
        """All answers in one line; targets are named where there are several."""
        if len(self.answers) == 1:
            return self.answers[0].words
        return ". ".join(f"{answer.target.name}: {answer.words}" for answer in self.answers)

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability by ``target:class``, as the columns of predictions.csv are named."""
        return {
            f"{answer.target.name}:{name}": probability
            for answer in self.answers
            for name, probability in zip(answer.target.classes, answer.probabilities, strict=True)
        }

    def to_dict(self) -> dict[str, object]:
        """The content of ``classification.json``; its keys are stable."""
        return {
            "series_uid": self.identity.series_uid,
            "study_uid": self.identity.study_uid,
            "patient_id": self.identity.patient_id,
            "modality": self.identity.modality,
            "result": self.words,
            "targets": [_answer_dict(answer) for answer in self.answers],
            "model": vars(self.model),
            "views": dict(self.views),
            "device": self.device,
            "seconds": round(self.seconds, 3),
            "warnings": list(self.warnings),
            "explanations": [
                {"view": one.view, "target": one.target, "class": one.class_name, "method": one.method}
                for one in self.explanations
            ],
        }

    @classmethod
    def from_dict(
        cls, values: Mapping[str, object], explanations: tuple[Explanation, ...] = ()
    ) -> ClassificationResult:
        """From what `to_dict` gave; the explanations' voxels are not in it.

        Raises
        ------
        KeyError, TypeError
            If the values are not complete.
        """
        identity = SeriesIdentity(
            **{name: values[name] for name in ("series_uid", "study_uid", "patient_id", "modality")}
        )
        answers = tuple(
            Answer(
                Target(one["name"], one["kind"], tuple(entry["name"] for entry in one["classes"])),
                tuple(float(entry["probability"]) for entry in one["classes"]),
            )
            for one in values["targets"]
        )
        return cls(
            identity,
            answers,
            ModelStamp(**values["model"]),
            tuple(values["warnings"]),
            dict(values["views"]),
            values["device"],
            values["seconds"],
            explanations,
        )


def percent(probability: float) -> str:
    """A probability as people read it; never 0 or 100 %, which no model can know."""
    if probability < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if probability > 0.9995 else f"{100 * probability:.1f} %"


def _listed(pairs: object) -> str:
    return ", ".join(f"{name} {percent(probability)}" for name, probability in pairs)


def _answer_dict(answer: Answer) -> dict[str, object]:
    pairs = zip(answer.target.classes, answer.probabilities, strict=True)
    return {
        "name": answer.target.name,
        "kind": answer.target.kind,
        "result": answer.words,
        "present": list(answer.present),
        "classes": [{"name": name, "probability": float(f"{value:.{DIGITS}g}")} for name, value in pairs],
    }

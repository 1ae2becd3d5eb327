"""What was learned of labels from features, and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...classification.cohort import Cohort, Split, Target
from ...classification.evaluation.intervals import Estimate
from ...classification.evaluation.result import ModelScore
from .boosting import Attempt, Boosted, Importance
from .leakage import EQUALS, NOTHING_TOLD, TagLeak
from .options import LearningOptions

XGBOOST, FOREST, LOGISTIC, NETWORK, MAJORITY = (
    "XGBoost",
    "random forest",
    "logistic regression",
    "network's own head",
    "majority class",
)


@dataclass(frozen=True, eq=False)
class TargetLearning:
    """What was learned of one target.

    Attributes
    ----------
    target : Target
    scores : tuple of ModelScore
        Of every model and of the baselines, on the same test patients.
    against_network : Estimate or None
        AUROC of XGBoost minus that of the network, resampled together; None without a network.
    boosted : mapping of str to Boosted
        By the name of their question: the target, or each label of several.
    attempts : mapping of str to tuple of Attempt
        The grid of each question.
    importances : mapping of str to tuple of Importance
    leaks : tuple of TagLeak
    probabilities : mapping of str to float array, (test series, classes)
        By model.
    """

    target: Target
    scores: tuple[ModelScore, ...]
    against_network: Estimate | None
    boosted: dict[str, Boosted]
    attempts: dict[str, tuple[Attempt, ...]]
    importances: dict[str, tuple[Importance, ...]]
    leaks: tuple[TagLeak, ...]
    probabilities: dict[str, np.ndarray]

    def score(self, name: str) -> ModelScore | None:
        """The score of a model; None where there is none."""
        return next((score for score in self.scores if score.name == name), None)


@dataclass(frozen=True, eq=False)
class Learning:
    """What was learned of labels from features.

    Attributes
    ----------
    cohort : Cohort
        The labelled series.
    split : Split
    options : LearningOptions
    names : tuple of str
        Features, in the order the boosted trees know them.
    targets : tuple of TargetLearning
    model_hash, recipe_hash : str
        Of the features.
    notes : tuple of str
    seconds : float
    """

    cohort: Cohort
    split: Split
    options: LearningOptions
    names: tuple[str, ...]
    targets: tuple[TargetLearning, ...]
    model_hash: str = ""
    recipe_hash: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    patients: dict[str, int] = field(default_factory=dict)

    def leakage(self) -> tuple[str, ...]:
        """What tags tell, in sentences; empty where none does."""
        return tuple(leak.text() for one in self.targets for leak in one.leaks if leak.kind != NOTHING_TOLD)

    @property
    def is_leaking(self) -> bool:
        """Whether a tag equals a label."""
        return any(leak.kind == EQUALS for one in self.targets for leak in one.leaks)

    def findings(self) -> tuple[str, ...]:
        """What a reader must know first, in sentences: leakage before scores."""
        return (*self.leakage(), *(text for one in self.targets for text in _score_texts(one)))


def _score_texts(one: TargetLearning) -> list[str]:
    name, score = one.target.name, one.score(XGBOOST)
    if score is None or score.auroc.value is None:
        reason = score.auroc.note if score else "no model"
        return [f"'{name}': {reason}."]
    texts = [f"'{name}': XGBoost reaches AUROC {score.auroc.text()} on test patients (guessing: 0.50)."]
    if score.auroc.low is not None and score.auroc.low <= 0.5:
        texts.append(f"'{name}': XGBoost is not shown to be better than guessing.")
    difference = one.against_network
    if difference is not None and difference.low is not None:
        numbers = f"AUROC difference {difference.text()}"
        if difference.low > 0:
            texts.append(f"'{name}': XGBoost on the features is better than the network's own head ({numbers}).")
        elif difference.high < 0:
            texts.append(f"'{name}': the network's own head is better than XGBoost on the features ({numbers}).")
        else:
            texts.append(f"'{name}': XGBoost and the network's own head are not shown to differ ({numbers}).")
    return texts

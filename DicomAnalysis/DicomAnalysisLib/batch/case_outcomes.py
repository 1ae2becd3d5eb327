"""What became of the cases of a batch that classifies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..dicom.series import Problem
from .outcomes import DONE, FAILED


@dataclass(frozen=True)
class CaseOutcome:
    """What became of one case.

    Attributes
    ----------
    case_id : str
        The Series Instance UID; of several views the Study Instance UID.
    status : str
        ``running``, then ``done``, ``skipped`` (a scout) or ``failed``.
    series_uids : tuple of str
        Those of its views.
    folder : Path or None
        Where its result is.
    result : str
        In words.
    probabilities : dict of str to float
        By ``target:class``.
    warnings : tuple of str
    reason : str
        Why it was skipped or failed.
    seconds : float
    kept : bool
        Whether an earlier run, which this one resumed, has done it.
    """

    case_id: str
    status: str
    series_uids: tuple[str, ...] = ()
    folder: Path | None = None
    result: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    kept: bool = False


@dataclass(frozen=True)
class ClassificationReport:
    """What became of a batch.

    Attributes
    ----------
    outcomes : tuple of CaseOutcome
    left_out : tuple of str
        Images that were not looked at, each with its reason.
    problems : tuple of Problem
        Files of images that were refused.
    table : Path or None
        ``classification.csv``, where something was classified.
    """

    outcomes: tuple[CaseOutcome, ...]
    left_out: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    table: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether something was done and nothing failed."""
        statuses = {outcome.status for outcome in self.outcomes}
        return DONE in statuses and FAILED not in statuses and not self.problems


def describe_case(outcome: CaseOutcome) -> str:
    """One line for people."""
    if outcome.status != DONE:
        return f"{outcome.status}: {outcome.reason}"
    if outcome.kept:
        return f"done earlier: {outcome.result} -> {outcome.folder}"
    warnings = f", {len(outcome.warnings)} warning(s)" if outcome.warnings else ""
    return f"done in {outcome.seconds:.1f} s: {outcome.result}{warnings} -> {outcome.folder}"

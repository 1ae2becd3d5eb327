"""What became of the series of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..dicom.series import Problem

RUNNING, DONE, SKIPPED, FAILED = "running", "done", "skipped", "failed"

SEGMENT, CLASSIFY = "segment", "classify"
"""What the ledger calls the work of each command; they may share an output folder."""


@dataclass(frozen=True)
class SeriesOutcome:
    """What became of one stack of one series.

    Attributes
    ----------
    series_uid : str
    status : str
        ``done``, ``skipped`` (a scout and the like) or ``failed``; ``running`` while it is worked on.
    stack : int
        1 for the main stack of the series.
    folder : Path or None
        Where the results are.
    reason : str
        Why it was skipped or failed.
    segments : dict of str to float
        Name and volume in ml.
    warnings : tuple of str
    seconds : float
        Reading, segmenting and writing.
    kept : bool
        Whether it was done by an earlier run that this one resumed.
    """

    series_uid: str
    status: str
    stack: int = 1
    folder: Path | None = None
    reason: str = ""
    segments: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    kept: bool = False


@dataclass(frozen=True)
class RunReport:
    """What became of a batch.

    Attributes
    ----------
    outcomes : tuple of SeriesOutcome
    problems : tuple of Problem
        Files that were refused, each with its reason.
    """

    outcomes: tuple[SeriesOutcome, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether something was done and nothing failed."""
        statuses = {outcome.status for outcome in self.outcomes}
        return DONE in statuses and FAILED not in statuses and not any(map(is_damaged_image, self.problems))


def is_damaged_image(problem: Problem) -> bool:
    """Whether a refused file is an image series' own that could not be read.

    Other files and DICOM objects of other kinds (indexes, reports, screenshots) lie in
    most folders; leaving them out is no failure.
    """
    return problem.is_dicom and not problem.reason.startswith(("it is a ", "it is an "))


def describe_outcome(outcome: SeriesOutcome) -> str:
    """One line for people."""
    if outcome.status != DONE:
        return f"{outcome.status}: {outcome.reason}"
    found = ", ".join(f"{name} {volume:.1f} ml" for name, volume in outcome.segments.items())
    if outcome.kept:
        return f"done earlier: {found} -> {outcome.folder}"
    warnings = f", {len(outcome.warnings)} warning(s)" if outcome.warnings else ""
    return f"done in {outcome.seconds:.1f} s: {found}{warnings} -> {outcome.folder}"

"""What became of a run over a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CohortReport:
    """What became of a run.

    Attributes
    ----------
    done, skipped, kept : int
        Series (or studies, see `unit`) done by this run, skipped by it (no images, scouts), and done or skipped by
        earlier ones.
    failed : dict of str to str
        Series that failed, now or earlier, and why; those put aside among them begin with "quarantined".
    seconds : float
    memory : int
        Largest resident memory of one worker that was seen, bytes.
    table : tuple of Path
        The Parquet files of the task's rows.
    partial : int
        Of those done, now or earlier: without some of their files or views, as the ledger says.
    refused : int
        Files that are no DICOM or could not be read.
    model_hash, recipe_hash : str
    memory_over_time : tuple of (float, int)
        Seconds since the start, and the largest worker then.
    unit : str
        What was gone through: ``series``; ``study`` with a model of several views.
    """

    done: int
    skipped: int
    kept: int
    failed: dict[str, str]
    seconds: float
    memory: int
    table: tuple[Path, ...]
    partial: int = 0
    refused: int = 0
    model_hash: str = ""
    recipe_hash: str = ""
    memory_over_time: tuple[tuple[float, int], ...] = ()
    unit: str = "series"

    @property
    def complete(self) -> bool:
        """Whether something was done, now or earlier, and nothing failed."""
        return bool(self.done + self.kept) and not self.failed

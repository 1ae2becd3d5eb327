"""Options of a run over a cohort."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...classification.views import ViewRule
from ...errors import UsageError
from ...segmentation.options import SegmentationOptions
from ..entries import options_hash

SEGMENT, CLASSIFY, FEATURES = "segment", "classify", "features"
TASKS = (SEGMENT, CLASSIFY, FEATURES)
SERIES, STUDY = "series", "study"
"""What is gone through; studies where a model looks at several views."""
PLURAL = {SERIES: "series", STUDY: "studies"}
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
SMALLEST_MEMORY = 512 * 1024**2
USUAL_MEMORY = 3 * 1024**3
"""What a worker may need for a large series; of itself a run has no more workers than get so much."""
MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class CohortOptions:
    """What is done with every series, and by how many.

    Parameters
    ----------
    task : str
        ``segment``, ``classify`` or ``features``.
    model : str
        Folder of a classifier, for ``classify`` and for features of a network; empty for interpretable features.
    views : tuple of str
        For models of several views: how a series is known to be one, ``LCC:laterality=L,position=CC`` each (see
        `ViewRule`); by default as in training, or by what the headers state.
    segmentation : SegmentationOptions
        For ``segment``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``, for networks.
    workers : int
        Processes on this machine; 0: one for each core, fewer where there is little memory.
    scheduler : str
        Address of a Dask scheduler (``tcp://host:8786``), whose workers are used instead.
    memory_per_worker : int
        Bytes; 0: a share of this machine's memory.
    limit_seconds : float
        Longest that one series may take.
    key : Path or None
        File with the key of pseudonyms: tables without identifiers and dates are wanted.
    anew : bool
        Do again what was done.
    retry_failed : bool
        Try again what failed or was put aside.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """

    task: str = FEATURES
    model: str = ""
    views: tuple[str, ...] = ()
    segmentation: SegmentationOptions = field(default_factory=SegmentationOptions)
    device: str = "auto"
    workers: int = 0
    scheduler: str = ""
    memory_per_worker: int = 0
    limit_seconds: float = 900.0
    key: Path | None = None
    anew: bool = False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            msg = f"Unknown task {self.task!r}; choose one of {', '.join(TASKS)}."
            raise UsageError(msg)
        if self.task == CLASSIFY and not self.model:
            msg = "To classify a cohort a model is needed; name its folder."
            raise UsageError(msg)
        for text in self.views:
            ViewRule.from_text(text)
        if self.workers < 0 or self.limit_seconds <= 0:
            msg = "The number of workers cannot be negative, nor the limit of seconds 0 or less."
            raise UsageError(msg)
        if self.memory_per_worker and self.memory_per_worker < SMALLEST_MEMORY:
            msg = f"A worker needs {SMALLEST_MEMORY // 1024**2} MB at least; give it more memory."
            raise UsageError(msg)

    @property
    def processes(self) -> int:
        """How many workers there are on this machine."""
        if self.workers:
            return self.workers
        room = int(MEMORY_SHARE * total_memory() / (self.memory_per_worker or USUAL_MEMORY))
        return max(1, min(os.cpu_count() or 1, room))

    @property
    def memory_limit(self) -> int:
        """Bytes that one worker may use."""
        return self.memory_per_worker or max(SMALLEST_MEMORY, int(MEMORY_SHARE * total_memory() / self.processes))


def total_memory() -> int:
    """Bytes of memory that this machine, or the container, has; 8 GB where it does not say."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        found = 8 * 1024**3
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        found = min(found, int(_CONTAINER.read_text("ascii")))
    return found


def recipe_of(options: CohortOptions, model: Mapping[str, object]) -> str:
    """The hash of all that the numbers of a run depend on, the model's own hash apart.

    Parameters
    ----------
    options : CohortOptions
    model : mapping
        What the model's description says of its input; empty without one.
    """
    depends: dict[str, object] = {"task": options.task, "model": model}
    if options.views:
        depends["views"] = options.views
    if options.task == SEGMENT:
        depends["segmentation"] = options.segmentation
    if options.task == FEATURES and not options.model:
        from ..features.interpretable import FEATURE_NAMES, REVISION

        depends |= {"names": FEATURE_NAMES, "revision": REVISION}
    return options_hash(depends)

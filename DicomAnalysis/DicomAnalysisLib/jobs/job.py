"""What is to be done in a child process: a value, made by the `*_job` functions of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One piece of long work.

    Attributes
    ----------
    task : str
        One of `DicomAnalysisLib.jobs.TASKS`.
    arguments : mapping
        The task's own, with a JSON form. The task also gets ``workspace``, its temporary folder.
    prepare : callable, optional
        Puts what the task needs into the workspace, a little at a time (each step yields).
    collect : callable, optional
        Makes the task's result, ``collect(values, workspace)``, into what the caller wants; the
        workspace is gone afterwards. By default the values themselves.
    clean : callable, optional
        Removes what an unfinished task left outside its workspace: ``clean(cancelled)``, where
        `cancelled` says whether it was told to stop or ended by itself.
    environment : mapping of str to str
        Further variables for the child.
    memory_limit : int or None
        Bytes of address space that the child may use (not on Windows and macOS, which do not
        keep such limits); beyond that it ends with a message instead of slowing the machine down.
    """

    task: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    prepare: Callable[[Path], Iterator[object]] | None = None
    collect: Callable[[Mapping[str, object], Path], object] | None = None
    clean: Callable[[bool], None] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_limit: int | None = None

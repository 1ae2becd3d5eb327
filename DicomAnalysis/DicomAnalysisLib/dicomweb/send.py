"""Files to a PACS, series by series; what the server has already is not sent again."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..dicom.series import Problem
from ..errors import DicomAnalysisError
from .client import DicomWeb
from .errors import (
    CertificateError,
    CredentialsError,
    NotStoredError,
    PacsError,
    RefusedRequestError,
    ServerUnavailableError,
)
from .outgoing import find_files
from .progress import Tell, Ticker, amount
from .query import find_instances
from .store import StoredFile

logger = logging.getLogger(__name__)

DONE, FAILED = "done", "failed"
NOT_TRIED = "not tried any more"
GONE = (ServerUnavailableError, CredentialsError, CertificateError)
"""After these nothing else of a run can succeed."""
MAX_FAILURES = 3
"""A series is given up after so many objects in a row could not be sent."""
BATCH_FILES, BATCH_BYTES = 16, 16 * 1024 * 1024
"""Most files and bytes of one request; a longer file goes alone."""


@dataclass(frozen=True)
class NotSent:
    """A file that is not on the server, and why."""

    path: str
    sop_uid: str
    reason: str


@dataclass(frozen=True)
class SentSeries:
    """What became of one series.

    Attributes
    ----------
    series_uid, study_uid : str
    status : str
        ``done`` or ``failed``.
    instances : int
        Files of it here.
    sent, already_there : int
        Stored by this run, and on the server before.
    bytes : int
        Sent by this run.
    failures : tuple of NotSent
    error, reason : str
        Name of the first error and its message, where it failed.
    warnings : tuple of str
    seconds : float
    """

    series_uid: str
    study_uid: str
    status: str
    instances: int
    sent: int = 0
    already_there: int = 0
    bytes: int = 0
    failures: tuple[NotSent, ...] = ()
    error: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class SendReport:
    """What became of everything that was to be sent.

    Attributes
    ----------
    series : tuple of SentSeries
    problems : tuple of Problem
        Files that were left out, each with its reason.
    """

    series: tuple[SentSeries, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every DICOM object found is on the server."""
        return all(one.status == DONE for one in self.series) and not any(one.is_dicom for one in self.problems)


def send(server: DicomWeb, paths: Iterable[Path | str], tell: Tell | None = None) -> SendReport:
    """Send the DICOM objects under some paths that the server does not have.

    A series that fails never stops the others, unless the server is gone or refuses us.

    Parameters
    ----------
    server : DicomWeb
    paths : iterable of path
        Files, and folders to be searched to the bottom.
    tell : callable, optional
        Called with a line of text now and then; the lines carry UIDs, never names.

    Raises
    ------
    SourceError
        If a path does not exist, or there is no DICOM object.
    """
    tell = tell or (lambda _line: None)
    files, problems = find_files(paths)
    groups = [list(group) for _, group in itertools.groupby(files, key=lambda file: (file.study_uid, file.series_uid))]
    outcomes: list[SentSeries] = []
    gone: DicomAnalysisError | None = None
    for number, group in enumerate(groups, start=1):
        tell(f"[{number}/{len(groups)}] series {group[0].series_uid}, {len(group)} objects")
        job = _SeriesSend(server, group, tell)
        if gone is None:
            job.run()
            gone = job.error if isinstance(job.error, GONE) else None
        else:
            job.error = gone
        outcomes.append(job.outcome())
        tell(f"    {describe(outcomes[-1])}")
    return SendReport(tuple(outcomes), tuple(problems))


def describe(one: SentSeries) -> str:
    """One line for people."""
    text = f"{one.sent} of {one.instances} objects sent ({amount(one.bytes)})"
    if one.already_there:
        text += f", {one.already_there} already there"
    return f"{text} in {one.seconds:.1f} s" if one.status == DONE else f"failed: {text}. {one.reason}"


class _SeriesSend:
    """The sending of one series; what was done so far is known at any time."""

    def __init__(self, server: DicomWeb, files: list[StoredFile], tell: Tell):
        self._server, self._files = server, files
        self._started = time.perf_counter()
        self._waiting = {file.sop_uid: file for file in files}
        self._failures: list[NotSent] = []
        self._in_a_row = 0
        self._changed: dict[str, int] = {}
        self._warnings: list[str] = []
        self._already = self._sent = self._bytes = 0
        self._ticker = Ticker(tell, len(files))
        self.error: DicomAnalysisError | None = None

    def outcome(self) -> SentSeries:
        """What became of it."""
        not_tried = [NotSent(file.path, file.sop_uid, NOT_TRIED) for file in self._waiting.values()]
        failures = (*self._failures, *not_tried)
        changes = [f"the server {what} in {count} objects" for what, count in self._changed.items()]
        return SentSeries(
            self._files[0].series_uid,
            self._files[0].study_uid,
            FAILED if self.error is not None else DONE,
            len(self._files),
            self._sent,
            self._already,
            self._bytes,
            failures,
            "" if self.error is None else type(self.error).__name__,
            "" if self.error is None else f"{len(failures)} of {len(self._files)} objects not stored. {self.error}",
            (*self._warnings, *changes),
            time.perf_counter() - self._started,
        )

    def run(self) -> None:
        """Send what the server does not have; why that failed stands in `error`."""
        try:
            for uid in self._on_server():
                self._already += self._waiting.pop(uid, None) is not None
            for batch in batches(list(self._waiting.values())):
                self._send(batch)
        except DicomAnalysisError as error:
            self.error = error
        except Exception as error:  # a bug met on one series must not stop the others
            logger.debug("unexpected error", exc_info=True)
            self.error = PacsError(f"an unexpected {type(error).__name__}; please report it")

    def _on_server(self) -> list[str]:
        first = self._files[0]
        try:
            return find_instances(self._server, first.study_uid, first.series_uid)
        except RefusedRequestError as error:
            # Some accounts and gateways may store, but not ask.
            self._warnings.append(f"the server does not tell what it has already, so that all is sent: {error}")
            return []

    def _send(self, batch: list[StoredFile]) -> None:
        try:
            answer = self._server.retrying(lambda: self._server.store(batch))
        except GONE:
            raise
        except DicomAnalysisError as error:
            if len(batch) > 1:  # one of them, or all together, was too much
                for file in batch:
                    self._send([file])
            else:
                self._note_failure(batch[0], error)
            return
        for file in batch:
            if file.sop_uid in answer.stored:
                self._note_stored(file, answer.changed.get(file.sop_uid, ""))
            else:
                reason = answer.failed.get(file.sop_uid, "the server did not confirm that it stored it")
                self._note_failure(file, NotStoredError(f"{self._server} did not store {file.path}: {reason}."))
        self._ticker.at(self._sent, self._bytes)

    def _note_stored(self, file: StoredFile, change: str) -> None:
        del self._waiting[file.sop_uid]
        self._sent += 1
        self._bytes += file.size
        self._in_a_row = 0
        if change:
            self._changed[change] = self._changed.get(change, 0) + 1

    def _note_failure(self, file: StoredFile, error: DicomAnalysisError) -> None:
        """Remember it; give the series up after several requests in a row that failed."""
        del self._waiting[file.sop_uid]
        self._failures.append(NotSent(file.path, file.sop_uid, str(error)))
        self.error = self.error or error
        if isinstance(error, PacsError) and not isinstance(error, NotStoredError):
            self._in_a_row += 1
            if self._in_a_row == MAX_FAILURES:
                raise error


def batches(files: Iterable[StoredFile]) -> Iterator[list[StoredFile]]:
    """Files in groups for one request each."""
    batch: list[StoredFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or size + file.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch

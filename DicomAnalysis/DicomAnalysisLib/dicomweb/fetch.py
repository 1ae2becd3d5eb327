"""Series from a PACS into a folder: ``OUTPUT/<SeriesInstanceUID>/<SOPInstanceUID>.dcm``.

A file is there whole or not at all, and what is there is not fetched again: a run that was
interrupted is completed by running it again. A series is asked for in one request as long
as nothing of it is there, its missing instances one by one.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ..dicom import tags
from ..dicom.header import read_header
from ..errors import DicomAnalysisError, OutputError, UnreadableFileError
from .client import DICOM, DicomWeb
from .errors import (
    BadResponseError,
    CertificateError,
    CredentialsError,
    NotOnServerError,
    PacsError,
    RefusedRequestError,
    ServerUnavailableError,
    TransientError,
)
from .incoming import IncomingFile, check_room, make_folder, receive_file, remove_leftovers
from .multipart import Part
from .progress import Tell, Ticker, amount
from .query import ServerSeries, Wanted, find_instances, find_series

logger = logging.getLogger(__name__)

DONE, FAILED = "done", "failed"
GONE = (ServerUnavailableError, CredentialsError, CertificateError, OutputError)
"""After these nothing else of a run can succeed."""
MAX_FAILURES = 3
"""A series is given up after so many instances in a row could not be had."""
_UID_TAGS = frozenset((tags.SOP_INSTANCE_UID, tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID))
_UID_GROUP = 0x0020


@dataclass(frozen=True)
class FetchedSeries:
    """What became of one series.

    Attributes
    ----------
    series_uid, study_uid, modality : str
    status : str
        ``done`` or ``failed``.
    folder : Path or None
    instances : int
        On the server.
    fetched, already_there : int
        Instances of this run, and of earlier ones.
    bytes : int
        Received in this run.
    error, reason : str
        Name of the error and its message, where it failed.
    seconds : float
    """

    series_uid: str
    study_uid: str
    modality: str = ""
    status: str = FAILED
    folder: Path | None = None
    instances: int = 0
    fetched: int = 0
    already_there: int = 0
    bytes: int = 0
    error: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class FetchReport:
    """What became of everything that was wanted.

    Attributes
    ----------
    series : tuple of FetchedSeries
    missing : tuple of str
        What was wanted by name and is not on the server.
    """

    series: tuple[FetchedSeries, ...]
    missing: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all that was wanted is here."""
        return bool(self.series) and not self.missing and all(one.status == DONE for one in self.series)


def fetch(server: DicomWeb, wanted: Wanted, output: Path | str, tell: Tell | None = None) -> FetchReport:
    """Fetch what is not there yet.

    A series that fails never stops the others, unless the server is gone or refuses us, or the disk is full.

    Parameters
    ----------
    server : DicomWeb
    wanted : Wanted
    output : path
        Made when missing.
    tell : callable, optional
        Called with a line of text now and then; the lines carry UIDs, never names.

    Raises
    ------
    PacsError
        If the server cannot be asked, or has nothing that matches. What goes wrong later stands in the report.
    """
    tell = tell or (lambda _line: None)
    output = Path(output)
    found, missing = find_series(server, wanted)
    outcomes: list[FetchedSeries] = []
    gone: DicomAnalysisError | None = None
    for number, series in enumerate(found, start=1):
        tell(f"[{number}/{len(found)}] series {series.series_uid}")
        job = _SeriesFetch(server, series, output / series.series_uid, tell)
        if gone is None:
            job.run()
            gone = job.error if isinstance(job.error, GONE) else None
        else:
            job.error = gone
        outcomes.append(job.outcome())
        tell(f"    {describe(outcomes[-1])}")
    return FetchReport(tuple(outcomes), tuple(missing))


def describe(one: FetchedSeries) -> str:
    """One line for people."""
    text = f"{one.fetched} of {one.instances} objects fetched ({amount(one.bytes)})"
    if one.already_there:
        text += f", {one.already_there} already there"
    return f"{text} in {one.seconds:.1f} s" if one.status == DONE else f"failed: {text}. {one.reason}"


class _SeriesFetch:
    """The fetching of one series; what was done so far is known at any time."""

    def __init__(self, server: DicomWeb, series: ServerSeries, folder: Path, tell: Tell):
        self._server, self._series, self._folder, self._tell = server, series, folder, tell
        self._started = time.perf_counter()
        self._done = FetchedSeries(series.series_uid, series.study_uid, series.modality, folder=folder)
        self._missing: set[str] = set()
        self._ticker = Ticker(tell, 0)
        self.error: DicomAnalysisError | None = None

    @property
    def _path(self) -> tuple[str, ...]:
        return "studies", self._series.study_uid, "series", self._series.series_uid

    def outcome(self) -> FetchedSeries:
        """What became of it."""
        seconds = time.perf_counter() - self._started
        if self.error is None:
            return replace(self._done, status=DONE, seconds=seconds)
        reason = str(self.error)
        if self._missing:
            reason = f"{len(self._missing)} of {self._done.instances} objects are missing. {reason}"
        return replace(self._done, error=type(self.error).__name__, reason=reason, seconds=seconds)

    def run(self) -> None:
        """Fetch what is missing of the series; why that failed stands in `error`."""
        try:
            self._run()
        except DicomAnalysisError as error:
            self.error = error
        except Exception as error:  # a bug met on one series must not stop the others
            logger.debug("unexpected error", exc_info=True)
            self.error = PacsError(f"an unexpected {type(error).__name__}; please report it")

    def _run(self) -> None:
        listed = find_instances(self._server, self._series.study_uid, self._series.series_uid)
        if not listed:
            msg = f"{self._server} lists series {self._series.series_uid}, but no instance of it; was it deleted?"
            raise BadResponseError(msg)
        make_folder(self._folder)
        remove_leftovers(self._folder)
        self._missing = {uid for uid in listed if not self._is_there(uid)}
        self._done = replace(self._done, instances=len(listed), already_there=len(listed) - len(self._missing))
        self._ticker = Ticker(self._tell, len(self._missing))
        if len(self._missing) == len(listed) > 1:
            self._fetch_at_once()
        self._fetch_one_by_one([uid for uid in listed if uid in self._missing])

    def _is_there(self, uid: str) -> bool:
        """Whether the folder has the instance: a file of that name that says it is that instance."""
        path = self._target(uid)
        if not path.is_file():
            return False
        try:
            return read_header(path, _UID_TAGS, _UID_GROUP).text(tags.SOP_INSTANCE_UID) == uid
        except UnreadableFileError:
            return False

    def _target(self, uid: str) -> Path:
        return self._folder / f"{uid}.dcm"

    def _fetch_at_once(self) -> None:
        """The whole series in one request; what did not come is asked for again one by one."""
        try:
            self._receive(self._path, self._missing.copy())
        except (TransientError, RefusedRequestError, NotOnServerError) as error:
            self._tell(f"    {error} Going on with the {len(self._missing)} objects that are missing.")

    def _fetch_one_by_one(self, uids: list[str]) -> None:
        in_a_row = 0
        for uid in uids:
            try:
                self._server.retrying(lambda uid=uid: self._fetch_instance(uid))
                in_a_row = 0
            except GONE:
                raise
            except PacsError as error:
                self.error = self.error or error
                in_a_row += 1
                if in_a_row == MAX_FAILURES:
                    return

    def _fetch_instance(self, uid: str) -> None:
        self._receive((*self._path, "instances", uid), {uid})
        if uid in self._missing:
            msg = f"{self._server} answered without the instance {uid} that was asked for."
            raise BadResponseError(msg)

    def _receive(self, path: tuple[str, ...], expected: set[str]) -> None:
        """Ask, and keep the instances that come; each must be one of those expected, and comes once."""
        with self._server.retrieve(*path, objects=len(expected)) as retrieved:
            check_room(self._folder, retrieved.announced)
            for part in retrieved.parts:
                self._receive_part(part, expected)

    def _receive_part(self, part: Part, expected: set[str]) -> None:
        if part.content_type not in ("", DICOM, "application/octet-stream"):
            msg = f"{self._server} sent {part.content_type} for series {self._series.series_uid}, not DICOM."
            raise BadResponseError(msg)
        if not expected:
            msg = f"{self._server} sent more objects for series {self._series.series_uid} than it listed."
            raise BadResponseError(msg)
        with receive_file(self._folder) as incoming:
            self._write(part, incoming)
            uid = self._identify(incoming, expected)
            incoming.keep(self._target(uid))
        expected.discard(uid)
        self._missing.discard(uid)
        self._done = replace(self._done, fetched=self._done.fetched + 1, bytes=self._done.bytes + incoming.size)
        self._ticker.at(self._done.fetched, self._done.bytes)

    def _write(self, part: Part, incoming: IncomingFile) -> None:
        limit = self._server.max_object_bytes
        for data in part.chunks:
            if incoming.size + len(data) > limit:
                msg = f"{self._server} sent over {amount(limit)} as one object of series {self._series.series_uid}."
                raise BadResponseError(msg)
            incoming.write(data)
            self._ticker.at(self._done.fetched, self._done.bytes + incoming.size)
        incoming.finish()

    def _identify(self, incoming: IncomingFile, expected: set[str]) -> str:
        """The SOP Instance UID of what was received, which must be of this series and one of those expected."""
        try:
            header = read_header(incoming.path, _UID_TAGS, _UID_GROUP)
        except UnreadableFileError as error:
            reason = getattr(error, "reason", "it cannot be read")
            msg = f"{self._server} sent an object for series {self._series.series_uid} that is not DICOM: {reason}."
            raise BadResponseError(msg) from error
        uid = header.text(tags.SOP_INSTANCE_UID)
        series = header.text(tags.SERIES_INSTANCE_UID), header.text(tags.STUDY_INSTANCE_UID)
        if series != (self._series.series_uid, self._series.study_uid) or uid not in expected:
            msg = f"{self._server} sent another object than those asked for of series {self._series.series_uid}."
            raise BadResponseError(msg)
        return uid

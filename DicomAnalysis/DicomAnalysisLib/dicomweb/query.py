"""Which series and instances a server has (QIDO-RS, PS3.18 section 10.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import UsageError
from ..files.names import is_safe_uid
from .client import DicomWeb, text_of
from .errors import BadResponseError, NotOnServerError

_PATIENT_ID, _STUDY, _SERIES, _SOP = "00100020", "0020000D", "0020000E", "00080018"
_MODALITY, _INSTANCES = "00080060", "00201209"


@dataclass(frozen=True)
class Wanted:
    """What is looked for: everything given must apply.

    Attributes
    ----------
    study_uids, series_uids : tuple of str
        Any of them; empty for all.
    patient_id : str
        Exactly this one; empty for any.
    modality : str
        Of the series; empty for any.

    Raises
    ------
    UsageError
        If nothing limits the search to a patient, study or series, or a UID is none.
    """

    study_uids: tuple[str, ...] = ()
    series_uids: tuple[str, ...] = ()
    patient_id: str = ""
    modality: str = ""

    def __post_init__(self) -> None:
        if not (self.study_uids or self.series_uids or self.patient_id):
            msg = "Say what to fetch: --study UID, --series UID or --patient-id ID."
            raise UsageError(msg)
        for uid in (*self.study_uids, *self.series_uids):
            if not is_safe_uid(uid):
                msg = f"{uid!r} is not a DICOM UID (digits and dots, at most 64 characters)."
                raise UsageError(msg)
        if "*" in self.patient_id or "?" in self.patient_id or "\\" in self.patient_id:
            msg = "A patient ID is looked for exactly; it cannot hold *, ? or a backslash."
            raise UsageError(msg)


@dataclass(frozen=True)
class ServerSeries:
    """A series as the server lists it.

    Attributes
    ----------
    study_uid, series_uid : str
        Checked to be UIDs.
    modality : str
    instances : int or None
        As the server counts them, where it does.
    """

    study_uid: str
    series_uid: str
    modality: str = ""
    instances: int | None = None


def find_series(server: DicomWeb, wanted: Wanted) -> tuple[list[ServerSeries], list[str]]:
    """The series a server has of what is wanted, and what of it the server does not have.

    Returns
    -------
    series : list of ServerSeries
        Sorted by UIDs.
    missing : list of str
        ``series UID`` or ``study UID`` of those wanted by name that are not there.

    Raises
    ------
    NotOnServerError
        If there is none at all.
    PacsError
    """
    found = {(one.study_uid, one.series_uid): one for one in _candidates(server, wanted) if _fits(one, wanted)}
    if not found:
        msg = f"{server} has nothing that matches; check the UIDs or the patient ID, and who may see them."
        raise NotOnServerError(msg)
    studies, series = ({uids[level] for uids in found} for level in (0, 1))
    missing = [f"study {uid}" for uid in wanted.study_uids if uid not in studies and not wanted.series_uids]
    missing += [f"series {uid}" for uid in wanted.series_uids if uid not in series]
    return [found[uids] for uids in sorted(found)], missing


def find_instances(server: DicomWeb, study_uid: str, series_uid: str) -> list[str]:
    """SOP Instance UIDs of a series; empty where the server does not have it.

    Raises
    ------
    BadResponseError
        If one of them is not a UID.
    PacsError
    """
    try:
        entries = server.search("studies", study_uid, "series", series_uid, "instances", key=_SOP)
    except NotOnServerError:
        return []
    return [_uid(server, entry, _SOP, "SOP Instance UID") for entry in entries]


def _candidates(server: DicomWeb, wanted: Wanted) -> Iterator[ServerSeries]:
    """Series that may fit: a server is free to ignore what it does not know in a query."""
    studies = list(wanted.study_uids)
    if wanted.patient_id:
        entries = _search(server, "studies", key=_STUDY, params={"PatientID": wanted.patient_id})
        of_patient = [
            _uid(server, entry, _STUDY, "Study Instance UID")
            for entry in entries
            if text_of(entry, _PATIENT_ID) == wanted.patient_id.strip()
        ]
        studies = [uid for uid in of_patient if uid in studies or not studies]
        if not studies:
            return
    params = {"Modality": wanted.modality} if wanted.modality else {}
    if studies:
        for uid in studies:
            for entry in _search(server, "studies", uid, "series", key=_SERIES, params=params):
                yield _series(server, entry, uid)
    else:
        for uid in wanted.series_uids:
            for entry in _search(server, "series", key=_SERIES, params=params | {"SeriesInstanceUID": uid}):
                yield _series(server, entry, "")


def _search(server: DicomWeb, *path: str, key: str, params: dict[str, str]) -> list[dict]:
    """Entries; for a study that is not there, which some servers answer with 404, none."""
    try:
        return server.search(*path, key=key, params=params)
    except NotOnServerError:
        if len(path) == 1:
            raise
        return []


def _series(server: DicomWeb, entry: dict, study_uid: str) -> ServerSeries:
    count = text_of(entry, _INSTANCES)
    return ServerSeries(
        study_uid or _uid(server, entry, _STUDY, "Study Instance UID"),
        _uid(server, entry, _SERIES, "Series Instance UID"),
        text_of(entry, _MODALITY)[:16],
        int(count) if count.isascii() and count.isdecimal() and len(count) < 10 else None,
    )


def _fits(one: ServerSeries, wanted: Wanted) -> bool:
    return (
        (not wanted.series_uids or one.series_uid in wanted.series_uids)
        and (not wanted.study_uids or one.study_uid in wanted.study_uids)
        and (not wanted.modality or one.modality == wanted.modality)
    )


def _uid(server: DicomWeb, entry: dict, tag: str, what: str) -> str:
    uid = text_of(entry, tag)
    if not is_safe_uid(uid):
        msg = f"{server} lists an entry whose {what} is not a UID; nothing is made of such a name."
        raise BadResponseError(msg)
    return uid

"""What a batch goes through: series that are read already, or one series at a time of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..dicom.series import Problem, Series, series_from_files
from ..dicom.sources import DatabaseSource, SeriesSource
from ..errors import UsageError


@dataclass(frozen=True)
class Unit:
    """One series to come.

    Attributes
    ----------
    series_uid : str
    read : callable
        Gives the series of that UID (more than one where studies share it) and the files refused.
    is_lazy : bool
        Whether `read` opens files; otherwise their headers were read before.
    """

    series_uid: str
    read: Callable[[], tuple[list[Series], Sequence[Problem]]]
    is_lazy: bool = False


class FileList:
    """A source made of files that are named one by one, for example by an application's database.

    Parameters
    ----------
    paths : iterable of str
    """

    def __init__(self, paths: Iterable[str]):
        self._series, self.problems = series_from_files(paths)

    def series(self, uid: str | None = None) -> list[Series]:
        """The readable series, or the one of a UID."""
        return [one for one in self._series if uid is None or one.identity.series_uid == uid]


class ChosenSeries:
    """Some series of a source; of a database the files of others are not opened.

    Parameters
    ----------
    source : SeriesSource
    uids : sequence of str
    """

    def __init__(self, source: SeriesSource, uids: Sequence[str]):
        self._source, self._uids = source, uids

    def series(self, uid: str | None = None) -> list[Series]:
        """The readable ones among them."""
        return [one for wanted in self._uids if uid in (None, wanted) for one in self._source.series(wanted)]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Files refused so far; images without a place in space are among them."""
        return self._source.problems


def choose_series(source: SeriesSource, series_uid: str | None = None) -> list[Series]:
    """The series of a source, or the one that was asked for.

    Raises
    ------
    UsageError
        If the series asked for is not there.
    """
    found = source.series(series_uid)
    if series_uid is not None and not found:
        raise no_such_series(series_uid, refused_of(source, series_uid))
    return found


def no_such_series(series_uid: str, refused: Sequence[Problem]) -> UsageError:
    """What is raised where the one series that was asked for is not there, or its files were refused."""
    msg = f"There is no readable series {series_uid} in the source; `list` shows those there are."
    return UsageError(msg + _first_reason(refused))


def units_of(source: SeriesSource, series_uid: str | Sequence[str] | None = None) -> list[Unit]:
    """The series of a source, those asked for, or the one asked for.

    A database is gone through series by series, so that neither the headers of all its files
    nor the time to read them are needed at once.

    Raises
    ------
    UsageError
        If one series is asked for, by its UID alone, and is not there.
    """
    if series_uid is not None and not isinstance(series_uid, str):
        wanted = list(dict.fromkeys(series_uid))
        if isinstance(source, DatabaseSource):
            return [_lazy_unit(source, uid) for uid in wanted]
        known = {uid: [] for uid in wanted}
        for one in source.series():
            known.get(one.identity.series_uid, []).append(one)
        return [Unit(uid, _reader(found, refused_of(source, uid))) for uid, found in known.items()]
    if isinstance(source, DatabaseSource) and series_uid is None:
        uids = dict.fromkeys(summary.identity.series_uid for summary in source.summaries() if summary.files)
        return [_lazy_unit(source, uid) for uid in uids]
    return [Unit(one.identity.series_uid, _reader([one])) for one in choose_series(source, series_uid)]


def why_unreadable(series_uid: str, refused: Sequence[Problem]) -> str:
    """Why there is nothing to read in a series that was asked for."""
    return f"there is no readable image of series {series_uid} in the source{_first_reason(refused, ': ')}"


def _lazy_unit(source: DatabaseSource, uid: str) -> Unit:
    def read() -> tuple[list[Series], Sequence[Problem]]:
        # Opened anew: a source remembers every series it has read.
        opened = DatabaseSource(source.path)
        return opened.series(uid), opened.problems

    return Unit(uid, read, is_lazy=True)


def _reader(found: list[Series], refused: Sequence[Problem] = ()) -> Callable[[], tuple[list[Series], Sequence]]:
    return lambda: (found, refused)


def refused_of(source: SeriesSource, uid: str) -> list[Problem]:
    """The files of a series that were refused so far."""
    return [problem for problem in source.problems if problem.series_uid == uid]


def _first_reason(refused: Sequence[Problem], before: str = " Its files were refused: ") -> str:
    return f"{before}{refused[0].reason}." if refused else ""

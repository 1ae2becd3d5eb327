"""Labels and images into a cohort, joined by identifier; what cannot be joined is listed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..dicom.sources import SeriesSource
from ..errors import UsageError
from .cohort import Case, Cohort, View
from .finding import Found, FoundImage, SeriesFilter, find_images
from .images import without_ending
from .joining import ImageIndex, Row, patient_of, read_rows
from .tables import Labels, read_table
from .targets import Encoder, LabelColumns, choose_columns, make_encoder
from .views import ViewRule, view_name

Label = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class CohortOptions:
    """How labels and images become a cohort.

    Parameters
    ----------
    labels : tuple of LabelColumns
        Each a target; empty: the table's only column that is no identifier.
    filter : SeriesFilter
    views : tuple of ViewRule, optional
        None: a case has one image, unless the table has a view column. (): views named by what the headers state.
    several : str
        Without views, where a study or patient has several series: "largest" takes the one of most voxels,
        "all" makes a case of each.
    group_column : str
        A column that says which rows are of one person, where the patient IDs do not.

    Raises
    ------
    UsageError
        If `several` is neither, or two views have one name.
    """

    labels: tuple[LabelColumns, ...] = ()
    filter: SeriesFilter = field(default_factory=SeriesFilter)
    views: tuple[ViewRule, ...] | None = None
    several: str = "largest"
    group_column: str = ""

    def __post_init__(self) -> None:
        if self.several not in ("largest", "all"):
            msg = f"'{self.several}' is no way to choose among several series; write largest or all."
            raise UsageError(msg)
        names = [rule.name for rule in self.views or ()]
        if len(set(names)) < len(names):
            msg = f"Two views have one name: {', '.join(names)}."
            raise UsageError(msg)


def build_cohort(
    source: str | Path | Iterable[str | Path] | SeriesSource | Found,
    labels: Labels,
    options: CohortOptions | None = None,
) -> Cohort:
    """Join labels to images.

    Parameters
    ----------
    source : path, paths, source of series, or Found
        A folder of anything, files, or a Slicer database; `find_images` where its answer is used twice.
    labels : path or (header, rows)
        A CSV file, or a table's header and rows of text. Columns of identifiers: series_uid, study_uid,
        patient_id, file; every one that a row states must agree.
    options : CohortOptions, optional

    Returns
    -------
    Cohort
        Cases ordered by case_id; unmatched rows and series, duplicates, contradictions and missing views
        are listed in it.

    Raises
    ------
    UsageError
        If the table has no identifiers or labels, or not one row fits an image.
    SourceError
        If the source or the table cannot be read.
    """
    options = options or CohortOptions()
    problems: list[str] = []
    table = read_table(labels)
    rows = read_rows(table, options.group_column, problems)
    encoders = [make_encoder(table, asked, problems) for asked in choose_columns(table, options.labels)]
    found = source if isinstance(source, Found) else find_images(source, options.filter, _names(rows))
    problems += found.problems
    if options.views is None and any(row.view for row in rows):
        options = CohortOptions(options.labels, options.filter, (), options.several, options.group_column)
    joined = _join(rows, found.images, encoders, options, problems)
    if not joined.entries:
        first = rows[0].name if rows else "(no row)"
        image = found.images[0].identity.series_uid if found.images else "(no image)"
        msg = (
            f"Not one of {len(rows)} label rows fits one of {len(found.images)} images (the first row is of '{first}', "
            f"the first image is {image}). {' '.join(problems[:3])}"
        )
        raise UsageError(msg.strip())
    cases, view_names = _cases(joined, options, problems)
    return Cohort(
        targets=tuple(encoder.target for encoder in encoders),
        view_names=view_names,
        cases=tuple(sorted(cases, key=lambda case: case.case_id)),
        unmatched_labels=tuple(joined.unmatched),
        unmatched_series=tuple(
            dict.fromkeys(
                [image.identity.series_uid for k, image in enumerate(found.images) if k not in joined.spoken_of]
                + list(found.unopened)
            )
        ),
        problems=tuple(dict.fromkeys(problems)),
    )


def _names(rows: Sequence[Row]) -> set[str] | None:
    """Every identifier that the rows state; None where files are named, which a database does not know."""
    if any(row.level == "file" for row in rows):
        return None
    return {name for row in rows for name in row.identifiers.values()}


@dataclass(frozen=True)
class _Entry:
    """One image as one row labels it."""

    row: Row
    image: FoundImage
    label: Label
    view: str


@dataclass
class _Joined:
    """Entries by case, and what was left over."""

    entries: dict[str, list[_Entry]] = field(default_factory=lambda: defaultdict(list))
    unmatched: list[str] = field(default_factory=list)
    spoken_of: set[int] = field(default_factory=set)


def _join(
    rows: Sequence[Row],
    images: Sequence[FoundImage],
    encoders: Sequence[Encoder],
    options: CohortOptions,
    problems: list[str],
) -> _Joined:
    index, joined = ImageIndex(images), _Joined()
    for row in rows:
        try:
            fitting = index.find(row)
            label = _label(row, encoders)
        except ValueError as error:
            problems.append(f"{row.where} ({row.name}) was left out: {error}.")
            joined.unmatched.append(row.name)
            continue
        if not fitting:
            joined.unmatched.append(row.name)
        joined.spoken_of.update(fitting)
        for k in fitting if label is not None else ():
            key = _case_id(row, images[k], options)
            joined.entries[key].append(_Entry(row, images[k], label, _view_of(row, images[k], options)))
        if label is None and fitting:
            problems.append(f"{row.where} ({row.name}) was left out: it states no label.")
    return joined


def _label(row: Row, encoders: Sequence[Encoder]) -> Label | None:
    label: Label = {}
    for encoder in encoders:
        value = encoder.encode(row.cells)
        if value is None:
            return None
        label[encoder.target.name] = value
    return label


def _case_id(row: Row, image: FoundImage, options: CohortOptions) -> str:
    """What a case is called, and with it which entries make one."""
    if row.level in ("study", "patient"):
        return row.name
    if options.views is None:
        return image.identity.series_uid
    if "study" in row.identifiers:
        return row.identifiers["study"]
    if "patient" in row.identifiers and not image.is_dicom:
        return row.identifiers["patient"]
    return image.identity.study_uid or row.identifiers.get("patient") or row.group or image.identity.series_uid


def _view_of(row: Row, image: FoundImage, options: CohortOptions) -> str:
    if options.views is None:
        return ""
    return row.view or view_name(image.facts, options.views)


def _cases(joined: _Joined, options: CohortOptions, problems: list[str]) -> tuple[list[Case], tuple[str, ...]]:
    if options.views is None:
        view_names: tuple[str, ...] = ("",)
    elif options.views:
        view_names = tuple(rule.name for rule in options.views)
    else:
        view_names = tuple(sorted({entry.view for entries in joined.entries.values() for entry in entries} - {""}))
        if not view_names:
            msg = (
                "No image says which view it is: name the views with rules (angles, laterality, view position or "
                "description), or give the table a view column with a row for each series."
            )
            raise UsageError(msg)
    cases: list[Case] = []
    for case_id in sorted(joined.entries):
        entries = joined.entries[case_id]
        if _contradiction(case_id, entries, problems):
            continue
        if options.views is None and options.several == "all":
            cases += _one_each(case_id, entries)
        elif (case := _case(case_id, entries, view_names, problems)) is not None:
            cases.append(case)
    return _without_shared(cases, problems), view_names


def _contradiction(case_id: str, entries: Sequence[_Entry], problems: list[str]) -> bool:
    """Whether the rows of a case say different things; what they say is noted."""
    where = list(dict.fromkeys(entry.row.where for entry in entries))
    if any(entry.label != entries[0].label for entry in entries):
        problems.append(f"{case_id} was left out: its labels contradict each other ({'; '.join(where)}).")
        return True
    patients = {patient for entry in entries if (patient := _patient(entry))}
    if len(patients) > 1:
        problems.append(f"{case_id} was left out: its images are of several patients ({', '.join(sorted(patients))}).")
        return True
    seen: dict[tuple, str] = {}
    for row in {entry.row.where: entry.row for entry in entries}.values():
        key = (tuple(sorted(row.identifiers.items())), row.view)
        if key in seen:
            problems.append(f"{row.name} is listed twice with the same label ({seen[key]}; {row.where}).")
        seen.setdefault(key, row.where)
    return False


def _patient(entry: _Entry) -> str:
    """Whose image it is; a file that says nothing and of which the table says nothing is a person of its own."""
    if entry.row.group:
        return entry.row.group
    stated = patient_of(entry.image) or entry.row.identifiers.get("patient", "")
    return stated or ("" if entry.image.is_dicom else without_ending(entry.image.identity.series_uid))


def _case(case_id: str, entries: Sequence[_Entry], view_names: Sequence[str], problems: list[str]) -> Case | None:
    chosen: dict[str, _Entry] = {}
    for entry in sorted(entries, key=_preference):
        if entry.view not in view_names:
            what = f"its view '{entry.view}' is none of those asked for" if entry.view else "nothing says its view"
            problems.append(f"{case_id}: series {entry.image.identity.series_uid} was left out: {what}.")
        elif entry.view not in chosen:
            chosen[entry.view] = entry
        elif entry.image.files != chosen[entry.view].image.files:
            view = f"view {entry.view}" if entry.view else "a case"
            problems.append(
                f"{case_id}: series {entry.image.identity.series_uid} was left out: it is smaller than "
                f"{chosen[entry.view].image.identity.series_uid}, or comes after it, and {view} has one image."
            )
    if not chosen:
        problems.append(f"{case_id} was left out: it has none of the views.")
        return None
    missing = [name for name in view_names if name not in chosen]
    if missing:
        problems.append(f"{case_id}: missing views are masked: {', '.join(missing)}.")
    return _made(case_id, chosen, view_names)


def _preference(entry: _Entry) -> tuple:
    identity = entry.image.identity
    return entry.view, -entry.image.pixels, identity.series_uid, entry.image.files


def _made(case_id: str, chosen: dict[str, _Entry], view_names: Sequence[str]) -> Case:
    views = tuple(
        View(name, chosen[name].image.identity.series_uid, chosen[name].image.files)
        if name in chosen
        else View(name, "", ())
        for name in view_names
    )
    first = next(chosen[name] for name in view_names if name in chosen)
    facts = {**first.row.facts, **first.image.facts}
    return Case(case_id, _patient(first), first.image.identity.study_uid, views, first.label, facts)


def _one_each(case_id: str, entries: Sequence[_Entry]) -> list[Case]:
    """A case of every image, called by its series; images of one series are numbered."""
    by_files = {entry.image.files: entry for entry in sorted(entries, key=_preference)}
    counts: dict[str, int] = defaultdict(int)
    cases = []
    for entry in by_files.values():
        uid = entry.image.identity.series_uid or case_id
        counts[uid] += 1
        cases.append(_made(uid if counts[uid] == 1 else f"{uid}#{counts[uid]}", {"": entry}, ("",)))
    return cases


def _without_shared(cases: list[Case], problems: list[str]) -> list[Case]:
    """Cases that share an image, because rows of two levels speak of it: the first stays where the labels agree."""
    owner: dict[tuple[str, ...], Case] = {}
    dropped: set[str] = set()
    for case in cases:
        for view in case.views:
            if not view.present:
                continue
            other = owner.setdefault(view.files, case)
            if other is case:
                continue
            agree = other.labels == case.labels
            dropped |= {case.case_id} if agree else {case.case_id, other.case_id}
            what = f"{case.case_id} was" if agree else f"{case.case_id} and {other.case_id}, whose labels differ, were"
            problems.append(f"{what} left out: series {view.series_uid} is labelled as a case of both.")
    return [case for case in cases if case.case_id not in dropped]

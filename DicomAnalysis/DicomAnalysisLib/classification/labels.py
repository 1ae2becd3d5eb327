"""Labels and images into a cohort, joined by identifier; what cannot be joined is listed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..dicom.sources import SeriesSource
from ..errors import UsageError
from .assembling import Entry, Label, assemble
from .cohort import Case, Cohort
from .finding import Found, FoundImage, SeriesFilter, find_images
from .joining import ImageIndex, Row, read_rows
from .tables import FACT_COLUMNS, Labels, read_table, simplified
from .targets import Encoder, LabelColumns, choose_columns, make_encoder
from .views import ViewRule, view_name


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
        If `several` is neither, or two views or two labels have one name.
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
        for what, parts in (("views", self.views or ()), ("labels", self.labels)):
            names = [one.name for one in parts]
            if len(set(names)) < len(names):
                msg = f"Two {what} have one name: {', '.join(names)}."
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
    chosen = choose_columns(table, options.labels)
    encoders = [make_encoder(table, asked, problems) for asked in chosen]
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
    cases, view_names = assemble(joined.entries, options.views, options.several, problems)
    return Cohort(
        targets=tuple(encoder.target for encoder in encoders),
        view_names=view_names,
        cases=tuple(sorted(_without_labels(cases, chosen), key=lambda case: case.case_id)),
        unmatched_labels=tuple(joined.unmatched),
        unmatched_series=tuple(
            dict.fromkeys(
                [image.identity.series_uid for k, image in enumerate(found.images) if k not in joined.spoken_of]
                + list(found.unopened)
            )
        ),
        problems=tuple(dict.fromkeys(problems)),
        view_rules=tuple(rule.to_text() for rule in options.views or () if rule.is_automatic),
    )


def _without_labels(cases: Iterable[Case], chosen: Sequence[LabelColumns]) -> Iterator[Case]:
    """Age or sex that is the label is nothing that it could be told from instead, whatever the header says of it."""
    columns = {simplified(column) for asked in chosen for column in asked.columns}
    told = {fact for fact, names in FACT_COLUMNS.items() if columns.intersection(names)}
    return (replace(case, facts={k: v for k, v in case.facts.items() if k not in told}) for case in cases)


def _names(rows: Sequence[Row]) -> set[str] | None:
    """Every identifier that the rows state; None where files are named, which a database does not know."""
    if any(row.level == "file" for row in rows):
        return None
    return {name for row in rows for name in row.identifiers.values()}


@dataclass
class _Joined:
    """Entries by case, and what was left over."""

    entries: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
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
    of_series = Counter(image.identity.series_uid for image in images)
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
            alone = of_series[images[k].identity.series_uid] == 1
            key = _case_id(row, images[k], options, alone)
            joined.entries[key].append(Entry(row, images[k], label, _view_of(row, images[k], options)))
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


def _case_id(row: Row, image: FoundImage, options: CohortOptions, alone: bool) -> str:
    """What a case is called, and with it which entries make one; `alone` in its series."""
    if row.level in ("study", "patient"):
        return row.name
    if options.views is None:
        uid = image.identity.series_uid
        return uid if alone or row.level != "file" else f"{uid}/{Path(image.files[0]).name}"
    if "study" in row.identifiers:
        return row.identifiers["study"]
    if "patient" in row.identifiers and not image.is_dicom:
        return row.identifiers["patient"]
    return image.identity.study_uid or row.identifiers.get("patient") or row.group or image.identity.series_uid


def _view_of(row: Row, image: FoundImage, options: CohortOptions) -> str:
    if options.views is None:
        return ""
    return row.view or view_name(image.facts, options.views)

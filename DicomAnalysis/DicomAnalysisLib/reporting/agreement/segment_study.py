"""Two sets of segmentations, paired by identifier: how alike each pair is, and what stands out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from .analysis import Outlier
from .pairing import PairedMeasurements, pair_values, with_files

METRICS = {
    "dice": "Dice",
    "hausdorff95_mm": "Hausdorff 95 (mm)",
    "surface_distance_mm": "Average surface distance (mm)",
    "volume_difference_ml": "Volume difference (ml)",
}
"""Columns with metrics, and their titles; differences are first minus second."""

FENCE = 1.5
FEWEST_FOR_FENCES = 6


@dataclass(frozen=True)
class SegmentRow:
    """One segment of one pair of segmentations; the fields are the columns of the table.

    Attributes
    ----------
    identifier : str
    series_uid : str
        The identifier where it is a UID; empty elsewhere.
    repeat : int
        1, and more where an identifier has several segmentations.
    segment : str
    dice, hausdorff95_mm, surface_distance_mm : float or None
        None where not defined: see `remark`.
    volume_first_ml, volume_second_ml, volume_difference_ml : float
    volume_difference_percent : float or None
    remark : str
    first_file, second_file : str
    """

    identifier: str
    series_uid: str
    repeat: int
    segment: str
    dice: float | None
    hausdorff95_mm: float | None
    surface_distance_mm: float | None
    volume_first_ml: float
    volume_second_ml: float
    volume_difference_ml: float
    volume_difference_percent: float | None
    remark: str
    first_file: str
    second_file: str


COLUMNS = tuple(field.name for field in fields(SegmentRow))


@dataclass(frozen=True)
class SegmentStudy:
    """All pairs.

    Attributes
    ----------
    names : tuple of two str
        Of the raters or methods.
    rows : tuple of SegmentRow
    unmatched_first, unmatched_second : tuple of str
    problems : tuple of str
        Pairs that could not be compared, each with the reason.
    """

    names: tuple[str, str]
    rows: tuple[SegmentRow, ...]
    unmatched_first: tuple[str, ...] = ()
    unmatched_second: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def segments(self) -> tuple[str, ...]:
        """Names of the segments, in the order in which they are met."""
        return tuple(dict.fromkeys(row.segment for row in self.rows))

    def of(self, segment: str) -> tuple[SegmentRow, ...]:
        """The rows of a segment."""
        return tuple(row for row in self.rows if row.segment == segment)


def study_from(values: Mapping[str, object]) -> SegmentStudy:
    """A study from its JSON document (`files.json_text.plain` of it)."""
    rows = tuple(SegmentRow(**row) for row in values["rows"])
    rest = (tuple(values[name]) for name in ("unmatched_first", "unmatched_second", "problems"))
    return SegmentStudy(tuple(values["names"]), rows, *rest)


def volumes(study: SegmentStudy, segment: str) -> PairedMeasurements:
    """The volumes of a segment as paired measurements; where it is empty in both it does not count."""
    rows = study.of(segment)
    used = [row for row in rows if row.volume_first_ml or row.volume_second_ml]
    paired = pair_values(
        [row.volume_first_ml for row in used],
        [row.volume_second_ml for row in used],
        [row.identifier for row in used],
        f"volume of {segment}",
        "ml",
        study.names,
    )
    paired = with_files(paired, {row.identifier: (row.first_file, row.second_file) for row in used})
    uids = {row.identifier: row.series_uid for row in used}
    left_out = tuple(f"{row.identifier}: {segment} is empty in both" for row in rows if row not in used)
    return replace(
        paired,
        pairs=tuple(replace(pair, series_uid=uids[pair.identifier]) for pair in paired.pairs),
        unmatched_first=study.unmatched_first,
        unmatched_second=study.unmatched_second,
        left_out=(*left_out, *study.problems),
    )


def describe(rows: Iterable[SegmentRow], metric: str) -> dict[str, float | int | None]:
    """Count, mean, SD, median, quartiles and range of a metric over the rows in which it is defined."""
    rows = tuple(rows)
    values = np.array([getattr(row, metric) for row in rows if getattr(row, metric) is not None], float)
    counts = {"count": len(values), "undefined": len(rows) - len(values)}
    names = ("mean", "sd", "median", "quartile_1", "quartile_3", "minimum", "maximum")
    if not len(values):
        return counts | dict.fromkeys(names)
    middle = np.percentile(values, (50, 25, 75))
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    numbers = (float(values.mean()), sd, *map(float, middle), float(values.min()), float(values.max()))
    return counts | dict(zip(names, numbers, strict=True))


def outliers(study: SegmentStudy, segment: str) -> tuple[Outlier, ...]:
    """Pairs with a segment that one of them lacks, an exceptionally low Dice or an exceptionally far surface.

    Exceptional is beyond Tukey's fences: 1.5 times the distance of the quartiles.
    """
    rows = study.of(segment)
    fences = {metric: _fence(rows, metric) for metric in ("dice", "hausdorff95_mm", "surface_distance_mm")}
    found = []
    for row in rows:
        reasons = []
        if bool(row.volume_first_ml) != bool(row.volume_second_ml):
            reasons.append(row.remark)
        for metric, (low, high) in fences.items():
            value = getattr(row, metric)
            if value is not None and not low <= value <= high:
                reasons.append(f"{METRICS[metric]} {value:.3g}")
        if reasons:
            reason, files = "; ".join(reasons), (row.first_file, row.second_file)
            found.append(Outlier(row.identifier, row.series_uid, row.volume_difference_ml, reason, files))
    return tuple(found)


def _fence(rows: Sequence[SegmentRow], metric: str) -> tuple[float, float]:
    told = describe(rows, metric)
    if told["count"] < FEWEST_FOR_FENCES:
        return -np.inf, np.inf
    reach = FENCE * (told["quartile_3"] - told["quartile_1"])
    if metric == "dice":
        return told["quartile_1"] - reach, np.inf
    return -np.inf, told["quartile_3"] + reach

"""What a model was trained on, and whether a series is outside of it.

A network answers on everything it is given, and most surely where it was never taught. What the
training cases had in common is therefore kept with the model, and a series that differs is told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..volume import Volume
from .cohort import Case

SPACING_FACTOR = 1.25
"""Spacings count as known up to this much finer or coarser than any of the training."""

LARGEST_LISTED = 40
"""Training sets with more body parts than this are not told apart by them."""

_PERCENTILES = {"p5": 5.0, "p50": 50.0, "p95": 95.0}
_WORDS = {
    "p5": "darkest values (5th percentile)",
    "p50": "median",
    "p95": "brightest values (95th percentile)",
    "background": "share of empty background",
}
_MOST_VALUES = 200_000


def training_range(
    cases: Iterable[Case],
    prepared: Iterable[np.ndarray | Mapping[str, float]] = (),
    volumes: Iterable[Volume] = (),
) -> dict[str, object]:
    """What the training cases span, in JSON's types, for ``input["range"]`` of the model's description.

    Parameters
    ----------
    cases : iterable of Case
        Those of the training part. Of their facts ``modality``, ``body_part``, ``spacing_mm`` (between
        slices) and ``pixel_mm`` (in the plane) are used.
    prepared : iterable of float arrays
        What the recipe made of them, ``Sample.images`` of shape (views, D, H, W) or one view (D, H, W);
        background and missing views are exactly 0. May be a generator: each is looked at once. Instead of
        an array, what `value_statistics` said of it, where arrays are not kept.
    volumes : iterable of Volume, optional
        Some of the same as they were read: their values before preparation count, too. May be a generator.

    Returns
    -------
    dict
        ``cases`` (their number), ``modality`` and ``body_part`` (sorted lists), ``spacing_mm``
        (``between_slices`` and ``in_plane``, each [smallest, largest]), ``prepared`` and ``values``
        (``p5``, ``p50``, ``p95``, ``background``: each [smallest, largest] over the cases). What is not
        known is left out.
    """
    cases = list(cases)
    spacings = {"between_slices": [], "in_plane": []}
    for key, fact in zip(spacings, ("spacing_mm", "pixel_mm"), strict=True):
        spacings[key] = [one for case in cases if (one := _positive(case.facts.get(fact))) is not None]
    names = {key: {_name(case.facts.get(key)) for case in cases} for key in ("modality", "body_part")}
    as_read = []
    for volume in volumes:
        as_read.append(value_statistics(volume.voxels))
        between, in_plane = _two(volume.geometry.spacing_kji)
        spacings["in_plane"].append(in_plane)
        spacings["between_slices"] += [between] if len(volume.voxels) > 1 else []
        for key, known in names.items():
            known.add(_name(getattr(volume.identity, key)))
    found: dict[str, object] = {"cases": len(cases)}
    for key, known in names.items():
        known.discard("")
        if known and len(known) <= LARGEST_LISTED:
            found[key] = sorted(known)
    if any(spacings.values()):
        found["spacing_mm"] = {key: _extent(values) for key, values in spacings.items() if values}
    looked = (array if isinstance(array, Mapping) else value_statistics(array) for array in prepared)
    for key, several in (("prepared", looked), ("values", as_read)):
        statistics = [one for one in several if one is not None]
        if statistics:
            found[key] = {name: _extent([one[name] for one in statistics]) for name in statistics[0]}
    return found


def out_of_range(
    known: Mapping[str, object], volume: Volume | Sequence[Volume | None], prepared: np.ndarray | None = None
) -> list[str]:
    """In which ways a series is not like those that a model was trained on, in words for the user.

    Parameters
    ----------
    known : mapping
        What `training_range` gave.
    volume : Volume, or sequence of Volume or None
        The series; for several views one each, None where a view is missing.
    prepared : array of shape (views, D, H, W) or (D, H, W), optional
        What the recipe made of it.

    Returns
    -------
    list of str
        Empty where nothing is unusual. No warning is given about what the training did not know.
    """
    views = [one for one in ([volume] if isinstance(volume, Volume) else volume) if one is not None]
    warnings = [line for one in views for line in _header_warnings(known, one)]
    if prepared is not None:
        warnings += _value_warnings(known.get("prepared"), value_statistics(prepared), " after preparation")
    for one in views:
        warnings += _value_warnings(known.get("values"), value_statistics(one.voxels), "")
    return list(dict.fromkeys(warnings))


def value_statistics(array: np.ndarray) -> dict[str, float] | None:
    """Percentiles of the values that are not 0, and the share that is; None where there are no values.

    Large arrays are sampled at regular places, so that the answer is always the same.
    """
    flat = np.asarray(array).reshape(-1)
    flat = flat[:: max(1, flat.size // _MOST_VALUES)].astype(np.float64)
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return None
    inside = flat[flat != 0]
    of = inside if inside.size else flat
    values = {name: float(np.percentile(of, q)) for name, q in _PERCENTILES.items()}
    return values | {"background": 1.0 - inside.size / flat.size}


def _header_warnings(known: Mapping[str, object], volume: Volume) -> Iterable[str]:
    identity = volume.identity
    for key, what in (("modality", "modality"), ("body_part", "body part")):
        mine, trained = _name(getattr(identity, key)), _names(known.get(key))
        if mine and trained and mine not in trained:
            yield f"The {what} is {mine}; the model was trained on {', '.join(trained)}."
    spacings = known.get("spacing_mm")
    if isinstance(spacings, Mapping):
        between, in_plane = _two(volume.geometry.spacing_kji)
        mine = (
            ("between_slices", "slices", between if len(volume.voxels) > 1 else None),
            ("in_plane", "pixels", in_plane),
        )
        for key, what, value in mine:
            low, high = _pair(spacings.get(key))
            if value is not None and low is not None and not low / SPACING_FACTOR <= value <= high * SPACING_FACTOR:
                yield f"The {what} are {value:.3g} mm apart; the model was trained on {_between(low, high)} mm."


def _value_warnings(known: object, mine: Mapping[str, float] | None, when: str) -> list[str]:
    """At most one line: values that are off are mostly off in all their percentiles."""
    if not isinstance(known, Mapping) or mine is None:
        return []
    margin = _margin(known)
    worst, line = 0.0, []
    for name, words in _WORDS.items():
        low, high = _pair(known.get(name))
        if low is None:
            continue
        allowed = 0.25 if name == "background" else margin
        excess = max(low - mine[name], mine[name] - high) / allowed if allowed else 0.0
        if excess > max(1.0, worst):
            worst = excess
            line = [
                f"The values differ from those that the model was trained on: {words}{when} {mine[name]:.3g}, "
                f"in training {_between(low, high)}."
            ]
    return line


def _margin(known: Mapping[str, object]) -> float:
    """How far values may lie beside those of the training: a quarter of what the training spans."""
    pairs = [_pair(known.get(name)) for name in _PERCENTILES]
    ends = [end for pair in pairs for end in pair if end is not None]
    return 0.25 * (max(ends) - min(ends)) if ends else 0.0


def _positive(value: object) -> float | None:
    if isinstance(value, (int, float, np.number)) and np.isfinite(value) and value > 0:
        return float(value)
    return None


def _two(spacing_kji: tuple[float, float, float]) -> tuple[float, float]:
    k, j, i = spacing_kji
    return float(k), float((j + i) / 2)


def _extent(values: Sequence[float]) -> list[float]:
    return [round(float(min(values)), 6), round(float(max(values)), 6)]


def _pair(value: object) -> tuple[float | None, float | None]:
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return float(value[0]), float(value[1])
    return None, None


def _between(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}" if f"{low:.3g}" != f"{high:.3g}" else f"{low:.3g}"


def _names(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else []


def _name(value: object) -> str:
    # A model's description refuses texts that start like an expression.
    return " ".join(str(value or "").upper().split()).lstrip("$@%_")

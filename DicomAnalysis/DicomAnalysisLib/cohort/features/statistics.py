"""Statistics of the values inside a mask, slice by slice, without a copy of the volume."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
INTENSITY_NAMES = (
    "mean",
    "sd",
    "skewness",
    "kurtosis",
    "entropy",
    *(f"p{percent:02d}" for percent in PERCENTILES),
)
_BINS = 64
_INT16 = 65536


def intensity_statistics(parts: Iterable[np.ndarray]) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Mean, spread and shape of a distribution of values.

    Parameters
    ----------
    parts : iterable of array
        Values of each slice; int16, or floats, of any shape. Not finite ones are left out.

    Returns
    -------
    dict of str to float
        `INTENSITY_NAMES`; empty where there are no values. Entropy is in bits, of 64 bins between the
        1st and the 99th percentile. Kurtosis is 0 for a normal distribution.
    values, counts : arrays
        The histogram behind them: distinct values, ascending, and how often each is met. Exact for whole numbers.
    """
    values, counts = _histogram(parts)
    total = int(counts.sum())
    if not total:
        return {}, values, counts
    mean = float(values @ counts) / total
    away = values - mean
    variance = float((away**2) @ counts) / total
    sd = variance**0.5
    skewness = float((away**3) @ counts) / total / sd**3 if sd > 0 else 0.0
    kurtosis = float((away**4) @ counts) / total / sd**4 - 3.0 if sd > 0 else 0.0
    upto = np.cumsum(counts)
    at = [float(values[np.searchsorted(upto, percent / 100 * total)]) for percent in PERCENTILES]
    found = dict(zip(INTENSITY_NAMES, (mean, sd, skewness, kurtosis, _entropy(values, counts, at), *at), strict=True))
    return found, values, counts


def share_between(values: np.ndarray, counts: np.ndarray, low: float, high: float) -> float:
    """Share of the values from `low` up to, not including, `high`; NaN where there are none."""
    total = counts.sum()
    return float(counts[(values >= low) & (values < high)].sum() / total) if total else float("nan")


def _histogram(parts: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    whole = np.zeros(_INT16, np.int64)
    floats: list[np.ndarray] = []
    for part in parts:
        if part.dtype == np.int16:
            flat = part.reshape(-1)
            if flat.size > _INT16 // 8:
                whole += np.bincount(flat.astype(np.int32) + _INT16 // 2, minlength=_INT16)
            elif flat.size:
                found, count = np.unique(flat, return_counts=True)
                whole[found.astype(np.int32) + _INT16 // 2] += count
        else:
            flat = np.asarray(part, np.float32).reshape(-1)
            floats.append(flat[np.isfinite(flat)])
    if floats:
        values, counts = np.unique(np.concatenate(floats), return_counts=True)
        return values.astype(np.float64), counts
    met = np.flatnonzero(whole)
    return met.astype(np.float64) - _INT16 // 2, whole[met]


def _entropy(values: np.ndarray, counts: np.ndarray, percentiles: list[float]) -> float:
    low, high = percentiles[0], percentiles[-1]
    if high <= low:
        return 0.0
    place = np.clip((values - low) / (high - low) * _BINS, 0, _BINS - 1).astype(np.int64)
    shares = np.bincount(place, weights=counts, minlength=_BINS) / counts.sum()
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())

"""From a feature table to numbers that distances make sense of: complete, standardised, and few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import UsageError
from ..features.table import FeatureTable

FEWEST_SERIES = 20
MOST_MISSING = 0.5
"""Share of the series that may lack a feature; beyond it the feature is left out."""
FEWEST_COMPONENTS = 10
FARTHEST = 10.0
"""Standard deviations at which a value is clipped, so that a single wrong one does not make a component."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Features ready for clustering.

    Attributes
    ----------
    columns : int array
        Of the table: those that are used.
    standard : float32 array, (series, used columns)
        Mean 0 and standard deviation 1; missing values are the median.
    scores : float32 array, (series, components)
        Principal components, the largest first.
    residual : float32 array, (series,)
        Length of what the components leave of each series.
    explained : float
        Share of the variance that the components hold.
    notes : tuple of str
        What was left out or filled in.
    """

    columns: np.ndarray
    standard: np.ndarray
    scores: np.ndarray
    residual: np.ndarray
    explained: float
    notes: tuple[str, ...]


def prepare(table: FeatureTable, components: int = 50) -> Prepared:
    """Fill, standardise and reduce.

    Parameters
    ----------
    table : FeatureTable
    components : int
        At most; see `principal_components`.

    Raises
    ------
    UsageError
        If there are too few series, or no feature differs between them.
    """
    count = len(table)
    if count < FEWEST_SERIES:
        raise UsageError(f"Clusters need at least {FEWEST_SERIES} series; the feature table has {count}.")
    values = np.where(np.isfinite(table.values), table.values, np.nan)
    missing = np.isnan(values)
    lacking = missing.mean(axis=0)
    notes: list[str] = []
    gone = lacking > MOST_MISSING
    if gone.any():
        notes.append(_listed(table, gone, "left out: more than half of the series lack them"))
    values[:, gone] = 0  # columns without a value would only make warnings
    if missing[:, ~gone].any():
        share = missing[:, ~gone].mean()
        notes.append(f"{share:.1%} of the values were missing and were taken to be the median of their feature.")
        values = np.where(np.isnan(values), np.nanmedian(values, axis=0), values)
    mean = values.mean(axis=0, dtype=np.float64)
    spread = values.std(axis=0, dtype=np.float64)
    same = ~gone & (spread <= 1e-6 * np.maximum(np.abs(mean), 1e-6))
    if same.any():
        notes.append(_listed(table, same, "left out: they are the same for all series"))
    columns = np.flatnonzero(~gone & ~same)
    if len(columns) < 2:
        raise UsageError("Clusters need at least two features that differ between the series; this table has fewer.")
    standard = ((values[:, columns] - mean[columns]) / spread[columns]).astype(np.float32)
    np.clip(standard, -FARTHEST, FARTHEST, out=standard)
    scores, explained = principal_components(standard, min(components, len(columns), count - 1))
    left = np.einsum("ij,ij->i", standard, standard) - np.einsum("ij,ij->i", scores, scores)
    return Prepared(columns, standard, scores, np.sqrt(np.maximum(left, 0)), explained, tuple(notes))


def principal_components(standard: np.ndarray, most: int) -> tuple[np.ndarray, float]:
    """Scores on the components that hold more than noise does, float32 (series, components), and their variance.

    A component counts whose eigenvalue is above the upper edge of Marchenko and Pastur's law (1967): as
    large as noise in so many features of so few series makes it. Components of noise would hide clusters:
    in many dimensions a series of a loose cluster is nearer to a tight cluster than to its own.

    By the eigenvectors of the covariance matrix: no random start, and quick where there are more series
    than features. Where there are fewer series the matrix of their products takes its place.

    Parameters
    ----------
    standard : float32 array, (series, features)
        Of mean 0 and standard deviation 1.
    most : int
        Components; where fewer than two are above noise, `FEWEST_COMPONENTS` or fewer are kept.

    Returns
    -------
    scores : float32 array, (series, components)
    explained : float
        Share of the variance.
    """
    count, features = standard.shape
    wide = features > count
    product = (standard @ standard.T if wide else standard.T @ standard).astype(np.float64)
    values, vectors = np.linalg.eigh(product)
    values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
    edge = (1 + np.sqrt(features / count)) ** 2
    above = int((values / count > edge).sum())
    kept = min(above if above >= 2 else FEWEST_COMPONENTS, len(values))
    values, vectors = values[:kept], vectors[:, :kept]
    explained = float(values.sum() / max(np.trace(product), 1e-12))
    scores = vectors * np.sqrt(np.maximum(values, 0)) if wide else standard @ vectors.astype(np.float32)
    # An eigenvector's sign is free: the largest score of each component is positive.
    signs = np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(kept)])
    return np.ascontiguousarray(scores * np.where(signs == 0, 1, signs), np.float32), explained


def _listed(table: FeatureTable, chosen: np.ndarray, why: str) -> str:
    names = [table.names[k] for k in np.flatnonzero(chosen)]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"Features {why}: {', '.join(names[:8])}{more}."

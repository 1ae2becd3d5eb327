"""What a network can cheat with in pixels: noise, borders, burnt-in text, the table, the grid.

`nuisance_features` measures things that say how a picture was made and not what the patient has.
Every feature is a plain number with a name for people in `WORDS`; a label that one of them tells is
looked at in `shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy import ndimage

from ...errors import DicomAnalysisError
from ...preprocessing.cropping import find_text
from ..cache import pixel_digests
from ..cohort import Case

NOISE, EDGES, TEXT, PLACE, GRID = "noise", "borders and background", "burnt-in text", "table and position", "grid"

ZONES = {
    "upper_left": (0, 0),
    "top": (0, 1),
    "upper_right": (0, 2),
    "left": (1, 0),
    "right": (1, 2),
    "lower_left": (2, 0),
    "bottom": (2, 1),
    "lower_right": (2, 2),
}
"""Where text is burnt in: row and column of a 3 x 3 board; its outer fields are `_MARGIN` wide."""


def _at(zone: str) -> str:
    return f"in the {zone.replace('_', ' ')} corner" if "_" in zone else f"at the {zone} edge"


WORDS: dict[str, tuple[str, str]] = {
    "noise_outside": (NOISE, "noise outside the body"),
    "noise_inside": (NOISE, "noise in flat tissue"),
    "noise_grain": (NOISE, "grain of the noise (kernel, resampling)"),
    "blockiness": (NOISE, "blocks of 8 pixels (JPEG)"),
    "background": (EDGES, "brightness outside the body"),
    "border_mean": (EDGES, "brightness of the border"),
    "padding_value": (EDGES, "value of the padding"),
    "padding_share": (EDGES, "share of padding"),
    "text_letters": (TEXT, "letters burnt in near an edge"),
    **{f"text_{zone}": (TEXT, f"text-like pixels {_at(zone)}") for zone in ZONES},
    "support_row": (PLACE, "height of the table in the picture"),
    "lowest_row": (PLACE, "lowest row that is not air"),
    "body_row": (PLACE, "height of the body in the picture"),
    "body_column": (PLACE, "sideways position of the body in the picture"),
    "slices": (GRID, "number of slices"),
    "rows": (GRID, "rows"),
    "columns": (GRID, "columns"),
    "spacing_slices": (GRID, "distance of slices"),
    "spacing_rows": (GRID, "distance of rows"),
    "spacing_columns": (GRID, "distance of columns"),
    "missing_views": (GRID, "number of missing views"),
}
"""Every feature: the group it belongs to, and its name for people."""

_SLICES = 5
_MARGIN = 0.2
_BORDER = 0.06
_JUMP = 0.25
"""Of the range of values without letters, between neighbours: what text has and anatomy at the border has not."""

# Immerkaer, Fast Noise Variance Estimation, CVIU 64 (1996): blind to planes and straight edges; its
# output over white noise has 6 times the standard deviation.
_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
_MAD = 1.4826
_AIR_SHARE = 0.15
_PADDED = 0.01
"""Share of the pixels with exactly the lowest value, from which that value is taken for padding."""

Images = np.ndarray | Sequence[np.ndarray]
ReadPicture = Callable[[Case], "tuple[Images, Sequence[float] | None] | None"]
"""From a case to its images, (views, slices, rows, columns), and (slice, row, column) spacing in mm."""


def nuisance_features(image: Images, spacing: Sequence[float] | None = None) -> dict[str, float]:
    """Measure what says how a picture was made.

    Parameters
    ----------
    image : array, (views, slices, rows, columns), or a sequence of (slices, rows, columns)
        Values as stored (Hounsfield units for CT), before any recipe where they can be had. A view
        that holds one value alone is a missing view.
    spacing : sequence of float, optional
        Distances of slices, rows and columns in mm.

    Returns
    -------
    dict of str to float
        One number for each key of `WORDS`; means over the views, of `text_*` the
        largest; NaN for what cannot be measured.
    """
    for view in image:
        if np.ndim(view) != 3:
            raise ValueError(f"a view is (slices, rows, columns); one has the shape {np.shape(view)}")
    taken = [np.asarray(view[_chosen(len(view))], np.float32) for view in image]
    views = [view for view in taken if view.size and view.min() < view.max()]
    found = [_view_features(view) for view in views]
    features = dict.fromkeys(WORDS, float("nan"))
    for name in found[0] if found else ():
        values = [one[name] for one in found if np.isfinite(one[name])]
        if values:
            features[name] = float(max(values) if name.startswith("text_") else np.mean(values))
    names = ("spacing_slices", "spacing_rows", "spacing_columns")
    features |= {name: float(value) for name, value in zip(names, spacing or (), strict=False)}
    if len(image):
        features |= {
            name: float(count) for name, count in zip(("slices", "rows", "columns"), np.shape(image[0]), strict=True)
        }
    return features | {"missing_views": float(len(image) - len(views))}


def read_raw(case: Case) -> tuple[list[np.ndarray], tuple[float, float, float]] | None:
    """The images of a case as its files hold them, and the spacing of the first; None where it has no files.

    Raises
    ------
    DicomAnalysisError
        If a file cannot be read.
    """
    from ..images import read_image

    volumes = [read_image(view.files) for view in case.views if view.present]
    if not volumes:
        return None
    geometry = volumes[0].geometry
    missing = [np.zeros((1, 1, 1), np.float32)] * len(case.missing_views)
    return [volume.voxels for volume in volumes] + missing, (geometry.slice_spacing, *geometry.pixel_spacing)


def measure_pictures(
    cases: Iterable[Case], read: ReadPicture, digests: dict[str, frozenset[bytes]] | None = None
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Features of every case, and a line for the user about pictures that could not be read, without their names.

    Parameters
    ----------
    cases : iterable of Case
    read : callable
        Gives None for a case without a picture.
    digests : dict, optional
        Takes the digests of each case's slices, by which identical pixels are found.
    """
    features, unread = {}, 0
    for case in cases:
        try:
            picture = read(case)
        except (DicomAnalysisError, OSError, ValueError):  # what it says has paths, which the report must not have
            unread += 1
            picture = None
        if picture is not None:
            features[case.case_id] = nuisance_features(*picture)
            if digests is not None:
                digests[case.case_id] = frozenset(bytes(row) for view in picture[0] for row in pixel_digests(view))
    lines = [f"Pictures that could not be read and were not looked at for shortcuts: {unread}."] if unread else []
    return features, lines


def _chosen(count: int) -> np.ndarray:
    """Slices to look at: spread over the middle four fifths."""
    return np.unique(np.linspace(0.1 * (count - 1), 0.9 * (count - 1), min(_SLICES, count)).round().astype(int))


def _view_features(slices: np.ndarray) -> dict[str, float]:
    lowest = float(slices.min())
    border = np.concatenate([part.ravel() for part in _frame(slices, _BORDER)])
    padding = float((slices == lowest).mean())
    air, tissue = _zones(slices)
    outside = slices[air]
    features = {
        "background": float(np.median(outside)) if outside.size else float("nan"),
        "border_mean": float(border.mean()),
        "padding_value": lowest if padding > _PADDED else float("nan"),
        "padding_share": padding if padding > _PADDED else 0.0,
        "blockiness": _blockiness(slices, tissue),
    }
    return features | _noise(slices, air, tissue) | _text(slices) | _place(slices, features["background"])


def _frame(slices: np.ndarray, share: float) -> tuple[np.ndarray, ...]:
    rows, columns = (max(1, round(share * size)) for size in slices.shape[1:])
    return slices[:, :rows], slices[:, -rows:], slices[:, :, :columns], slices[:, :, -columns:]


def _split_value(slices: np.ndarray) -> float:
    """Otsu's threshold between dark and bright, over 256 bins."""
    low, high = np.quantile(slices[:, ::2, ::2], (0.005, 0.995))
    if low >= high:
        low, high = float(slices.min()), float(slices.max())
    counts, edges = np.histogram(slices[:, ::2, ::2], bins=256, range=(float(low), float(high)))
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    mass = np.cumsum(counts * middles)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (mass[:-1] / below - (mass[-1] - mass[:-1]) / above) ** 2
    return float(edges[1 + int(np.nan_to_num(between).argmax())])


def _zones(slices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Air at the sides of the picture, and the inside of what is bright: bool, shape of `slices`.

    Air inside the body is left out, since what happens there may be the disease; so is padding.
    """
    threshold = _split_value(slices)
    dark = slices <= threshold
    low = slices.min()
    padded = slices == low
    if _PADDED < padded.mean() < 0.9 * dark.mean():
        dark &= ~padded
    near = np.zeros(slices.shape, bool)
    rows, columns = (max(2, round(_MARGIN * size)) for size in slices.shape[1:])
    near[:, :rows] = near[:, -rows:] = near[:, :, :columns] = near[:, :, -columns:] = True
    air = ndimage.minimum_filter(dark, (1, 3, 3)) & near
    bright = ndimage.minimum_filter(slices > threshold, (1, 5, 5))
    return air, bright


def _noise(slices: np.ndarray, air: np.ndarray, tissue: np.ndarray) -> dict[str, float]:
    rough = np.stack([ndimage.convolve(one, _LAPLACE, mode="nearest") for one in slices])
    beside = rough[:, :, 1:] * rough[:, :, :-1]
    both = tissue[:, :, 1:] & tissue[:, :, :-1]
    power = np.median(np.square(rough[tissue])) if tissue.any() else 0
    return {
        "noise_outside": _spread(rough[air]),
        "noise_inside": _spread(rough[tissue]),
        "noise_grain": float(np.median(beside[both]) / power) if power > 0 and both.any() else float("nan"),
    }


def _spread(values: np.ndarray) -> float:
    """Standard deviation by the median absolute deviation: blind to edges and text."""
    return float(_MAD * np.median(np.abs(values - np.median(values)))) if values.size else float("nan")


def _blockiness(slices: np.ndarray, tissue: np.ndarray) -> float:
    """Jump in flat tissue across borders of 8 x 8 blocks over the jump elsewhere, medians; 1 without blocks."""
    jumps = np.abs(np.diff(slices, axis=2))
    flat = tissue[:, :, 1:] & tissue[:, :, :-1]
    at = np.broadcast_to(np.arange(1, jumps.shape[2] + 1) % 8 == 0, flat.shape)
    across, inner = jumps[flat & at], jumps[flat & ~at]
    if not across.size or not inner.size or np.median(inner) <= 0:
        return float("nan")
    return float(np.median(across) / np.median(inner))


def _text(slices: np.ndarray) -> dict[str, float]:
    """Share of steep jumps in each field of the border, of the median over slices: text is in all of them.

    Text jumps across columns and down rows alike; the edge of a table does only one of them. Beside it the share of
    pixels that are letters wherever they stand: a side marker changes corners with the side, and is nothing in each.
    """
    picture = np.median(slices, axis=0)
    letters = find_text(picture)
    # Letters are brighter than the patient: what is steep in him is not to depend on whether there are any.
    extent = float(np.ptp(picture[~letters]))
    across, down = (
        np.abs(np.diff(picture, axis=axis, prepend=np.take(picture, [0], axis=axis))) > _JUMP * extent
        for axis in (1, 0)
    )
    cuts = []
    for size in picture.shape:
        margin = max(1, round(_MARGIN * size))
        cuts.append((slice(0, margin), slice(margin, max(size - margin, margin + 1)), slice(size - margin, size)))
    found = {"text_letters": float(letters.mean())}
    for zone, (row, column) in ZONES.items():
        field = (cuts[0][row], cuts[1][column])
        found[f"text_{zone}"] = (
            float(min(across[field].mean(), down[field].mean())) if picture[field].size else float("nan")
        )
    return found


def _place(slices: np.ndarray, background: float) -> dict[str, float]:
    """Rows and columns as shares of the picture's height and width."""
    picture = slices.mean(axis=0)
    rows, columns = picture.shape
    top = float(np.quantile(picture, 0.99))
    bright = picture > background + _AIR_SHARE * (top - background) if np.isfinite(background) else picture > top / 2
    lines = bright.mean(axis=1)
    filled = np.flatnonzero(lines > 0.05)
    lower = picture[rows // 2 :].mean(axis=1)
    falls = lower[:-1] - lower[1:]
    mass_rows, mass_columns = bright.sum(axis=1), bright.sum(axis=0)
    total = max(1, int(bright.sum()))
    return {
        "support_row": float((rows // 2 + falls.argmax() + 1) / rows) if len(falls) else float("nan"),
        "lowest_row": float((filled[-1] + 1) / rows) if len(filled) else float("nan"),
        "body_row": float((mass_rows * np.arange(rows)).sum() / total / rows),
        "body_column": float((mass_columns * np.arange(columns)).sum() / total / columns),
    }

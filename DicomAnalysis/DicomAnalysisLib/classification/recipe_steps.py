"""The steps that recipes are made of: each takes and returns the image on its way.

A step is a function of `Work` and named parameters; `STEPS` holds them by the names that stand in saved
recipes. A change of what a step does needs a new `recipe.VERSION`, or old caches and models mix with new.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ..errors import UsageError
from ..preprocessing import intensity
from ..preprocessing.cropping import border_box, bounding_box, without_text
from ..preprocessing.fixed_grid import centred, fitting_spacing, on_grid, on_planes, plane_field
from ..preprocessing.orientation import axes_of
from ..preprocessing.projections import project as projected
from ..preprocessing.slices import choose_slices
from .prepared import Work

LARGEST_COARSE = (64, 128, 128)
"""The foreground that a stack is cropped to is looked for on no more voxels than this."""
ALL = 0
"""As a count of slices."""


def canonical(work: Work, keep_slices: bool = False) -> Work:
    """Axes in canonical orientation; axes change places only when a later step resamples to a volume."""
    order, turned = axes_of(work.directions, keep_slices)
    native = [False] * 3
    for new, axis in enumerate(order):
        native[axis] = turned[new]
    return replace(work.turned(tuple(native)), order=order)


def crop_border(work: Work, tolerance: float = 0.01) -> Work:
    """Without constant rows and columns at the edges of the pictures."""
    return work.cropped((slice(None), *border_box(work.voxels, tolerance)))


def erase_text(work: Work, level: float = 0.9) -> Work:
    """Burnt-in text near the edges replaced by what is beside it."""
    return replace(work, voxels=without_text(work.voxels, level))


def crop(work: Work, method: str = "auto", margin_mm: float = 5.0) -> Work:
    """To the box of the foreground and a margin, found on a coarse copy."""
    strides = [max(1, -(-count // most)) for count, most in zip(work.voxels.shape, LARGEST_COARSE, strict=True)]
    coarse = work.voxels[tuple(slice(stride // 2, None, stride) for stride in strides)]
    spacing = tuple(step * stride for step, stride in zip(work.spacing_mm, strides, strict=True))
    mask = _mask(coarse, spacing, method, work.modality)
    if not mask.any():
        return work
    box = bounding_box(mask, tuple(int(np.ceil(margin_mm / step)) for step in spacing))
    return work.cropped(
        tuple(slice(part.start * stride, part.stop * stride) for part, stride in zip(box, strides, strict=True))
    )


def slices(work: Work, count: int = 16) -> Work:
    """Some slices, evenly spread in mm; 0: all."""
    chosen = choose_slices(work.distances, None if count == ALL else count)
    line = np.eye(4)
    slope, line[0, 3] = _line(chosen)
    line[0, 0] = slope if len(chosen) > 1 else 1.0
    own = np.rint(work.to_source[0, 0] * np.arange(len(work.voxels)) + work.to_source[0, 3]).astype(int)
    return replace(
        work,
        voxels=work.voxels[chosen],
        distances=work.distances[chosen],
        shifts_px=work.shifts_px[chosen],
        to_source=work.to_source @ line,
        chosen=tuple(int(k) for k in own[chosen]),
        mask=None if work.mask is None else work.mask[chosen],
        inside=None if work.inside is None else work.inside[chosen],
    )


def plane(work: Work, shape: tuple[int, int] = (128, 128), spacing_mm: float = 0.0) -> Work:
    """Every slice on a grid of its plane; 0 mm: as large as fits, with one spacing for rows and columns."""
    field = plane_field(work.voxels.shape[1:], work.shifts_px)
    extent = (field[1] - field[0]) * work.pixel_mm
    step = spacing_mm or max(extent[0] / shape[0], extent[1] / shape[1])
    places = centred(field, work.pixel_mm, (0.0, 0.0), (1, *shape), (1.0, step, step))
    values, inside = on_planes(work.voxels, places.rows, places.columns, work.fill, work.shifts_px)
    matrix = np.eye(4)
    for axis, line in ((1, places.rows), (2, places.columns)):
        slope, start = _line(work.shifts_px[:, axis - 1])
        matrix[axis, axis], matrix[axis, 0], matrix[axis, 3] = _step(line), -slope, line[0] - start
    return replace(
        work,
        voxels=values,
        shifts_px=np.zeros_like(work.shifts_px),
        pixel_mm=(step, step),
        to_source=work.to_source @ matrix,
        inside=np.broadcast_to(inside, values.shape),
        mask=None,
    )


def fixed_grid(
    work: Work, shape: tuple[int, int, int] = (64, 128, 128), spacing_mm: tuple[float, float, float] = ()
) -> Work:
    """The stack on a grid of (planes, rows, columns); no spacing: as large as fits."""
    order = work.order
    field, edges = plane_field(work.voxels.shape[1:], work.shifts_px), work.edges
    extent = (edges[1] - edges[0], *(field[1] - field[0]) * work.pixel_mm)
    wanted = tuple(spacing_mm) or fitting_spacing(tuple(extent[axis] for axis in order), shape)
    native_shape, native_spacing = [0, 0, 0], [0.0, 0.0, 0.0]
    for new, axis in enumerate(order):
        native_shape[axis], native_spacing[axis] = shape[new], wanted[new]
    places = centred(field, work.pixel_mm, edges, tuple(native_shape), tuple(native_spacing))
    values, inside = on_grid(work.voxels, work.distances, places, work.fill, edges, work.shifts_px)
    exchanged = np.zeros((4, 4))
    exchanged[3, 3] = 1.0
    for new, axis in enumerate(order):
        exchanged[axis, new] = 1.0
    along_slices = order[0] == 0
    return replace(
        work,
        voxels=values.transpose(order),
        inside=inside.transpose(order),
        mask=None,
        distances=np.arange(shape[0]) * wanted[0],
        shifts_px=np.zeros((shape[0], 2)),
        pixel_mm=(wanted[1], wanted[2]),
        thickness_mm=wanted[0],
        directions=work.directions[:, order],
        order=(0, 1, 2),
        to_source=work.to_source @ _grid_to_stack(work, places) @ exchanged,
        chosen=(),
        depth_line=(float(places.depths[0]), wanted[0]) if along_slices else None,
    )


def _grid_to_stack(work: Work, places: object) -> np.ndarray:
    """From index (d, h, w) of a native grid to index (k, j, i) of the stack; its best line where it is uneven."""
    matrix = np.eye(4)
    count = len(work.distances)
    step = _step(places.depths)
    if count > 1:
        slope, start = np.polyfit(work.distances, np.arange(count), 1)
        matrix[0, 0], matrix[0, 3] = slope * step, slope * places.depths[0] + start
    else:
        matrix[0, 0], matrix[0, 3] = (
            step / work.thickness_mm,
            (places.depths[0] - work.distances[0]) / work.thickness_mm,
        )
    for axis, line in ((1, places.rows), (2, places.columns)):
        slope, start = _line(work.shifts_px[:, axis - 1])
        matrix[axis, axis], matrix[axis, 0] = _step(line), -slope * matrix[0, 0]
        matrix[axis, 3] = line[0] - start - slope * matrix[0, 3]
    return matrix


def project(work: Work, method: str = "max", axis: int = 0) -> Work:
    """One picture of the stack, along its slices or frames (0), rows (1) or columns (2)."""
    values = projected(work.voxels, method, axis)
    left = [other for other in range(3) if other != axis]
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    matrix[axis, 3] = (work.voxels.shape[axis] - 1) / 2
    for new, old in enumerate(left, start=1):
        matrix[old, new] = 1.0
    spacing = work.spacing_mm
    inside = None if work.inside is None else work.inside.any(axis=axis)[None]
    return replace(
        work,
        voxels=values,
        distances=np.zeros(1),
        shifts_px=work.shifts_px[:1] * 0,
        pixel_mm=(spacing[left[0]], spacing[left[1]]),
        thickness_mm=spacing[axis] * work.voxels.shape[axis],
        to_source=work.to_source @ matrix,
        mask=None if work.mask is None else work.mask.any(axis=axis)[None],
        inside=inside,
        chosen=(),
        depth_line=None,
    )


def foreground(work: Work, method: str = "auto") -> Work:
    """What is not background; every later step leaves the rest exactly 0."""
    mask = _mask(work.voxels, work.spacing_mm, method, work.modality)
    return replace(work, mask=mask if work.inside is None else mask & work.inside)


def window(work: Work, low: float = -1000.0, high: float = 400.0) -> Work:
    """Values from low to high as 0 to 1."""
    return replace(work, voxels=intensity.hu_window(work.voxels, low, high, work.shown))


def truncate(work: Work, low: float = 5.0, high: float = 99.0) -> Work:
    """Values between two percentiles of the foreground as 0 to 1."""
    return replace(work, voxels=intensity.percentile_truncation(work.voxels, work.shown, low, high))


def clahe(work: Work, clip_limit: float = 0.01, tiles: int = 8) -> Work:
    """Contrast-limited adaptive histogram equalisation of every slice."""
    return replace(work, voxels=intensity.clahe(work.voxels, work.shown, clip_limit, tiles))


def equalise(work: Work, bins: int = 256) -> Work:
    """Histogram equalisation of the foreground."""
    return replace(work, voxels=intensity.equalise(work.voxels, work.shown, bins))


def invert(work: Work) -> Work:
    """Bright for dark; the background stays 0."""
    values = np.asarray(work.voxels, np.float32)
    values = values.max() + values.min() - values
    if work.shown is not None:
        values[~work.shown] = 0.0
    return replace(work, voxels=values)


def _mask(voxels: np.ndarray, spacing: tuple[float, float, float], method: str, modality: str) -> np.ndarray:
    if method == "auto":
        method = "body" if modality == "CT" else "bright"
    if method == "body":
        return intensity.body_mask(voxels, spacing)
    if method == "bright":
        return intensity.foreground_mask(voxels, spacing)
    if method == "nonzero":
        return voxels != 0
    if method == "all":
        return np.ones(voxels.shape, bool)
    msg = f"There is no foreground '{method}'; choose auto, body, bright, nonzero or all."
    raise UsageError(msg)


def _line(values: np.ndarray) -> tuple[float, float]:
    """Slope and start of the straight line nearest to values one apart."""
    if len(values) == 1:
        return 0.0, float(values[0])
    slope, start = np.polyfit(np.arange(len(values)), values, 1)
    return float(slope), float(start)


def _step(line: np.ndarray) -> float:
    return float(line[1] - line[0]) if len(line) > 1 else 1.0


STEPS: Mapping[str, Callable[..., Work]] = {
    step.__name__: step
    for step in (
        canonical,
        crop_border,
        erase_text,
        crop,
        slices,
        plane,
        fixed_grid,
        project,
        foreground,
        window,
        truncate,
        clahe,
        equalise,
        invert,
    )
}


def defaults(name: str) -> dict[str, object]:
    """A step's parameters with their defaults.

    Raises
    ------
    UsageError
        If there is no such step.
    """
    if name not in STEPS:
        msg = f"There is no step '{name}' for a recipe; there are: {', '.join(STEPS)}."
        raise UsageError(msg)
    parameters = list(inspect.signature(STEPS[name]).parameters.values())[1:]
    return {parameter.name: parameter.default for parameter in parameters}

"""One picture of a segmented series: slices, reformats, contours, legend. No patient's name in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.atomic import atomic_path
from ..segmentation.result import SegmentationResult
from ..segments import METAL
from ..volume import Volume
from .planes import PLANES, View, acquired_view, plane_of, reformatted_view

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

LEVEL_HU, WIDTH_HU = -200, 1500
"""Shows foam, soft tissue and bone apart."""

TILE, WIDE, GAP, HEADER, FOOTER = 400, 440, 8, 64, 44
MAX_SLICES = 6
_BACKGROUND, _TEXT, _FAINT, _AMBER = (16, 17, 20), (232, 234, 237), (150, 156, 165), (255, 190, 70)


def write_preview(
    path: Path | str, volume: Volume, result: SegmentationResult, warnings: Sequence[str] | None = None
) -> None:
    """Write the picture as PNG.

    Parameters
    ----------
    path : path
    volume : Volume
    result : SegmentationResult
    warnings : sequence of str, optional
        Those that the picture counts; by default the volume's and the result's.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        draw_preview(volume, result, warnings).save(temporary)


def draw_preview(volume: Volume, result: SegmentationResult, warnings: Sequence[str] | None = None) -> Image.Image:
    """The picture: up to six slices, two reformats where there is depth, a line of facts and a legend."""
    from PIL import Image, ImageDraw

    masks = [(segment.kind, segment.mask) for segment in result.segments]
    slices = [acquired_view(volume, k, masks) for k in choose_slices(volume, result)]
    cuts = _reformats(volume, result)
    columns = 1 if len(slices) == 1 else 2 if len(slices) <= 4 else 3
    rows = -(-len(slices) // columns)
    tile = TILE if rows > 1 else 2 * TILE + GAP
    height = 2 * TILE + GAP
    left = columns * (tile + GAP)
    width = max(GAP + left + (WIDE + GAP if cuts else 0), 900)
    picture = Image.new("RGB", (width, HEADER + height + FOOTER), _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for index, view in enumerate(slices):
        row, column = divmod(index, columns)
        place = (GAP + column * (tile + GAP), HEADER + row * (tile + GAP))
        _paste(picture, draw, view, place, (tile, tile))
    for index, view in enumerate(cuts):
        _paste(picture, draw, view, (GAP + left, HEADER + index * (TILE + GAP)), (WIDE, TILE))
    _write_facts(draw, volume, width)
    count = len({*volume.warnings, *result.warnings} if warnings is None else warnings)
    _write_legend(draw, result, count, width, HEADER + height + 10)
    return picture


def choose_slices(volume: Volume, result: SegmentationResult, count: int = MAX_SLICES) -> list[int]:
    """Slices to show, in order: those with most of each segment, then the farthest from those chosen."""
    total = len(volume.voxels)
    chosen: list[int] = []
    for segment in result.segments:
        areas = segment.mask.reshape(total, -1).sum(axis=1)
        if areas.any():
            chosen.append(int(np.argmax(areas)))
    chosen = list(dict.fromkeys(chosen))[:count] or [total // 2]
    # The outermost slices often show little: keep a twentieth of the stack away from them.
    candidates = np.arange(total // 20, total - total // 20)
    while len(chosen) < min(count, len(candidates)):
        distance = np.abs(candidates[:, None] - np.array(chosen)).min(axis=1)
        if distance.max() == 0:
            break
        chosen.append(int(candidates[np.argmax(distance)]))
    return sorted(chosen)


def _reformats(volume: Volume, result: SegmentationResult) -> list[View]:
    """The two orthogonal cuts that the acquired slices do not show, through the middle of the patient."""
    geometry = volume.geometry
    if len(geometry) < 3:
        return []
    masks = [(segment.kind, segment.mask) for segment in result.segments]
    center = _middle_of_patient(volume, result)
    acquired = plane_of(geometry.normal)
    return [reformatted_view(volume, plane, center, masks) for plane in reversed(PLANES) if plane != acquired]


def _middle_of_patient(volume: Volume, result: SegmentationResult) -> np.ndarray:
    """LPS mm of the middle of what is denser than air and in no segment, coarsely; else of the volume."""
    steps = tuple(max(1, n // 64) for n in volume.shape)
    coarse = tuple(slice(None, None, step) for step in steps)
    body = volume.voxels[coarse] > -300
    for segment in result.segments:
        body &= ~segment.mask[coarse]
    if not body.any():
        return volume.center_lps
    k, j, i = (np.median(axis) * step for axis, step in zip(np.nonzero(body), steps, strict=True))
    return volume.geometry.index_to_lps(np.array([i, j, k]))


def _paste(
    picture: Image.Image, draw: ImageDraw.ImageDraw, view: View, place: tuple[int, int], box: tuple[int, int]
) -> None:
    """Draw a view into a box of (width, height) pixels, in its true proportions, with sides and title."""
    from PIL import Image

    tall, wide = view.size_mm
    scale = min(box[0] / wide, box[1] / tall)
    size = (max(1, round(wide * scale)), max(1, round(tall * scale)))
    gray = np.clip((view.image - (LEVEL_HU - WIDTH_HU / 2)) * (255 / WIDTH_HU), 0, 255).astype(np.uint8)
    pixels = np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC).convert("RGB")).copy()
    for kind, mask in view.masks:
        if mask.any():
            _overlay(pixels, np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size)) > 80, kind.color)
    corner = (place[0] + (box[0] - size[0]) // 2, place[1] + (box[1] - size[1]) // 2)
    picture.paste(Image.fromarray(pixels), corner)
    left, right, top, bottom = view.sides
    font, (x, y) = _font(15), place
    middle = (x + box[0] / 2, y + box[1] / 2)
    shadow = {"fill": _TEXT, "font": font, "stroke_width": 2, "stroke_fill": (0, 0, 0)}
    draw.text((x + 5, middle[1]), left, anchor="lm", **shadow)
    draw.text((x + box[0] - 5, middle[1]), right, anchor="rm", **shadow)
    draw.text((middle[0], y + 22), top, anchor="ma", **shadow)
    draw.text((middle[0], y + box[1] - 5), bottom, anchor="mb", **shadow)
    draw.text((x + 5, y + 4), view.title, anchor="la", **shadow)


def _overlay(pixels: np.ndarray, mask: np.ndarray, color: tuple[float, float, float]) -> None:
    """Tint the mask and draw its outline just outside, so that what is inside stays visible."""
    from scipy import ndimage

    rgb = np.array(color) * 255
    outline = ndimage.binary_dilation(mask, ndimage.generate_binary_structure(2, 2)) & ~mask
    pixels[mask] = (0.82 * pixels[mask] + 0.18 * rgb).astype(np.uint8)
    pixels[outline] = rgb.astype(np.uint8)


def _write_facts(draw: ImageDraw.ImageDraw, volume: Volume, width: int) -> None:
    slices, rows, columns = volume.shape
    dz, dy, dx = volume.geometry.spacing_kji
    spaced = f"{dx:.2f} x {dy:.2f} x {dz:.2f} mm" + ("" if volume.geometry.is_regular else " (median, uneven)")
    facts = [f"{slices} slice{'s' * (slices > 1)} of {columns} x {rows}", spaced]
    if abs(volume.geometry.tilt_degrees) > 0.5:
        facts.append(f"gantry tilt {volume.geometry.tilt_degrees:.1f}°")
    facts.append(f"window: level {LEVEL_HU} HU, width {WIDTH_HU} HU")
    draw.text((GAP, 8), f"Series {_printable(volume.identity.series_uid) or '(no UID)'}", fill=_TEXT, font=_font(20))
    draw.text((GAP, 36), "   ".join(facts), fill=_FAINT, font=_font(16))
    draw.text((width - GAP, 36), "DicomAnalysis", fill=_FAINT, font=_font(16), anchor="ra")


def _write_legend(draw: ImageDraw.ImageDraw, result: SegmentationResult, warnings: int, width: int, y: int) -> None:
    font, x = _font(17), float(GAP)
    for segment in result.segments:
        color = tuple(int(255 * c) for c in segment.kind.color)
        draw.rectangle((x, y + 3, x + 16, y + 19), fill=color)
        volume_ml = segment.measurements.get("volume_ml")
        text = f"{segment.kind.name}: " + ("none" if not segment.mask.any() else f"{volume_ml or 0.0:.1f} ml")
        if segment.kind is METAL and segment.mask.any() and result.threshold_hu is not None:
            text += f", above {result.threshold_hu:.0f} HU"
        draw.text((x + 24, y), text, fill=_TEXT, font=font)
        x += 24 + draw.textlength(text, font=font) + 32
    if warnings:
        text = f"{warnings} warning{'s' if warnings > 1 else ''}, see result.json"
        draw.text((width - GAP, y), text, fill=_AMBER, font=font, anchor="ra")


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text[:64])


def _font(size: int) -> object:
    from PIL import ImageFont

    return ImageFont.load_default(size)

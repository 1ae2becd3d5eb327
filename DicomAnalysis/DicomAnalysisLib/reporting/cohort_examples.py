"""The middle slices of example series, side by side: what a cluster looks like. No patient's name in them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..dicom.reader import read_volume
from ..dicom.series import series_from_files
from ..errors import DicomAnalysisError, SourceError
from .planes import View, acquired_view

if TYPE_CHECKING:
    from PIL import Image

TILE, GAP, CAPTION = 190, 6, 18
LEVEL_HU, WIDTH_HU = 40, 400
"""The soft-tissue window, which the caption names."""
LUNG_LEVEL_HU, LUNG_WIDTH_HU = -600, 1500
_LUNG_SHARE = 0.25
_BACKGROUND, _TEXT, _FAINT = (16, 17, 20), (232, 234, 237), (150, 156, 165)
_STACK = "/stack-"


@dataclass(frozen=True, eq=False)
class Example:
    """The middle slice of a series.

    Attributes
    ----------
    series : str
    view : View or None
        None where it cannot be read.
    low, high : float
        Values drawn black and white.
    words : str
        The window, or why there is no picture.
    """

    series: str
    view: View | None
    low: float = 0.0
    high: float = 1.0
    words: str = ""


def read_example(series: str, files: Sequence[str]) -> Example:
    """Read the middle slice of a series, and that one alone where each slice is a file.

    What cannot be read is said in the picture's place.
    """
    if not files:
        return Example(series, None, words="no files are known")
    try:
        found, problems = series_from_files(files)
        stacks = [stack for one in found for stack in one.stacks]
        if not stacks:
            reason = problems[0].reason if problems else "no image"
            return Example(series, None, words=f"not read: {reason}")
        _, _, number = series.partition(_STACK)
        stack = stacks[min(int(number) - 1, len(stacks) - 1) if number.isdigit() else 0]
        path = stack.slices[len(stack.slices) // 2][0].path
        volume = read_volume([path])
    except (DicomAnalysisError, OSError) as error:
        reason = str(error) if not isinstance(error, SourceError) else "it cannot be placed in space"
        for file in files:  # a report is passed on, and folders are called after patients
            reason = reason.replace(str(file), "a slice")
        return Example(series, None, words=f"not read: {reason}")
    view = acquired_view(volume, len(volume.voxels) // 2, ())
    if volume.identity.modality == "CT":
        inside = view.image[view.image > -950]
        lung = len(inside) > 0 and ((inside < -500).mean() > _LUNG_SHARE)
        level, width = (LUNG_LEVEL_HU, LUNG_WIDTH_HU) if lung else (LEVEL_HU, WIDTH_HU)
        return Example(series, view, level - width / 2, level + width / 2, f"L {level} W {width}")
    low, high = np.percentile(view.image, (1, 99))
    return Example(series, view, float(low), float(max(high, low + 1)), "1st to 99th percentile")


def montage_png(examples: Sequence[Example], columns: int = 4) -> bytes:
    """Examples side by side in their true proportions, with sides and windows, as PNG."""
    from PIL import Image, ImageDraw

    columns = min(columns, max(len(examples), 1))
    rows = -(-max(len(examples), 1) // columns)
    size = (GAP + columns * (TILE + GAP), GAP + rows * (TILE + CAPTION + GAP))
    picture = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for index, example in enumerate(examples):
        row, column = divmod(index, columns)
        _draw(picture, draw, example, index, (GAP + column * (TILE + GAP), GAP + row * (TILE + CAPTION + GAP)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _draw(picture: Image.Image, draw: object, example: Example, index: int, place: tuple[int, int]) -> None:
    from PIL import Image, ImageFont

    font, (x, y) = ImageFont.load_default(12), place
    caption = example.words if example.view is not None else "no picture"
    draw.text((x + 2, y + TILE + 2), f"{index + 1}   {caption}", fill=_FAINT, font=font)
    if example.view is None:
        draw.rectangle((x, y, x + TILE - 1, y + TILE - 1), outline=_FAINT)
        draw.multiline_text((x + 8, y + 8), _folded(example.words), fill=_FAINT, font=font)
        return
    tall, wide = example.view.size_mm
    scale = min(TILE / wide, TILE / tall)
    size = (max(1, round(wide * scale)), max(1, round(tall * scale)))
    gray = np.clip((example.view.image - example.low) * (255 / (example.high - example.low)), 0, 255).astype(np.uint8)
    shown = Image.fromarray(gray).resize(size, Image.Resampling.LANCZOS).convert("RGB")
    picture.paste(shown, (x + (TILE - size[0]) // 2, y + (TILE - size[1]) // 2))
    left, right, top, bottom = example.view.sides
    shadow = {"fill": _TEXT, "font": font, "stroke_width": 2, "stroke_fill": (0, 0, 0)}
    middle = (x + TILE / 2, y + TILE / 2)
    draw.text((x + 4, middle[1]), left, anchor="lm", **shadow)
    draw.text((x + TILE - 4, middle[1]), right, anchor="rm", **shadow)
    draw.text((middle[0], y + 3), top, anchor="ma", **shadow)
    draw.text((middle[0], y + TILE - 4), bottom, anchor="mb", **shadow)


def _folded(text: str, width: int = 27, lines: int = 8) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width)[:lines])

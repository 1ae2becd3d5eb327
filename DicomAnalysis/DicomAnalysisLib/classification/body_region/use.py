"""The body region of slices and of a series, and the warning where a tool was made for other regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...errors import DicomAnalysisError, TaskError
from ...volume import Volume
from .grid import channels, slice_cells
from .labels import MADE_FOR, REGIONS, WORDS
from .network import MODEL, RegionNetwork, load_network

SAMPLED_SLICES = 9
"""How many slices stand for a series where nobody asks for all of them."""
AXIAL = 0.8
"""How near the slices' normal must be to the patient's long axis (cosine); heads are tilted up to 30 degrees."""
SHOWN = 0.15
"""A region is shown by a series when this share of its slices' probability is on it."""
SURE = 0.9
"""A warning needs this much of the probability, on average over the slices, outside of what the tool was made for."""
LEAST_EXTENT_MM = 20.0
"""Narrower slices than this many mm show too little to tell a region from."""


@dataclass(frozen=True)
class BodyRegion:
    """What a series shows.

    Attributes
    ----------
    region : str
        The most probable region of all slices together, one of `labels.REGIONS`.
    confidence : float
        Mean over the slices of the probability of `region`.
    shown : tuple of str
        Regions that take part of the series, head first.
    slices : tuple of int
        Which slices were looked at, from 0.
    probabilities : array of shape (slices looked at, regions)
        In the order of `labels.REGIONS`; adds up to 1 in each row.
    model, version, sha256 : str
    """

    region: str
    confidence: float
    shown: tuple[str, ...]
    slices: tuple[int, ...]
    probabilities: np.ndarray
    model: str = MODEL
    version: str = ""
    sha256: str = ""

    @property
    def slice_regions(self) -> tuple[str, ...]:
        """The most probable region of each slice that was looked at."""
        return tuple(REGIONS[one] for one in self.probabilities.argmax(axis=1))


def body_region(volume: Volume, slices: int | None = SAMPLED_SLICES, model: str = MODEL) -> BodyRegion:
    """Tell which part of the body a CT volume shows.

    Parameters
    ----------
    volume : Volume
        Axial CT slices in Hounsfield units, a single one or more.
    slices : int or None
        How many slices are looked at, evenly spread; None looks at all.
    model : str
        Name or folder of the network.

    Returns
    -------
    BodyRegion

    Raises
    ------
    TaskError
        If the volume is not CT, not axial, or too small to tell.
    ModelError
        If the model's files were changed.

    Examples
    --------
    >>> from DicomAnalysisLib.phantom import make_head_phantom
    >>> body_region(make_head_phantom().volume).region
    'head'
    """
    _check(volume)
    network = load_network(model)
    count = len(volume.voxels)
    looked_at = np.unique(
        np.linspace(0, count - 1, count if slices is None else min(slices, count)).round().astype(int)
    )
    probabilities = slice_probabilities(volume, looked_at, network)
    mean = probabilities.mean(axis=0)
    best = int(mean.argmax())
    shown = tuple(region for region, share in zip(REGIONS, mean, strict=True) if share >= SHOWN)
    return BodyRegion(
        REGIONS[best],
        float(mean[best]),
        shown,
        tuple(int(k) for k in looked_at),
        probabilities,
        network.name,
        network.version,
        network.sha256,
    )


def slice_probabilities(volume: Volume, slices: Iterable[int], network: RegionNetwork) -> np.ndarray:
    """Probability of each region for some slices, shape (slices, regions)."""
    spacing = volume.geometry.pixel_spacing
    turned = _turns(volume)
    found = []
    for k in slices:
        pixels = volume.voxels[k]
        if volume.padding_values:
            pixels = np.where(volume.padding_mask(k), np.int16(-1000), pixels)
        cells = slice_cells(pixels, spacing)[:: turned[0], :: turned[1]]
        found.append(network.probabilities(channels(cells[None])))
    return np.concatenate(found)


def region_warnings(volume: Volume, tools: Iterable[str]) -> tuple[str, ...]:
    """One sentence for each tool that was made for other parts of the body than the volume shows.

    Silent where the region cannot be told or is in doubt: a false warning does more harm than none.

    Parameters
    ----------
    volume : Volume
    tools : iterable of str
        Names as in `labels.MADE_FOR`; others are never warned of.
    """
    tools = [tool for tool in tools if tool in MADE_FOR]
    if not tools:
        return ()
    try:
        found = body_region(volume)
    except DicomAnalysisError:
        return ()
    mean = found.probabilities.mean(axis=0)
    return tuple(sentence for tool in tools if (sentence := _sentence(tool, found, mean)))


def _sentence(tool: str, found: BodyRegion, mean: np.ndarray) -> str:
    """The warning for a tool; empty where there is none."""
    foreign = [n for n, region in enumerate(REGIONS) if region not in MADE_FOR[tool] and region != "none"]
    share = float(mean[foreign].sum())
    best = REGIONS[max(foreign, key=lambda n: mean[n])]
    native = any(region in MADE_FOR[tool] for region in found.slice_regions)
    if share < SURE or native:
        return ""
    made_for = [region for region in REGIONS if region in MADE_FOR[tool]]
    return (
        f"The series seems to show {WORDS[best]} ({share:.0%}); {tool} was made for {', '.join(made_for[:-1])} and "
        f"{made_for[-1]}: look at the result with care."
    )


def _check(volume: Volume) -> None:
    uid = volume.identity.series_uid or "(no UID)"
    if volume.identity.modality not in ("", "CT"):
        msg = f"Series {uid} is {volume.identity.modality}, not CT: body regions are told from Hounsfield units."
        raise TaskError(msg)
    if abs(volume.geometry.normal[2]) < AXIAL:
        msg = f"Series {uid} is not axial; body regions are told from axial slices."
        raise TaskError(msg)
    rows, columns = volume.shape[1:]
    dy, dx = volume.geometry.pixel_spacing
    if min(rows * dy, columns * dx) < LEAST_EXTENT_MM:
        msg = f"Series {uid} shows {rows * dy:.0f} x {columns * dx:.0f} mm: too little to tell a body region from."
        raise TaskError(msg)


def _turns(volume: Volume) -> tuple[int, int]:
    """Steps (1 or -1) along rows and columns so that the first row is in front and the first column at the right."""
    geometry = volume.geometry
    return (1 if geometry.column_direction[1] >= 0 else -1, 1 if geometry.row_direction[0] >= 0 else -1)

"""Draws the extension's icon and the module's: a head in its holder, and metal in it.

python Resources/make_icon.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Arc, Circle, Ellipse, FancyBboxPatch, Polygon

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "DicomAnalysis"))

from DicomAnalysisLib.segments import HEADREST, METAL  # noqa: E402

TARGETS = (
    ROOT / "Resources" / "DicomAnalysis.png",
    ROOT / "DicomAnalysis" / "Resources" / "Icons" / "DicomAnalysis.png",
)


def draw() -> plt.Figure:
    """The picture, 128x128 pixels at 128 dots an inch."""
    figure = plt.figure(figsize=(1, 1), dpi=128)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 128), ylim=(0, 128))
    axes.axis("off")
    axes.add_patch(FancyBboxPatch((6, 6), 116, 116, boxstyle="round,pad=0,rounding_size=20", fc="#16202b", ec="none"))
    axes.add_patch(Arc((64, 66), 94, 96, theta1=184, theta2=356, lw=5.5, color=HEADREST.color, capstyle="round"))
    axes.add_patch(Ellipse((64, 70), 62, 78, fc="#c9ced4", ec="none"))
    axes.add_patch(Polygon([(56, 105), (64, 118), (72, 105)], fc="#c9ced4", ec="none"))
    for side in (-1, 1):
        axes.add_patch(Ellipse((64 + side * 33, 66), 7, 17, angle=side * 18, fc="#c9ced4", ec="none"))
    axes.add_patch(Ellipse((64, 68), 47, 61, fc="#7f8a96", ec="white", lw=3.4))
    axes.plot([64, 64], [43, 93], color="#96a0ab", lw=1.2)
    axes.add_patch(Circle((83, 86), 6.5, fc=METAL.color, ec="none"))
    for dx, dy in ((14, 5), (9, 12), (-4, 14)):
        start = 9 / (dx * dx + dy * dy) ** 0.5
        axes.plot([83 + dx * start, 83 + dx], [86 + dy * start, 86 + dy], color=METAL.color, lw=1.8)
    return figure


if __name__ == "__main__":
    picture = draw()
    for target in TARGETS:
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.savefig(target, dpi=128, transparent=True, metadata={"Software": None})

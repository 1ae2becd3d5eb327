"""Options of the segmentation tasks: one dataclass, stored with every result."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import UsageError

TASKS = ("headrest", "metal", "bone")
REGIONS = ("inside", "outside", "all")
METHODS = ("auto", "classical", "network")
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class SegmentationOptions:
    """What to segment and how.

    Parameters
    ----------
    tasks : tuple of str
        Any of ``headrest``, ``metal``, ``bone``.
    region : str
        Which metal: ``inside`` (implants inside or at the skin), ``outside`` or ``all``.
    method, device : str
        ``auto``, ``classical`` or ``network``; ``auto``, ``cpu``, ``cuda`` or ``mps``.
    metal_threshold_hu : float or None
        A threshold of the user's own, above 0 HU; None derives it from the data.
    models : tuple of str
        Networks of the user's own: model folders, or names of shipped ones. Each is for the task its
        manifest names; for other tasks the shipped ones are used.

    Raises
    ------
    UsageError
        If a value is not one of those above.
    """

    tasks: tuple[str, ...] = ("headrest", "metal")
    region: str = "inside"
    method: str = "auto"
    device: str = "auto"
    metal_threshold_hu: float | None = None
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(dict.fromkeys(self.tasks)))
        object.__setattr__(self, "models", tuple(map(str, self.models)))
        for task in self.tasks:
            _require(task, TASKS, "task")
        if not self.tasks:
            msg = "No task given; choose headrest, metal or bone."
            raise UsageError(msg)
        _require(self.region, REGIONS, "region")
        _require(self.method, METHODS, "method")
        _require(self.device, DEVICES, "device")
        if self.metal_threshold_hu is not None and not 0 < self.metal_threshold_hu < math.inf:
            msg = f"A metal threshold of {self.metal_threshold_hu:g} HU makes no sense; give a number above 0 (water)."
            raise UsageError(msg)


def require_available(options: SegmentationOptions) -> None:
    """Refuse what cannot be had here, before anything is read.

    Raises
    ------
    UsageError
        If `method` is ``network`` and packages, model or device are missing, or one of `models` is not there or
        is for none of the tasks.
    ModelError
        If one of `models` is damaged.
    """
    if options.method == "network" or (options.models and options.method == "auto"):
        from .network.use import require_network

        require_network(options)


def _require(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        msg = f"Unknown {what} {value!r}; choose one of {', '.join(allowed)}."
        raise UsageError(msg)

"""Which network is used for a task, if any."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ModelError, UsageError
from ...networks.model_folder import LoadedModel, find_model, load_model, read_manifest, shipped_model
from ..options import SegmentationOptions
from . import grid, metal

if TYPE_CHECKING:
    from ...networks.prediction import Predictor

CHANNELS = {"headrest": grid.CHANNELS, "metal": metal.CHANNELS}
"""What a network for each task sees."""
CLASSES = {"headrest": grid.CLASSES, "metal": metal.CLASSES}
"""What it says."""
NETWORK_TASKS = tuple(CHANNELS)


PACKAGES = ("torch", "monai", "safetensors")


def missing_packages() -> tuple[str, ...]:
    """Packages that networks need and that are not installed, found without importing them."""
    return tuple(name for name in PACKAGES if importlib.util.find_spec(name) is None)


@dataclass(frozen=True)
class OpenNetwork:
    """A network that is ready to run.

    Attributes
    ----------
    predictor : Predictor
    model : LoadedModel
    """

    predictor: Predictor
    model: LoadedModel

    def use(self) -> dict[str, str]:
        """Which network ran, and where: for the result."""
        description = self.model.description
        return {
            "model": description.name,
            "version": description.version,
            "sha256": self.model.sha256,
            "device": self.predictor.device,
        }


NETWORK_MEASURES_BETTER = {"headrest": False, "metal": False}
"""For ``auto``, task by task: decided on held-out patients, see Documentation/networks.md."""


def is_wanted(task: str, options: SegmentationOptions) -> bool:
    """Whether a network is to be asked: always, where it measures better, or where the user brings one for the task."""
    if options.method != "auto":
        return options.method == "network"
    return NETWORK_MEASURES_BETTER.get(task, False) or own_model(task, options) is not None


def own_model(task: str, options: SegmentationOptions) -> Path | None:
    """The folder of the user's model for a task, if one was given.

    Raises
    ------
    UsageError
        If a model that was given is not there, or is for none of the tasks.
    ModelError
        If its manifest cannot be read.
    """
    of_task = {}
    for given in options.models:
        folder = find_model(given)
        its = read_manifest(folder).description.task
        if its not in NETWORK_TASKS:
            msg = (
                f"The model {given} is for {its[:60]!r}, not for one of {', '.join(NETWORK_TASKS)}: it cannot segment "
                "here. Leave it out, or, if it comes from a MONAI bundle, name the task in its metadata and import it."
            )
            raise UsageError(msg)
        of_task.setdefault(its, folder)
    return of_task.get(task)


def model_for(task: str, options: SegmentationOptions) -> Path | None:
    """The folder of the model for a task: the user's where one was given, else the shipped one.

    Raises
    ------
    UsageError, ModelError
        As `own_model`.
    """
    return own_model(task, options) or shipped_model(task)


def require_network(options: SegmentationOptions) -> None:
    """Refuse a network that cannot be had before anything is read: ``network``, or one of the user's.

    Raises
    ------
    UsageError
        If packages are missing, the device is not there, or no model is for any of the tasks.
    ModelError
        If a model is damaged.
    """
    wanted = [task for task in options.tasks if task in NETWORK_TASKS]
    found = [model_for(task, options) for task in wanted]
    if options.method != "network":
        return
    absent = missing_packages()
    if absent:
        names = ", ".join(absent)
        msg = (
            f"Method network needs {names}. In Slicer they are installed from the page Settings and log; elsewhere by "
            "pip install '.[network]'. Or use method auto or classical."
        )
        raise UsageError(msg)
    if wanted and not any(found):
        msg = f"There is no network for {' or '.join(wanted)}; use method auto or classical."
        raise UsageError(msg)
    from ...networks.devices import choose_device

    choose_device(options.device)


def open_network(task: str, options: SegmentationOptions, warnings: list[str]) -> OpenNetwork | None:
    """The network for a task, ready to run; None where the classical method is to do it.

    With ``auto`` a network that cannot be had is no error: where one was expected (the user brought it, or packages
    are there and it is damaged), `warnings` says so.

    Raises
    ------
    UsageError, ModelError
        With ``network``, if it cannot be had.
    """
    if task not in NETWORK_TASKS or not is_wanted(task, options):
        return None
    absent = missing_packages() if options.method == "auto" else ()
    if absent:
        if own_model(task, options) is not None:
            warnings.append(f"The network for {task} was not used: {', '.join(absent)} is not installed.")
        return None
    from ...networks.prediction import Predictor

    try:
        folder = model_for(task, options)
        if folder is None:
            return None
        model = _loaded(folder, (folder / "manifest.json").stat().st_mtime_ns)
        _require_fitting(model, task, folder)
        return OpenNetwork(Predictor(model, options.device), model)
    except ModelError as error:
        if options.method == "network" or options.models:
            raise
        warnings.append(f"The network for {task} was not used: {error}")
        return None


def _require_fitting(model: LoadedModel, task: str, folder: Path) -> None:
    """Refuse a network that was trained to see or to say something else, by an earlier version for example."""
    channels = model.description.architecture.get("in_channels", CHANNELS[task])
    if channels != CHANNELS[task]:
        msg = (
            f"The network {folder.name} for {task} takes {channels} channels; this version of the program gives "
            f"{CHANNELS[task]}. Please train it again, or use method classical."
        )
        raise ModelError(msg)
    classes = model.description.classes
    if classes != CLASSES[task]:
        msg = (
            f"The network {folder.name} for {task} says {', '.join(classes) or 'classes without names'}; the program "
            f"understands {', '.join(CLASSES[task])}, in this order. Use another network, or method classical."
        )
        raise ModelError(msg)


@lru_cache(maxsize=4)
def _loaded(folder: Path, _changed: int) -> LoadedModel:
    """A model, read and checked once for a batch of series."""
    return load_model(folder)

"""How an image is prepared for a network: a named list of steps that is saved with the model.

The same recipe runs in training and in prediction; its hash names entries of the cache, so that a changed
recipe never meets arrays of the old one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ..errors import ModelError, UsageError
from ..volume import Volume
from .prepared import Prepared, Work
from .recipe_steps import STEPS, defaults

VERSION = 2
"""Of what the steps do; a change of any makes another recipe of the same words."""


@dataclass(frozen=True)
class Step:
    """One step and its parameters, those not stated at their defaults.

    Parameters
    ----------
    name : str
        One of `recipe_steps.STEPS`.
    parameters : mapping

    Raises
    ------
    UsageError
        If there is no such step, or it has no such parameter, or the value is of another kind.
    """

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = defaults(self.name)
        unknown = sorted(set(self.parameters) - set(known))
        if unknown:
            msg = f"The step '{self.name}' has no parameter '{unknown[0]}'; it has: {', '.join(known) or 'none'}."
            raise UsageError(msg)
        whole = {name: _like(self.name, name, self.parameters.get(name, known[name]), known[name]) for name in known}
        object.__setattr__(self, "parameters", MappingProxyType(whole))

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.parameters.items())))

    def __reduce__(self) -> tuple:
        return Step, (self.name, dict(self.parameters))

    def to_dict(self) -> dict[str, object]:
        """As JSON writes it."""
        return {"step": self.name, **{k: list(v) if isinstance(v, tuple) else v for k, v in self.parameters.items()}}


def _like(step: str, name: str, value: object, default: object) -> object:
    """The value as the kind that the default is of."""
    if isinstance(default, tuple):
        fits = _numbers_like(value, default)
    elif isinstance(default, (bool, str)):
        fits = value if isinstance(value, type(default)) else None
    else:
        fits = _number_like(value, default)
    if fits is None:
        msg = f"{value!r} is no '{name}' for the step '{step}'; a value like {default!r} is wanted."
        raise UsageError(msg)
    return fits


def _number_like(value: object, default: float) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not np.isfinite(value):
        return None
    if isinstance(default, float):
        return float(value)
    return int(value) if value == int(value) else None


def _numbers_like(value: object, default: tuple) -> tuple | None:
    """A shape, or a spacing, which need not be stated."""
    if not isinstance(value, (list, tuple)) or any(_number_like(one, 1.0) is None or one <= 0 for one in value):
        return None
    if not default:
        return tuple(float(one) for one in value) if len(value) in (0, 3) else None
    whole = tuple(int(one) for one in value)
    return whole if len(value) == len(default) and list(whole) == list(value) else None


@dataclass(frozen=True)
class Recipe:
    """A named list of steps.

    Parameters
    ----------
    name : str
    steps : tuple of Step
    """

    name: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))

    @property
    def hash(self) -> str:
        """SHA-256 of the steps, their parameters and `VERSION`, as hexadecimal; the name does not count."""
        text = json.dumps([VERSION, [step.to_dict() for step in self.steps]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def shape(self) -> tuple[int | None, int | None, int | None]:
        """(D, H, W) of what it makes; None where that depends on the image."""
        depth = height = width = None
        for step in self.steps:
            p = step.parameters
            if step.name == "fixed_grid":
                depth, height, width = p["shape"]
            elif step.name == "plane":
                height, width = p["shape"]
            elif step.name == "slices":
                depth = p["count"] or None
            elif step.name == "project":
                left = [size for axis, size in enumerate((depth, height, width)) if axis != p["axis"]]
                depth, height, width = 1, *left
        return depth, height, width

    def apply(self, volume: Volume) -> np.ndarray:
        """What a network sees of a volume: float32 of shape (D, H, W), background exactly 0."""
        return self.prepare(volume).voxels

    def prepare(self, volume: Volume) -> Prepared:
        """The same, with the way back to the volume's voxels.

        Raises
        ------
        UsageError
            If a step cannot be done (see its function).
        """
        work = Work.of(volume)
        for step in self.steps:
            work = STEPS[step.name](work, **step.parameters)
        return work.result()

    def changed(self, step: str, **parameters: object) -> Recipe:
        """The same recipe with other parameters of one step.

        Raises
        ------
        UsageError
            If the recipe has no such step or the step no such parameter.
        """
        if step not in {one.name for one in self.steps}:
            names = ", ".join(one.name for one in self.steps)
            msg = f"The recipe '{self.name}' has no step '{step}'; it has: {names}."
            raise UsageError(msg)
        steps = [Step(one.name, {**one.parameters, **parameters}) if one.name == step else one for one in self.steps]
        return Recipe(self.name, tuple(steps))

    def to_dict(self) -> dict[str, object]:
        """As JSON writes it, beside a model's weights."""
        return {"name": self.name, "version": VERSION, "steps": [step.to_dict() for step in self.steps]}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Recipe:
        """A recipe that `to_dict` wrote.

        Raises
        ------
        ModelError
            If it is damaged or of another version.
        """
        try:
            if data["version"] != VERSION:
                msg = f"The recipe is of version {data['version']}, this program's steps are of {VERSION}; train again."
                raise ModelError(msg)
            steps = [Step(one["step"], {k: v for k, v in one.items() if k != "step"}) for one in data["steps"]]
            return cls(str(data["name"]), tuple(steps))
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"The recipe is damaged ({error!r}); get the model again."
            raise ModelError(msg) from error
        except UsageError as error:
            msg = f"The recipe is not one of this program: {error}"
            raise ModelError(msg) from error


def _recipe(name: str, *steps: str | tuple[str, dict[str, object]]) -> Recipe:
    parts = [(step, {}) if isinstance(step, str) else step for step in steps]
    return Recipe(name, tuple(Step(step, parameters) for step, parameters in parts))


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _recipe(
            "ct-volume",
            "canonical",
            ("crop", {"method": "body"}),
            "fixed_grid",
            ("foreground", {"method": "body"}),
            "window",
        ),
        _recipe(
            "ct-slices",
            ("canonical", {"keep_slices": True}),
            ("crop", {"method": "body"}),
            "slices",
            "plane",
            ("foreground", {"method": "body"}),
            "window",
        ),
        _recipe(
            "ct-projection",
            "canonical",
            ("crop", {"method": "body"}),
            "fixed_grid",
            ("foreground", {"method": "body"}),
            "window",
            ("project", {"method": "max", "axis": 1}),
        ),
        _recipe("mr-volume", "canonical", ("crop", {"method": "bright"}), "fixed_grid", "foreground", "truncate"),
        _recipe(
            "mr-slices",
            ("canonical", {"keep_slices": True}),
            ("crop", {"method": "bright"}),
            "slices",
            "plane",
            ("foreground", {"method": "bright"}),
            "truncate",
        ),
        _recipe(
            "mammography-slices",
            "crop_border",
            "erase_text",
            ("crop", {"method": "bright"}),
            "slices",
            "plane",
            ("foreground", {"method": "bright"}),
            "truncate",
        ),
        _recipe(
            "mammography-views",
            "crop_border",
            "erase_text",
            ("crop", {"method": "bright"}),
            ("project", {"method": "max"}),
            ("plane", {"shape": (256, 256)}),
            ("foreground", {"method": "bright"}),
            "truncate",
            "clahe",
        ),
        _recipe(
            "xa-views",
            "crop_border",
            "erase_text",
            ("project", {"method": "min"}),
            "plane",
            ("foreground", {"method": "all"}),
            ("truncate", {"low": 0.5, "high": 99.5}),
            "invert",
        ),
        _recipe(
            "picture",
            "crop_border",
            ("project", {"method": "mean"}),
            "plane",
            ("foreground", {"method": "all"}),
            ("truncate", {"low": 0.5, "high": 99.5}),
        ),
    )
}
"""By name; variants are made like ``RECIPES["ct-volume"].changed("fixed_grid", shape=(32, 64, 64))``."""


def recipe_named(name: str) -> Recipe:
    """A recipe of `RECIPES`.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    if name not in RECIPES:
        msg = f"There is no recipe '{name}'; there are: {', '.join(RECIPES)}."
        raise UsageError(msg)
    return RECIPES[name]

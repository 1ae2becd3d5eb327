"""What a model is, in plain values, and the network that is built from them.

Networks are those of ``monai.networks.nets``, and those of rooms that register a prefix in `OWN_NETWORKS`. A
description names one and gives its keyword arguments as JSON values; nothing in it is executed.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from torch.nn import Module

# Arguments by which MONAI's networks fetch weights from the network or read files of their own.
_FETCHING = ("pretrained", "checkpoint")

OWN_NETWORKS: Mapping[str, str] = {"classifier:": "...classification.architectures"}
"""Networks that are not MONAI's: the start of their names, and the module, found when one is first built, whose
``build_network(architecture)`` builds them. This room knows no more of them."""


@dataclass(frozen=True)
class ModelDescription:
    """What a model is.

    Attributes
    ----------
    name : str
        For example ``headrest``.
    version : str
    task : str
        What it finds.
    architecture : dict
        ``network``, a class of ``monai.networks.nets`` (or a name with a prefix of `OWN_NETWORKS`), and its
        keyword arguments.
    input : dict
        What it is given, in words of the room that prepares it (spacing in mm, window in HU …).
        ``multiple``: rows and columns must be a multiple of this; without it, it is known from
        the architecture.
    output : dict
        ``classes``: names of the channels that come out, background first.
    """

    name: str
    version: str
    task: str
    architecture: Mapping[str, object]
    input: Mapping[str, object] = field(default_factory=dict)
    output: Mapping[str, object] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the channels that come out."""
        return tuple(self.output.get("classes", ()))

    def to_dict(self) -> dict[str, object]:
        """In JSON's types."""
        texts = {"name": self.name, "version": self.version, "task": self.task}
        parts = {"architecture": self.architecture, "input": self.input, "output": self.output}
        return texts | {key: _listed(value) for key, value in parts.items()}

    @classmethod
    def from_dict(cls, values: object) -> ModelDescription:
        """From what `to_dict` gave.

        Raises
        ------
        ModelError
            If a part is missing or is not of its kind.
        """
        values = _part(values, "the description", Mapping)
        texts = {key: _part(values.get(key), key, str) for key in ("name", "version", "task")}
        parts = {key: dict(_part(values.get(key), key, Mapping)) for key in ("architecture", "input", "output")}
        _part(parts["architecture"].get("network"), "architecture.network", str)
        classes = _part(parts["output"].get("classes", []), "output.classes", list)
        if not all(isinstance(one, str) for one in classes):
            msg = "The description's output.classes must be a list of names."
            raise ModelError(msg)
        check_plain(parts)
        return cls(**texts, **copy.deepcopy(parts))


def build_network(description: ModelDescription) -> Module:
    """The network of a description, with weights drawn at random, on the CPU.

    Raises
    ------
    ModelError
        If MONAI has no such network, an argument is not plain, it would fetch weights from
        elsewhere, or it cannot be built from the arguments.
    """
    arguments = dict(description.architecture)
    name = arguments.pop("network", None)
    check_plain(arguments)
    prefix, colon, _rest = name.partition(":") if isinstance(name, str) else ("", "", "")
    if prefix + colon in OWN_NETWORKS:
        return import_module(OWN_NETWORKS[prefix + colon], __name__).build_network(description.architecture)
    network_class = _network_class(name)
    try:
        parameters = inspect.signature(network_class).parameters
        for key, value in arguments.items():
            if key.startswith(_FETCHING) and value:
                msg = f"The network {name} asks for weights from elsewhere ({key}); a model brings its own."
                raise ModelError(msg)
        fetching = (key for key, one in parameters.items() if key.startswith(_FETCHING) and one.default is True)
        return network_class(**(dict.fromkeys(fetching, False) | copy.deepcopy(arguments)))
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, AssertionError, NotImplementedError) as error:
        msg = f"The network {name} cannot be built from the arguments in the description: {error}"
        raise ModelError(msg) from error
    except (ArithmeticError, RuntimeError, ImportError, MemoryError) as error:
        msg = f"The network {name} of the description cannot be built on this computer: {error}"
        raise ModelError(msg) from error


def parameter_count(network: Module) -> int:
    """How many numbers a network has learned."""
    return sum(parameter.numel() for parameter in network.parameters())


def size_multiple(description: ModelDescription) -> int:
    """What rows and columns must be a multiple of for the network to give back the size it was given.

    ``input.multiple`` where the description says it; else what the architecture's strides make;
    32 where neither is known, which suits networks of up to five halvings.
    """
    said = description.input.get("multiple")
    if said is not None:
        if not isinstance(said, int) or not 1 <= said <= 1024:
            msg = f"The description's input.multiple is {said!r}; it must be a whole number from 1 to 1024."
            raise ModelError(msg)
        return said
    architecture = description.architecture
    strides = architecture.get("strides")
    if isinstance(strides, (list, tuple)):
        return math.prod(max(one) if isinstance(one, (list, tuple)) else int(one) for one in strides)
    if architecture["network"] in ("BasicUNet", "BasicUnet"):
        return 16
    if architecture["network"] == "SegResNet":
        return 2 ** (len(architecture.get("blocks_down", (1, 2, 2, 4))) - 1)
    return 32


def check_plain(value: object) -> None:
    """Refuse what is not a plain value.

    Raises
    ------
    ModelError
        If there is anything but numbers, texts, lists and objects of them, or a text that a
        configuration language would execute or look up.
    """
    if isinstance(value, str):
        if value.startswith(("$", "@", "%")):
            msg = f"The description holds the expression {value[:60]!r}. Only plain values are used; write the value."
            raise ModelError(msg)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or key.startswith("_"):
                msg = f"The description holds the key {str(key)[:60]!r}, which is not the name of a value."
                raise ModelError(msg)
            check_plain(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_plain(item)
    elif not (value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))):
        msg = f"The description holds {str(value)[:60]!r} ({type(value).__name__}), which is not a plain value."
        raise ModelError(msg)


def _network_class(name: object) -> type[Module]:
    from monai.networks import nets
    from torch.nn import Module

    found = getattr(nets, name, None) if isinstance(name, str) and not name.startswith("_") else None
    if not (inspect.isclass(found) and issubclass(found, Module)):
        msg = (
            f"There is no network {str(name)[:60]!r} in monai.networks.nets. Install a newer MONAI, or name one it has."
        )
        raise ModelError(msg)
    return found


def _part(value: object, name: str, kind: type) -> object:
    if not isinstance(value, kind):
        words = {str: "a text", Mapping: "an object", list: "a list"}
        msg = f"A model's description is not complete: {name} must be {words[kind]}."
        raise ModelError(msg)
    return value


def _listed(value: object) -> object:
    """Tuples become lists, as JSON gives them back: what was saved is equal to what is read."""
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value

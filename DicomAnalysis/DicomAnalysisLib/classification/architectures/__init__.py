"""The networks that classify, by name, and how one is built from plain values.

``volume3d`` sees a volume at once, ``slices`` looks at every slice and pools over them, ``multiview`` fuses the views
of a case. All take ``forward(images, present)`` with images, float32 (cases, views, slices, rows, columns), and
present, float32 (cases, views), to logits (cases, outputs); all have ``features(images, present)`` of `FEATURES`
numbers a case, the same for every network, from which the last layer makes the logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import ModelError, UsageError

if TYPE_CHECKING:
    from torch.nn import Module

FEATURES = 128
"""Numbers that every network makes of a case before its last layer."""

PREFIX = "classifier:"
"""Before the name of a network in a model's description."""

SIZES = ("small", "standard")
POOLINGS = ("attention", "conv", "slicewise")

NETWORKS: Mapping[str, str] = {
    "volume3d/densenet121": "3-D DenseNet121 (MONAI)",
    "volume3d/resnet18": "3-D ResNet18 (MONAI; MedicalNet's weights fit)",
    "volume3d/small3d": "the small 3-D network of the Keras tutorial on CT, as a baseline",
    "slices/vgg16": "VGG-16 on each slice, then pooling over slices",
    "slices/resnet50": "ResNet50 on each slice (MONAI; ImageNet's weights fit), then pooling over slices",
    "slices/small2d": "a small 2-D network on each slice, then pooling over slices",
    "multiview/shared": "one encoder for every view, fused with a mask of the views that are there",
    "multiview/early": "the views as channels of one picture, as a baseline",
}
"""Name and one line about each."""


@dataclass(frozen=True)
class ClassifierDescription:
    """A classifying network in plain values.

    Parameters
    ----------
    network : str
        One of `NETWORKS`.
    outputs : int
        Logits a case; see `heads.Heads.outputs`.
    views : int
        1 for ``volume3d`` and ``slices``.
    size : str
        ``small`` has fewer channels and looks at coarser pixels: minutes on two CPU cores.
        ``standard`` is the published network, for a graphics card.
    pooling : str
        Of ``slices``: ``attention``, ``conv`` (1x3x3 convolution, then the largest and the mean) or ``slicewise``
        (every slice is scored alone, the volume's score is a soft maximum of theirs).
    dropout : float
        Before the last layer, from 0 to below 1.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """

    network: str
    outputs: int
    views: int = 1
    size: str = "standard"
    pooling: str = "attention"
    dropout: float = 0.2

    def __post_init__(self) -> None:
        for name, value, known in (
            ("network", self.network, tuple(NETWORKS)),
            ("size", self.size, SIZES),
            ("pooling", self.pooling, POOLINGS),
        ):
            if value not in known:
                msg = f"Unknown {name} {value!r}; choose one of {', '.join(known)}."
                raise UsageError(msg)
        for name in ("outputs", "views"):
            if not isinstance(getattr(self, name), int) or not 1 <= getattr(self, name) <= 10_000:
                msg = f"{name} is {getattr(self, name)!r}; it must be a whole number from 1."
                raise UsageError(msg)
        if self.kind != "multiview" and self.views != 1:
            msg = (
                f"The network {self.network} takes one view a case, and the cohort has {self.views}. "
                "Choose multiview/shared, or name one view."
            )
            raise UsageError(msg)
        if not 0 <= self.dropout < 1:
            msg = f"dropout is {self.dropout}; give a number from 0 to below 1."
            raise UsageError(msg)

    @property
    def kind(self) -> str:
        """``volume3d``, ``slices`` or ``multiview``."""
        return self.network.partition("/")[0]

    @property
    def variant(self) -> str:
        """Which of its kind, for example ``densenet121``."""
        return self.network.partition("/")[2]

    def to_architecture(self) -> dict[str, object]:
        """As `networks.architectures.ModelDescription.architecture` has it."""
        return asdict(self) | {"network": PREFIX + self.network}

    @classmethod
    def from_architecture(cls, values: Mapping[str, object]) -> ClassifierDescription:
        """From what `to_architecture` gave.

        Raises
        ------
        ModelError
            If it is not a classifier's.
        """
        known = {one.name for one in fields(cls)}
        network = str(values.get("network", ""))
        if not network.startswith(PREFIX) or values.keys() - known or "outputs" not in values:
            msg = f"The description is not that of a classifier this version knows ({network[:60]!r})."
            raise ModelError(msg)
        try:
            return cls(**dict(values) | {"network": network.removeprefix(PREFIX)})
        except (UsageError, TypeError) as error:
            msg = f"The classifier of the description cannot be built: {error}"
            raise ModelError(msg) from error


def build_classifier(description: ClassifierDescription) -> Module:
    """The network of a description, with weights drawn at random, on the CPU.

    Returns
    -------
    torch.nn.Module
        A `base.network_class`: ``forward``, ``features``, ``reduce``; ``explained_layer`` names the module whose
        output is the last map of features.
    """
    return import_module(f".{description.kind}", __name__).build(description)


def build_network(architecture: Mapping[str, object]) -> Module:
    """The same, from a model's description; `networks.architectures` asks for it by the prefix."""
    return build_classifier(ClassifierDescription.from_architecture(architecture))

"""A classifier as a task of a cohort: probabilities, or the features that its last layer sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...classification.models import read_classifier, view_names
from ...dicom.problem import Problem
from ...dicom.series import Series
from ...errors import ModelError
from ...volume import Volume
from .rows import Row, row_of, volumes_of

Views = Volume | Mapping[str, Volume]
"""One stack, or the views of a case by their names; missing ones are left out."""


class DescribedModel(NamedTuple):
    """What a run must know of a classifier.

    Attributes
    ----------
    sha256 : str
        Of its weights.
    depends : mapping
        What its numbers depend on beside them.
    views : tuple of str
        ``("",)`` for a model that looks at one series.
    """

    sha256: str
    depends: Mapping[str, object]
    views: tuple[str, ...]


def describe_model(model: str) -> DescribedModel:
    """What a run must know of a classifier; torch is not needed.

    Raises
    ------
    UsageError
        If there is no such model, or it does not classify.
    ModelError
        If its manifest is missing or was changed.
    """
    manifest = read_classifier(model)
    description = manifest.description
    depends = {"input": description.input, "output": description.output}
    return DescribedModel(manifest.sha256, depends, view_names(description.input))


class _OfStacks:
    """What is measured of one stack after the other, by `measure`."""

    takes_flat = True

    def rows(self, series: Sequence[Series], _problems: Sequence[Problem]) -> list[Row]:
        """One row for each stack but scouts."""
        return [row_of(one, name, stack, self.measure(volume)) for one, name, stack, volume in volumes_of(series)]


class Probabilities(_OfStacks):
    """Calibrated probabilities of every class, of every stack or case.

    Parameters
    ----------
    model : str
        Folder or name of a classifier.
    device : str

    Attributes
    ----------
    view_names, view_rules : tuple of str
        As `Classifier` has them.
    """

    def __init__(self, model: str, device: str):
        from ...classification.prediction import load_classifier

        _one_thread()
        self._classifier = load_classifier(model, device)
        self.view_names, self.view_rules = self._classifier.view_names, self._classifier.view_rules
        self.names = tuple(f"p {target.name}:{name}" for target in self._classifier.targets for name in target.classes)

    def measure(self, views: Views) -> dict[str, float]:
        """Probabilities of one stack or case."""
        answers = self._classifier.predict(views).answers
        values = [probability for answer in answers for probability in answer.probabilities]
        return dict(zip(self.names, values, strict=True))


class NetworkFeatures(_OfStacks):
    """What the last layer of a classifier sees, of every stack or case: as many numbers for every architecture.

    Parameters
    ----------
    model : str
        Folder or name of a classifier.
    device : str

    Attributes
    ----------
    view_names, view_rules : tuple of str
        As `Classifier` has them.

    Raises
    ------
    ModelError
        If its network has no features to give.
    """

    def __init__(self, model: str, device: str):
        from ...classification.architectures import FEATURES
        from ...classification.prediction import Classifier
        from ...networks.devices import choose_device
        from ...networks.model_folder import load_model

        _one_thread()
        loaded = load_model(read_classifier(model).folder)
        if not hasattr(loaded.network, "features"):
            msg = f"The network of the model {loaded.description.name} gives no features; train a classifier again."
            raise ModelError(msg)
        described = Classifier(loaded, device)
        self.view_names, self.view_rules = described.view_names, described.view_rules
        self._recipe, self._network = described.recipe, loaded.network
        self._device = choose_device(device)
        self.names = tuple(f"network_{number:03d}" for number in range(FEATURES))

    def measure(self, views: Views) -> dict[str, float]:
        """Features of one stack or case."""
        import torch

        from ...classification.prediction import stack_views

        volumes = {self.view_names[0]: views} if isinstance(views, Volume) else views
        prepared = [self._recipe.prepare(volumes[name]) if name in volumes else None for name in self.view_names]
        tensors = [torch.from_numpy(one)[None].to(self._device) for one in stack_views(prepared)]
        with torch.inference_mode():
            found = self._network.features(*tensors)
        values = found.float().cpu().numpy().reshape(-1)
        if len(values) != len(self.names) or not np.isfinite(values).all():
            msg = f"The network gives {len(values)} features, not all finite, where {len(self.names)} are expected."
            raise ModelError(msg)
        return dict(zip(self.names, map(float, values), strict=True))


def _one_thread() -> None:
    """Workers are many; sums in one thread are the same however many there are."""
    import torch

    torch.set_num_threads(1)

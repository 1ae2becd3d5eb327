"""A classifier as a task of a cohort: probabilities, or the features that its last layer sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...dicom.problem import Problem
from ...dicom.series import Series
from ...errors import ModelError, UsageError
from .work import Row, row_of, volumes_of

if TYPE_CHECKING:
    from ...volume import Volume


def describe_model(model: str) -> tuple[str, Mapping[str, object]]:
    """The SHA-256 of a classifier's weights, and what its numbers depend on beside them; torch is not needed.

    Raises
    ------
    UsageError
        If there is no such model, it does not classify, or it looks at several views of a case at once.
    ModelError
        If its manifest is missing or was changed.
    """
    from ...classification.prediction import read_classifier, view_names

    manifest = read_classifier(model)
    description = manifest.description
    if len(view_names(description.input)) > 1:
        msg = (
            f"The model {description.name} looks at several views of a case together; a cohort is gone through series "
            "by series. Use the command classify, or train a model of one view."
        )
        raise UsageError(msg)
    return manifest.sha256, {"input": description.input, "output": description.output}


class Probabilities:
    """Calibrated probabilities of every class, of every stack.

    Parameters
    ----------
    model : str
        Folder or name of a classifier.
    device : str
    """

    takes_flat = True

    def __init__(self, model: str, device: str):
        from ...classification.prediction import load_classifier

        _one_thread()
        self._classifier = load_classifier(model, device)
        self.names = tuple(f"p {target.name}:{name}" for target in self._classifier.targets for name in target.classes)

    def rows(self, series: Sequence[Series], _problems: Sequence[Problem]) -> list[Row]:
        """One row for each stack but scouts."""
        return [row_of(one, name, stack, self.measure(volume)) for one, name, stack, volume in volumes_of(series)]

    def measure(self, volume: Volume) -> dict[str, float]:
        """Probabilities of one stack."""
        answers = self._classifier.predict(volume).answers
        values = [probability for answer in answers for probability in answer.probabilities]
        return dict(zip(self.names, values, strict=True))


class NetworkFeatures:
    """What the last layer of a classifier sees, of every stack: as many numbers for every architecture.

    Parameters
    ----------
    model : str
        Folder or name of a classifier.
    device : str

    Raises
    ------
    ModelError
        If its network has no features to give.
    """

    takes_flat = True

    def __init__(self, model: str, device: str):
        from ...classification.architectures import FEATURES
        from ...classification.prediction import read_classifier
        from ...classification.recipe import Recipe
        from ...networks.devices import choose_device
        from ...networks.model_folder import load_model

        _one_thread()
        loaded = load_model(read_classifier(model).folder)
        if not hasattr(loaded.network, "features"):
            msg = f"The network of the model {loaded.description.name} gives no features; train a classifier again."
            raise ModelError(msg)
        self._recipe = Recipe.from_dict(loaded.description.input["recipe"])
        self._device = choose_device(device)
        self._network = loaded.network.eval().to(self._device)
        self.names = tuple(f"network_{number:03d}" for number in range(FEATURES))

    def rows(self, series: Sequence[Series], _problems: Sequence[Problem]) -> list[Row]:
        """One row for each stack but scouts."""
        return [row_of(one, name, stack, self.measure(volume)) for one, name, stack, volume in volumes_of(series)]

    def measure(self, volume: Volume) -> dict[str, float]:
        """Features of one stack."""
        import torch

        images = np.ascontiguousarray(self._recipe.apply(volume), np.float32)[None, None]
        with torch.inference_mode():
            found = self._network.features(
                torch.from_numpy(images).to(self._device), torch.ones((1, 1), device=self._device)
            )
        values = found.float().cpu().numpy().reshape(-1)
        if len(values) != len(self.names) or not np.isfinite(values).all():
            msg = f"The network gives {len(values)} features, not all finite, where {len(self.names)} are expected."
            raise ModelError(msg)
        return dict(zip(self.names, map(float, values), strict=True))


def _one_thread() -> None:
    """Workers are many; sums in one thread are the same however many there are."""
    import torch

    torch.set_num_threads(1)

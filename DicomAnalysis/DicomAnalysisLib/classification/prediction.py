"""A trained classifier at work: volumes in, calibrated probabilities out, with warnings where it was never taught."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError, TaskError, UsageError
from ..volume import Volume
from .backprojection import prepared_to_source
from .explained import Explain, Explained, ExplainRequest
from .explanation import Explainer
from .heads import Heads, targets_of
from .models import read_classifier, temperatures, view_names
from .ranges import out_of_range
from .recipe import Recipe
from .result import Answer, ClassificationResult, Explanation, ModelStamp

if TYPE_CHECKING:
    from ..networks.model_folder import LoadedModel
    from .prepared import Prepared

Views = Volume | Mapping[str, Volume | None] | Sequence[Volume | None]
Progress = Callable[[float, str], None]


def load_classifier(name_or_folder: str | Path, device: str = "auto") -> Classifier:
    """A classifier of a folder, or one that is shipped, by its name.

    Parameters
    ----------
    name_or_folder : str or path
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    UsageError
        If there is no such model or device, or the model does not classify.
    ModelError
        If a file of it is missing or was changed.
    """
    from ..networks.model_folder import load_model

    return Classifier(load_model(read_classifier(name_or_folder).folder), device)


class Classifier:
    """A model on a device.

    Parameters
    ----------
    model : LoadedModel
        Its description says recipe, views, targets, temperatures and training range.
    device : str
        As for `load_classifier`.

    Attributes
    ----------
    model : ModelStamp
    targets : tuple of Target
    view_names : tuple of str
        ``("",)`` for a model that looks at one series.
    recipe : Recipe
    view_rules : tuple of str
        How series were known to be a view in training, as ``--view`` takes them, where the model says so.
    depends_on : dict
        What an answer hangs on beside the images: the model's description and the SHA-256 of its weights.

    Raises
    ------
    UsageError
        If there is no such device.
    ModelError
        If the description lacks what a classifier needs.
    """

    def __init__(self, model: LoadedModel, device: str = "auto"):
        from ..networks.devices import choose_device

        description = model.description
        if not isinstance(description.input.get("recipe"), Mapping):
            msg = f"The model {description.name} does not say how images are prepared for it. Train it again."
            raise ModelError(msg)
        self.recipe = Recipe.from_dict(description.input["recipe"])
        self.targets = targets_of(description.output)
        self.view_names = view_names(description.input)
        rules = description.input.get("view_rules")
        self.view_rules = tuple(str(one) for one in rules) if isinstance(rules, (list, tuple)) else ()
        self.model = ModelStamp(description.name, description.version, model.sha256, self.recipe.name)
        self.depends_on = {"description": description.to_dict(), "sha256": model.sha256}
        self._known_range = description.input.get("range") or {}
        self._temperatures = temperatures(description.output)
        self._heads = Heads(self.targets)
        self._device = choose_device(device)
        self._network = model.network.eval().to(self._device)
        self._explainers: dict[str, Explainer] = {}

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._device)

    def predict(self, views: Views, explain: Explain = False, progress: Progress | None = None) -> ClassificationResult:
        """Classify one series, or the views of one case.

        Parameters
        ----------
        views : Volume, mapping of str to Volume, or sequence
            A volume for a model that looks at one; else the volumes by the names of the views, or in their
            order. Missing views are left out or None.
        explain : bool, str or sequence of str
            Also say where the model looked: True or ``"grad-cam"``, or ``"occlusion"``, of the first target. Others
            are named, beside the method or without one: ``"all"`` is every target, a target's name the class that is
            told of it (of a binary one the second, else the most probable), ``"TARGET:CLASS"`` any class.
        progress : callable, optional
            Called with the share that is done and the stage.

        Returns
        -------
        ClassificationResult

        Raises
        ------
        UsageError
            If there is no such view or explanation.
        TaskError
            If no view is there, the recipe leaves nothing of any, or the model has no answer.
        """
        tell = progress or (lambda _share, _stage: None)
        asked = ExplainRequest.of(explain, self.targets)
        started = time.perf_counter()
        volumes = self._volumes(views)
        tell(0.0, "preparing")
        warnings = [line for volume in volumes if volume is not None for line in volume.warnings]
        volumes, prepared = self._prepared(volumes, warnings)
        images, present = stack_views(prepared)
        tell(0.3, "classifying")
        logits = self._logits(images, present, warnings)
        warnings += self._unusual(volumes, images[present > 0])
        answers = self._answers(logits)
        explanations: tuple[Explanation, ...] = ()
        if asked.method:
            tell(0.5, "explaining")
            explained = asked.outputs(self._heads, answers)
            explanations = self._explain(images, present, prepared, explained, asked.method, warnings)
        tell(1.0, "done")
        return ClassificationResult(
            identity=next(volume for volume in volumes if volume is not None).identity,
            answers=answers,
            model=self.model,
            warnings=tuple(dict.fromkeys(warnings)),
            views={
                name: "" if volume is None else volume.identity.series_uid
                for name, volume in zip(self.view_names, volumes, strict=True)
            },
            device=self.device,
            seconds=time.perf_counter() - started,
            explanations=explanations,
        )

    def _prepared(
        self, volumes: Sequence[Volume | None], warnings: list[str]
    ) -> tuple[list[Volume | None], list[Prepared | None]]:
        """The views, prepared; one of which the recipe leaves nothing is masked, as in training."""
        kept: list[Volume | None] = []
        prepared: list[Prepared | None] = []
        for name, volume in zip(self.view_names, volumes, strict=True):
            one = None if volume is None else self.recipe.prepare(volume)
            if one is not None and not one.voxels.any():
                warnings.append(
                    f"Series {volume.identity.series_uid}{f', view {name},' if name else ''} was left out: the model's "
                    f"recipe {self.recipe.name} leaves nothing of the image."
                )
                volume = one = None
            kept.append(volume)
            prepared.append(one)
        if not any(prepared):
            raise TaskError(warnings[-1])
        return kept, prepared

    def _volumes(self, views: Views) -> list[Volume | None]:
        """The views in the model's order."""
        if isinstance(views, Volume):
            views = {self.view_names[0]: views} if len(self.view_names) == 1 else [views]
        if not isinstance(views, Mapping):
            if len(views) != len(self.view_names):
                msg = (
                    f"The model {self.model.name} looks at {len(self.view_names)} views "
                    f"({', '.join(self.view_names)}), and {len(views)} were given. Name them, or give None for missing."
                )
                raise UsageError(msg)
            views = dict(zip(self.view_names, views, strict=True))
        unknown = sorted(set(views) - set(self.view_names))
        if unknown:
            msg = f"The model {self.model.name} knows no view {unknown[0]!r}; its views: {', '.join(self.view_names)}."
            raise UsageError(msg)
        volumes = [views.get(name) for name in self.view_names]
        if all(volume is None for volume in volumes):
            msg = f"There is none of the views that the model {self.model.name} looks at: {', '.join(self.view_names)}."
            raise TaskError(msg)
        return volumes

    def _logits(self, images: np.ndarray, present: np.ndarray, warnings: list[str]) -> np.ndarray:
        import torch

        tensors = (torch.from_numpy(images)[None], torch.from_numpy(present)[None])
        try:
            with torch.inference_mode():
                logits = self._network(*(one.to(self._device) for one in tensors)).float().cpu().numpy()
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            warnings.append(f"The memory of {self.device} did not hold the series; it goes on on the CPU.")
            self._device, self._network, self._explainers = torch.device("cpu"), self._network.cpu(), {}
            return self._logits(images, present, warnings)
        except RuntimeError as error:
            msg = f"The model {self.model.name} cannot be run on images of the shape {images.shape}: {error}"
            raise ModelError(msg) from error
        if logits.shape != (1, self._heads.outputs) or not np.isfinite(logits).all():
            msg = (
                f"The model {self.model.name} gives {logits.shape[1]} numbers, not all finite, where its description "
                f"names {self._heads.outputs}. Train it again."
            )
            raise ModelError(msg)
        return logits

    def _answers(self, logits: np.ndarray) -> tuple[Answer, ...]:
        found = self._heads.probabilities(logits, self._temperatures)
        return tuple(Answer(target, tuple(float(p) for p in found[target.name][0])) for target in self.targets)

    def _unusual(self, volumes: list[Volume | None], images: np.ndarray) -> list[str]:
        missing = [name for name, one in zip(self.view_names, volumes, strict=True) if one is None]
        lines = [f"The view {name} is missing; it was masked." for name in missing]
        if not images.any():
            lines.append("Nothing is left of the series after its preparation; the answer means nothing.")
        return lines + out_of_range(self._known_range, volumes, images)

    def _explain(
        self,
        images: np.ndarray,
        present: np.ndarray,
        prepared: list[Prepared | None],
        explained: Sequence[Explained],
        method: str,
        warnings: list[str],
    ) -> tuple[Explanation, ...]:
        """Class by class, every view that is there."""
        if method not in self._explainers:
            self._explainers[method] = Explainer(self._network, method)
        found, used = self._explainers[method].maps(images, present, [one.output for one in explained])
        if used != method:
            warnings.append(f"The network has no layer that {method} could show; it was explained by {used}.")
        explanations = []
        for what, maps in zip(explained, found, strict=True):
            if not maps.any():
                name = what.class_name if len(self.targets) == 1 else f"{what.target}: {what.class_name}"
                warnings.append(f"By {used} nothing in the series speaks for {name}.")
            explanations += [
                Explanation(prepared_to_source(one[: len(part.voxels)], part), what.target, what.class_name, used, view)
                for view, one, part in zip(self.view_names, maps, prepared, strict=True)
                if part is not None
            ]
        return tuple(explanations)


def stack_views(prepared: Sequence[Prepared | None]) -> tuple[np.ndarray, np.ndarray]:
    """Prepared views as the network takes them.

    Parameters
    ----------
    prepared : sequence of Prepared or None
        At least one is there.

    Returns
    -------
    images : float32 array of shape (V, D, H, W)
        Exactly 0 where a view is missing; views of fewer slices end with empty ones.
    present : float32 array of shape (V,)

    Raises
    ------
    ModelError
        If views differ in rows or columns.
    """
    there = [one.voxels for one in prepared if one is not None]
    planes = {one.shape[1:] for one in there}
    if len(planes) > 1:
        msg = f"The model's recipe makes views of different sizes ({planes}); train it with one that makes one size."
        raise ModelError(msg)
    images = np.zeros((len(prepared), max(len(one) for one in there), *there[0].shape[1:]), np.float32)
    for view, one in enumerate(prepared):
        if one is not None:
            images[view, : len(one.voxels)] = one.voxels
    return images, np.array([one is not None for one in prepared], np.float32)

"""Where a classifier looked: Grad-CAM, or occlusion where a network has no fitting layer.

Grad-CAM: Selvaraju et al., ICCV 2017, doi:10.1109/ICCV.2017.74, as MONAI has it. Occlusion: Zeiler and
Fergus, ECCV 2014, doi:10.1007/978-3-319-10590-1_53; written here because MONAI's indexes tensors in a way that
newer versions of torch read differently. Maps are on the network's grid; `backprojection` takes them to the slices.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError

if TYPE_CHECKING:
    import torch

GRAD_CAM, OCCLUSION = "grad-cam", "occlusion"
METHODS = (GRAD_CAM, OCCLUSION)

FINE, COARSE = 8, 4
"""In-plane cells that a layer has to have: a map of fewer than `COARSE` points at nothing."""

OCCLUDED_SHARE, SMALLEST_WINDOW = {2: 6, 3: 4}, 3
"""A window that is emptied is this part of a picture or volume along each axis, and no fewer cells than this."""

AT_ONCE = 8
"""Images with a window emptied that are computed together."""


class Explainer:
    """Maps of one network; made once for many series.

    Parameters
    ----------
    network : torch.nn.Module
        ``network(images (N, V, D, H, W), present (N, V)) -> (N, outputs)``. Copied, not changed. A network
        that knows its best layer for Grad-CAM names it in the attribute ``explained_layer``.
    method : str
        ``grad-cam`` (the default; occlusion where it is not possible) or ``occlusion``.

    Raises
    ------
    UsageError
        If the method is unknown.
    """

    def __init__(self, network: torch.nn.Module, method: str = GRAD_CAM):
        if method not in METHODS:
            msg = f"There is no explanation {method!r}. Choose one of {', '.join(METHODS)}."
            raise UsageError(msg)
        self._network = copy.deepcopy(network).eval()
        for module in self._network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # what is written over cannot be asked for its gradient
        self._network.register_forward_hook(_with_opposites)
        self._method = method
        self._cams: dict[str, object] = {}

    def maps(self, images: np.ndarray, present: np.ndarray, outputs: Sequence[int]) -> tuple[np.ndarray, str]:
        """What speaks for some outputs of the network.

        Parameters
        ----------
        images : float32 array of shape (V, D, H, W)
            As the recipe prepared them.
        present : float32 array of shape (V,)
            1 where the view is there.
        outputs : sequence of int
            Which of the network's N outputs; from N on what speaks against them, in the same order.

        Returns
        -------
        float32 array of shape (outputs, V, D, H, W)
            Each from 0 to 1; all 0 where nothing speaks for it, and in views that are missing.
        str
            The method that was used.
        """
        import torch

        with torch.inference_mode(False):  # a caller's inference mode would leave nothing to differentiate
            found, method = self._maps(images, present, outputs)
        found *= np.asarray(present, np.float32).reshape(1, -1, 1, 1, 1) > 0
        largest = found.max(axis=(1, 2, 3, 4), keepdims=True)
        return np.divide(found, largest, out=np.zeros_like(found), where=largest > 0), method

    def _maps(self, images: np.ndarray, present: np.ndarray, outputs: Sequence[int]) -> tuple[np.ndarray, str]:
        import torch

        device = next(self._network.parameters()).device
        x = torch.from_numpy(np.ascontiguousarray(images, np.float32))[None].to(device)
        there = torch.from_numpy(np.ascontiguousarray(present, np.float32))[None].to(device)
        name = self._layer(x, there) if self._method == GRAD_CAM else ""
        if name:
            found = [self._grad_cam(name, x, there, output) for output in outputs]
            if all(one is not None for one in found):
                return np.stack(found), GRAD_CAM
        return self._occlusion(x, there, list(outputs)), OCCLUSION

    def _grad_cam(self, name: str, x: torch.Tensor, present: torch.Tensor, output: int) -> np.ndarray | None:
        """None where the layer's cells cannot be told to lie in one view, slice and place each."""
        import torch
        from monai.visualize import GradCAM

        if name not in self._cams:
            self._cams[name] = GradCAM(nn_module=self._network, target_layers=name)
        with torch.enable_grad():
            image = x.clone().requires_grad_()
            cells = self._cams[name].compute_map(image, class_idx=output, present=present).detach()
        return _spread(cells, x, present)

    def _layer(self, x: torch.Tensor, present: torch.Tensor) -> str:
        """The layer whose map is the last one fine enough to point at something: the network's own choice first."""
        import torch

        seen: list[tuple[str, tuple[int, ...]]] = []

        def note(name: str, result: object) -> None:
            if isinstance(result, torch.Tensor) and result.ndim in (4, 5):
                seen.append((name, tuple(result.shape)))

        handles = [
            module.register_forward_hook(lambda _m, _i, result, name=name: note(name, result))
            for name, module in self._network.named_modules()
            if name
        ]
        try:
            with torch.no_grad():
                self._network(x, present)
        finally:
            for handle in handles:
                handle.remove()
        names = [name for name, _shape in seen]
        cells = {
            name: min(shape[-2:])
            for name, shape in seen
            if names.count(name) == 1 and _places(shape, x, present) is not None
        }
        named = getattr(self._network, "explained_layer", "")
        for wanted in (FINE if min(x.shape[-2:]) >= 4 * FINE else COARSE, COARSE):
            for name in (named, *reversed(cells)):
                if cells.get(name, 0) >= wanted:
                    return name
        return ""

    def _occlusion(self, x: torch.Tensor, present: torch.Tensor, outputs: list[int]) -> np.ndarray:
        """How much each output falls where a window is emptied, view by view; (outputs, V, D, H, W)."""
        import torch

        with torch.no_grad():
            whole = self._network(x, present)[0, outputs]
            result = np.zeros((len(outputs), *x.shape[1:]), np.float32)
            for view in np.flatnonzero(present[0].cpu().numpy() > 0):
                windows = _windows(tuple(x.shape[2:]))
                falls: list[np.ndarray] = []
                for start in range(0, len(windows), AT_ONCE):
                    parts = x.repeat(len(windows[start : start + AT_ONCE]), 1, 1, 1, 1)
                    for part, window in zip(parts, windows[start:], strict=False):
                        part[(view, *window)] = 0.0
                    scores = self._network(parts, present.expand(len(parts), -1))[:, outputs]
                    falls.append((whole - scores).clamp(min=0).cpu().numpy())
                for index, of_output in enumerate(np.concatenate(falls).T):
                    result[index, view] = _mean_of_windows(windows, of_output.tolist(), tuple(x.shape[2:]))
        return result


def _with_opposites(_network: torch.nn.Module, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
    """Outputs and, after them, their negatives: what speaks against one can be asked for like what speaks for it."""
    import torch

    return torch.cat([logits, -logits], dim=1)


def _places(shape: tuple[int, ...], x: torch.Tensor, present: torch.Tensor) -> tuple[np.ndarray, bool] | None:
    """Which views, or which slices of views (counted through), the first axis of a layer's result stands for.

    Networks leave out what is missing or empty. None where it cannot be told, as where views were mixed before.

    Returns
    -------
    places : array of int
    of_volumes : bool
        Whether they are whole views; otherwise they are slices.
    """
    views, slices = x.shape[1:3]
    there = present[0].cpu().numpy() > 0
    if len(shape) == 5 and shape[0] in (views, there.sum()):
        return (np.arange(views) if shape[0] == views else np.flatnonzero(there)), True
    if len(shape) == 5 and shape[2] > 1:
        return None
    full = x[0].flatten(2).ne(0).any(2).cpu().numpy()
    for wanted in (np.ones((views, slices), bool), np.repeat(there[:, None], slices, 1), full):
        if shape[0] == wanted.sum():
            return np.flatnonzero(wanted), False
    return None


def _spread(cells: torch.Tensor, x: torch.Tensor, present: torch.Tensor) -> np.ndarray | None:
    """A layer's cells (n, 1, ...) on the grid of the images (V, D, H, W)."""
    from torch.nn.functional import interpolate

    found = _places(tuple(cells.shape), x, present)
    if found is None:
        return None
    places, of_volumes = found
    views, slices, *plane = x.shape[1:]
    if not of_volumes and cells.ndim == 5:
        cells = cells[:, :, 0]
    size = (slices, *plane) if of_volumes else tuple(plane)
    maps = interpolate(cells.float(), size=size, mode="trilinear" if of_volumes else "bilinear")
    result = np.zeros((views if of_volumes else views * slices, *size), np.float32)
    result[places] = maps[:, 0].cpu().numpy()
    return result.reshape(views, slices, *plane)


def _windows(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Windows that overlap by half and cover all of an image."""
    axes, share = [], OCCLUDED_SHARE[2 if shape[0] == 1 else 3]
    for count in shape:
        size = min(count, max(SMALLEST_WINDOW, count // share))
        steps = max(1, int(np.ceil((count - size) / max(1, size // 2)))) if count > size else 0
        starts = [round(n * (count - size) / steps) for n in range(steps + 1)] if steps else [0]
        axes.append([slice(start, start + size) for start in starts])
    return list(itertools.product(*axes))


def _mean_of_windows(windows: list[tuple[slice, ...]], falls: list[float], shape: tuple[int, ...]) -> np.ndarray:
    """Each voxel's mean over the windows it lies in, those counting most in whose middle it lies."""
    total, weights = np.zeros(shape), np.full(shape, 1e-12)
    for window, fall in zip(windows, falls, strict=True):
        hats = [1.0 - np.abs(np.linspace(-1, 1, one.stop - one.start + 2)[1:-1]) for one in window]
        hat = hats[0][:, None, None] * hats[1][:, None] * hats[2]
        total[window] += fall * hat
        weights[window] += hat
    return (total / weights).astype(np.float32)

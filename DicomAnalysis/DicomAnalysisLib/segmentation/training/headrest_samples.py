"""Samples for the headrest network: looks at scenes, with noise, calibration and orientation that vary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from .. import morphology as morph
from ..network.grid import PATIENT, SUPPORT, network_input
from .example import Example
from .scenes import Scene, make_scene

MERGED_SHARE = 0.5
"""Share of looks in which the classical method is made to take supports for patient."""


class HeadrestSamples:
    """Samples as `networks.fitting` takes them: a pool of scenes, a new look at a part of one each time.

    Parameters
    ----------
    examples : sequence of Example
        What scenes are made of, when they are first asked for.
    size : tuple of int
        Rows and columns of a sample; scenes are half as large again.
    per_epoch : int
    seed : int
    augment : bool
        False gives the same looks in every epoch, without noise: for validation.
    pool : int or None
        Number of scenes; by default four times `per_epoch` (once, if not `augment`).
    folder : Path or None
        Where the scenes are kept; None keeps them in memory.
    compose_share : float
        See `make_scene`.
    scenes : sequence of Scene, optional
        Scenes that are there already, in place of `examples`.
    """

    def __init__(
        self,
        examples: Sequence[Example] = (),
        size: tuple[int, int] = (128, 128),
        per_epoch: int = 800,
        seed: int = 0,
        augment: bool = True,
        pool: int | None = None,
        folder: Path | None = None,
        compose_share: float = 1.0,
        scenes: Sequence[Scene] = (),
    ) -> None:
        self.examples = [example for example in examples if len(example.usable)]
        self.size, self.per_epoch, self.seed, self.augment = size, per_epoch, seed, augment
        self.compose_share = compose_share
        self.pool = len(scenes) or pool or (4 * per_epoch if augment else per_epoch)
        self.scene_size = (size[0] * 3 // 2, size[1] * 3 // 2)
        self._scenes: dict[int, Scene] = dict(enumerate(scenes))
        self._store = _SceneStore(folder, self.pool, self.scene_size) if folder else None

    def __len__(self) -> int:
        return self.per_epoch

    def scene(self, number: int) -> Scene:
        """One scene of the pool, made when it is first asked for."""
        kept = self._scenes.get(number) if self._store is None else self._store.get(number)
        if kept is None:
            kept = make_scene(self.examples, self.scene_size, self.seed, number, self.augment, self.compose_share)
            if self._store is None:
                self._scenes[number] = kept
            else:
                self._store.put(number, kept)
        return kept

    def sample(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """One sample: a function of seed, epoch and index alone.

        Returns
        -------
        image : array of float32, shape (5, J, I)
        labels : array of uint8, shape (J, I)
        """
        rng = np.random.default_rng((self.seed, epoch, index, 1) if self.augment else (self.seed, index))
        number = epoch * self.per_epoch + index if self.augment else index
        scene = cut_at_surface(self.scene(number % self.pool), self.size, rng)
        if self.augment:
            scene = varied(scene, rng)
        return network_input(*scene.blocks, scene.guess), np.ascontiguousarray(scene.classes)


def cut_at_surface(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """The part of a scene around a place where classes meet, in most looks one at the support."""
    classes = scene.classes
    edge = np.zeros(classes.shape, bool)
    edge[1:] |= classes[1:] != classes[:-1]
    edge[:, 1:] |= classes[:, 1:] != classes[:, :-1]
    if rng.random() < 0.7:
        of_support = edge & morph.dilate((classes == SUPPORT)[None], 1)[0]
        edge = of_support if of_support.any() else edge
    places = np.flatnonzero(edge)
    middle = divmod(int(rng.choice(places)), classes.shape[1]) if len(places) else rng.integers(0, classes.shape)
    part = []
    for at, want, have in zip(middle, size, classes.shape, strict=True):
        start = int(np.clip(at - want // 2 + rng.integers(-want // 3, want // 3 + 1), 0, have - want))
        part.append(slice(start, start + want))
    return Scene(scene.blocks[:, *part], classes[tuple(part)], scene.guess[tuple(part)], scene.patients)


def varied(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene with noise, another calibration, a narrower field of view, mirrored or turned."""
    blocks = _noisy(scene.blocks, rng)
    maps = np.stack([scene.classes, scene.guess])
    if rng.random() < MERGED_SHARE:
        # In a whole stack the classical method merges more of a support with the patient than in three layers.
        labels, count = ndi.label(maps[0] == SUPPORT)
        kept = rng.random(count + 1) < 0.7
        kept[0] = False
        maps[1][kept[labels]] = PATIENT
    if rng.random() < 0.15:
        outside = _outside(maps.shape[1:], rng)
        blocks[:, outside] = rng.choice([-1000, -1024])
        maps[:, outside] = 0
    if rng.random() < 0.5:
        blocks, maps = blocks[..., ::-1], maps[..., ::-1]
    if maps.shape[1] == maps.shape[2] and rng.random() < 0.25:
        turns = int(rng.integers(1, 4))
        blocks, maps = np.rot90(blocks, turns, (1, 2)), np.rot90(maps, turns, (1, 2))
    if rng.random() < 0.5:
        blocks = blocks[::-1]
    return Scene(blocks, maps[0], maps[1], scene.patients)


def _noisy(blocks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise as after reconstruction, and another calibration."""
    level = rng.choice([0, rng.uniform(0, 25), rng.uniform(10, 80)])
    out = blocks + np.float32(level) * rng.standard_normal(blocks.shape, np.float32)
    return (out + 1000) * np.float32(rng.uniform(0.97, 1.03)) - np.float32(1000 - rng.normal(0, 8))


def _outside(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """What lies outside a round field of view that cuts the window."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    centre = rng.uniform(0.3, 0.7, 2) * shape
    return np.hypot(y - centre[0], x - centre[1]) > rng.uniform(0.45, 0.6) * max(shape)


class _SceneStore:
    """Scenes in mapped files, so that a large pool need not fit into memory, and processes share what one has made."""

    def __init__(self, folder: Path, count: int, size: tuple[int, int], mode: str = "w+") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._place = folder, count, size
        self._blocks = _mapped(folder / "scenes.npy", (count, 3, *size), np.int16, mode)
        self._maps = _mapped(folder / "classes.npy", (count, 2, *size), np.uint8, mode)
        self._made = _mapped(folder / "made.npy", (count,), bool, mode)

    def __reduce__(self) -> tuple[type, tuple]:
        return _SceneStore, (*self._place, "r+")  # the files, not what is in them

    def get(self, number: int) -> Scene | None:
        return Scene(self._blocks[number], *self._maps[number], ()) if self._made[number] else None

    def put(self, number: int, scene: Scene) -> None:
        self._blocks[number], self._maps[number] = scene.blocks, (scene.classes, scene.guess)
        self._made[number] = True


def _mapped(path: Path, shape: tuple[int, ...], kind: type, mode: str) -> np.ndarray:
    return np.lib.format.open_memmap(path, mode=mode, dtype=kind, shape=shape)

"""Samples for the headrest network: looks at scenes, with noise, calibration and orientation that vary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import morphology as morph
from ..network.grid import SUPPORT, network_input
from .example import Example
from .scenes import Scene, make_scene


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
        image : array of float32, shape (4, J, I)
        labels : array of uint8, shape (J, I)
        """
        if not self.augment:
            scene = cut_at_surface(self.scene(index % self.pool), self.size, np.random.default_rng((self.seed, index)))
            return network_input(*scene.blocks), np.ascontiguousarray(scene.classes)
        rng = np.random.default_rng((self.seed, epoch, index, 1))
        return look(cut_at_surface(self.scene((epoch * self.per_epoch + index) % self.pool), self.size, rng), rng)


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
    return Scene(scene.blocks[:, *part], classes[tuple(part)], scene.patients)


def look(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A scene with noise, another calibration, padding, mirrored or turned."""
    blocks, classes = _noisy(scene.blocks, rng), scene.classes
    if rng.random() < 0.5:
        blocks, classes = blocks[..., ::-1], classes[..., ::-1]
    if classes.shape[0] == classes.shape[1] and rng.random() < 0.25:
        turns = int(rng.integers(1, 4))
        blocks, classes = np.rot90(blocks, turns, (1, 2)), np.rot90(classes, turns)
    if rng.random() < 0.5:
        blocks = blocks[::-1]
    return network_input(*blocks), np.ascontiguousarray(classes)


def _noisy(blocks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise as after reconstruction, another calibration, padding outside the field of view."""
    level = rng.choice([0, rng.uniform(0, 25), rng.uniform(10, 80)])
    out = blocks + level * rng.standard_normal(blocks.shape, np.float32)
    out = (out + 1000) * rng.uniform(0.97, 1.03) - 1000 + rng.normal(0, 8)
    if rng.random() < 0.3:
        rows, columns = blocks.shape[1:]
        y, x = np.ogrid[:rows, :columns]
        radius = rng.uniform(0.42, 0.52) * max(rows, columns)
        out[:, np.hypot(y - rows / 2, x - columns / 2) > radius] = rng.choice([-1000, -1024])
    return out


class _SceneStore:
    """Scenes in two mapped files, so that a large pool need not fit into memory."""

    def __init__(self, folder: Path, count: int, size: tuple[int, int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._blocks = _mapped(folder / "scenes.npy", (count, 3, *size), np.int16)
        self._classes = _mapped(folder / "classes.npy", (count, *size), np.uint8)
        self._made = np.zeros(count, bool)

    def get(self, number: int) -> Scene | None:
        return Scene(self._blocks[number], self._classes[number], ()) if self._made[number] else None

    def put(self, number: int, scene: Scene) -> None:
        self._blocks[number], self._classes[number] = scene.blocks, scene.classes
        self._made[number] = True


def _mapped(path: Path, shape: tuple[int, ...], kind: type) -> np.ndarray:
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)

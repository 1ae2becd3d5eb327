"""Prepared arrays on disk, found by what an image's files hold and by the recipe.

An entry is called by the SHA-256 of the files' bytes and of the recipe: a file that changes, or a recipe
that does, makes a new entry, whatever names, sizes or times say. Entries are written to a temporary file
and put in place in one step, so that two processes may share a folder; the least recently used go when
all together exceed the limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np

from ..errors import OutputError, SourceError, UsageError
from ..files.atomic import atomic_path, is_temporary
from .images import is_header_alone, read_image
from .prepared import Prepared

DEFAULT_BYTES = 20 * 1024**3
_CHUNK = 1 << 20
_SUFFIX = ".npz"
_STALE_SECONDS = 3600.0
_DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, TokenError, BadZipFile, zlib.error)
"""What a damaged entry raises; RuntimeError where it says that it is encrypted, TokenError of numpy's header."""


@dataclass(frozen=True)
class Entry:
    """What the cache keeps of an image under one recipe."""

    prepared: Prepared
    slice_digests: np.ndarray
    """uint8 of shape (slices, 16): see `pixel_digests`."""


def content_hash(files: Sequence[str | Path]) -> str:
    """SHA-256 of the contents of some files, in whatever order they are named.

    A header whose voxels are in a file of their own (``.mhd``, ``.nhdr``) counts with these: alike scans have headers
    of the same bytes.

    Raises
    ------
    SourceError
        If a file cannot be read.
    """
    digests = []
    for path in files:
        digest = hashlib.sha256()
        try:
            with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 (once a slice)
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            msg = f"{path} cannot be read ({error.strerror or error}); put the file back, or build the cohort again."
            raise SourceError(msg) from error
        if is_header_alone(path):
            digest.update(np.ascontiguousarray(read_image(path).voxels))
        digests.append(digest.digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def pixel_digests(voxels: np.ndarray) -> np.ndarray:
    """A digest of the values of every slice that shows something, uint8 of shape (slices, 16), sorted.

    The same pixels under other UIDs, names or compression have the same digests. Slices of three values or
    fewer (air, a field of view in its padding, a mask's edge) are alike in many patients and have none.
    """
    found = set()
    for plane in voxels:
        if _shows_something(plane):
            digest = hashlib.blake2b(np.array(plane.shape, "<i8").tobytes(), digest_size=16)
            digest.update(_canonical(plane))
            found.add(digest.digest())
    return np.frombuffer(b"".join(sorted(found)), np.uint8).reshape(-1, 16)


def _shows_something(plane: np.ndarray) -> bool:
    return any(_has_four_values(part) for part in (plane[::7, ::7], plane))  # a few pixels nearly always tell


def _has_four_values(values: np.ndarray) -> bool:
    between = values[(values != values.min()) & (values != values.max())]
    return bool(between.size) and bool(between.min() < between.max())


def _canonical(plane: np.ndarray) -> np.ndarray:
    """The values as int16 where that holds them all, else as float32: the same numbers give the same bytes."""
    whole = plane if plane.dtype == np.int16 else plane.astype("<i2", copy=False) if _fits(plane) else None
    if whole is not None:
        return np.ascontiguousarray(whole, "<i2")
    return np.ascontiguousarray(plane, "<f4") + np.float32(0.0)  # -0 is 0


def _fits(plane: np.ndarray) -> bool:
    limits = np.iinfo(np.int16)
    if not (plane.min() >= limits.min and plane.max() <= limits.max):
        return False
    return plane.dtype.kind in "iu" or bool((plane == np.rint(plane)).all())


class PreparedCache:
    """A folder of prepared arrays.

    Parameters
    ----------
    folder : path
        Made where it is not there.
    max_bytes : int
        Of all entries together; the entry just written may stand alone above it.

    Raises
    ------
    UsageError
        If the limit is not positive.
    OutputError
        If the folder cannot be made.
    """

    def __init__(self, folder: str | Path, max_bytes: int = DEFAULT_BYTES):
        if max_bytes <= 0:
            msg = f"A cache of {max_bytes} bytes holds nothing; give a larger limit, or none."
            raise UsageError(msg)
        self.folder, self.max_bytes = Path(folder), max_bytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"The cache {self.folder} cannot be made ({error.strerror or error}); choose another folder."
            raise OutputError(msg) from error
        self._lock = threading.Lock()
        self._written = self.max_bytes  # the first entry makes it look at what is there

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ = {**state, "_lock": threading.Lock()}

    def path(self, content: str, recipe: str) -> Path:
        """Where an entry is, or would be."""
        return self.folder / content[:2] / f"{content}-{recipe[:32]}{_SUFFIX}"

    def get(self, content: str, recipe: str) -> Entry | None:
        """An entry, or None where there is none or it is damaged (which removes it).

        Parameters
        ----------
        content : str
            See `content_hash`.
        recipe : str
            `Recipe.hash`.
        """
        path = self.path(content, recipe)
        try:
            with np.load(path, allow_pickle=False) as data:
                entry = _entry(data, recipe)
        except FileNotFoundError:
            return None
        except _DAMAGED:
            entry = None
        if entry is None:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # another process may have removed it just now
            os.utime(path)
        return entry

    def put(self, content: str, recipe: str, entry: Entry) -> None:
        """Keep an entry; older ones go where there is no room.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path, prepared = self.path(content, recipe), entry.prepared
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                voxels=prepared.voxels,
                to_source=prepared.to_source,
                source_shape=np.array(prepared.source_shape, np.int64),
                source_slices=np.array(prepared.source_slices, np.int64),
                slice_depths=np.array(prepared.slice_depths, np.float64),
                slice_digests=entry.slice_digests,
                recipe=np.array(recipe),
            )
        with self._lock:
            with contextlib.suppress(OSError):
                self._written += path.stat().st_size
            if self._written > self.max_bytes:
                self._written = self._make_room(path)

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of every entry; what a killed process left half-written goes."""
        found = []
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if is_temporary(path):
                    # Another process may be writing it now; what nobody has touched for long is left over.
                    if status.st_mtime < time.time() - _STALE_SECONDS:
                        path.unlink()
                elif path.suffix == _SUFFIX:
                    found.append((status.st_mtime, status.st_size, path))
        return found

    def _make_room(self, keep: Path) -> int:
        """Remove the least recently used entries until the others fit; the bytes that are left."""
        files = sorted(self._files(), key=lambda one: (one[0], one[2].name))
        total = sum(size for _, size, _ in files)
        # Down to nine tenths, so that not every further entry has to look at all of them.
        for _, size, path in files:
            if total <= 0.9 * self.max_bytes:
                break
            if path != keep:
                with contextlib.suppress(OSError):  # in use on Windows, or gone already
                    path.unlink()
                    total -= size
        return total


def _entry(data: np.lib.npyio.NpzFile, recipe: str) -> Entry | None:
    voxels = data["voxels"]
    if str(data["recipe"]) != recipe or voxels.dtype != np.float32 or voxels.ndim != 3:
        return None
    prepared = Prepared(
        voxels,
        data["to_source"],
        tuple(int(n) for n in data["source_shape"]),
        tuple(int(k) for k in data["source_slices"]),
        tuple(float(d) for d in data["slice_depths"]),
    )
    return Entry(prepared, data["slice_digests"])

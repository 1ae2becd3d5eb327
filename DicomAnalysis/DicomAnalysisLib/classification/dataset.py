"""Cases as arrays: every sample holds the images of one case and the labels of that same case."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import DicomAnalysisError, OutputError, SourceError, UsageError
from .cache import Entry, PreparedCache, content_hash, pixel_digests
from .cohort import Case, Cohort, View
from .images import read_image
from .recipe import Recipe

DEFAULT_MEMORY = 1 << 30


@dataclass(frozen=True, eq=False)
class Sample:
    """One case for a network.

    Attributes
    ----------
    case_id : str
    images : float32 array of shape (V, D, H, W)
        A missing view is exactly 0.
    present : float32 array of shape (V,)
        1 where there is a view, else 0.
    labels : mapping of str to int64 array
        Target name to shape (1,), or (classes,) for multi-label.
    """

    case_id: str
    images: np.ndarray
    present: np.ndarray
    labels: Mapping[str, np.ndarray]


class CohortDataset:
    """Cases of a cohort, prepared by a recipe when they are asked for.

    Parameters
    ----------
    cohort : Cohort
    cases : sequence of str, optional
        case_ids, in the order of the samples; default: all of the cohort.
    recipe : Recipe
    cache : PreparedCache, optional
        Prepared arrays on disk.
    memory_bytes : int
        Of prepared arrays kept in memory, so that an epoch after the first reads nothing; 0 for none.

    Raises
    ------
    UsageError
        If a case_id is not of the cohort, or twice there.
    """

    def __init__(
        self,
        cohort: Cohort,
        cases: Sequence[str] | None,
        recipe: Recipe,
        cache: PreparedCache | None = None,
        memory_bytes: int = DEFAULT_MEMORY,
    ):
        known = {case.case_id: case for case in cohort.cases}
        ids = tuple(known) if cases is None else tuple(cases)
        unknown = [one for one in ids if one not in known]
        if unknown or len(set(ids)) < len(ids):
            what = f"has no case {unknown[0]}" if unknown else "is asked for a case twice"
            raise UsageError(f"The cohort {what}.")
        self.cohort, self.recipe, self.cache = cohort, recipe, cache
        self.cases = tuple(known[one] for one in ids)
        self._memory: OrderedDict[tuple[str, ...], Entry] = OrderedDict()
        self._memory_left = memory_bytes
        self._contents: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        """For worker processes: each has a memory of its own."""
        return {**self.__dict__, "_lock": None, "_memory": OrderedDict()}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ = {**state, "_lock": threading.Lock()}

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def case_ids(self) -> tuple[str, ...]:
        """In the order of the samples."""
        return tuple(case.case_id for case in self.cases)

    def sample(self, index: int) -> Sample:
        """One case.

        Raises
        ------
        SourceError
            If an image cannot be read or prepared; the message names the case. No label is given without its images.
        """
        case = self.cases[index]
        arrays = [self.entry(case, view).prepared.voxels if view.present else None for view in case.views]
        images = stacked(arrays, self.recipe.shape)
        present = np.array([view.present for view in case.views], np.float32)
        labels = {name: np.array(value, np.int64) for name, value in case.labels.items()}
        return Sample(case.case_id, images, present, labels)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.sample(index)

    def entry(self, case: Case, view: View) -> Entry:
        """What the recipe made of one view, from memory, from disk, or from its files.

        Raises
        ------
        SourceError
            If the image cannot be read or prepared; the message names the case.
        UsageError
            If a step of the recipe cannot be done at all, for example because a package is missing.
        OutputError
            If the cache cannot be written: that is no fault of the image.
        """
        with self._lock:
            if view.files in self._memory:
                return self._memory[view.files]
        try:
            entry = self._from_disk(view) or self._made(view)
        except (UsageError, OutputError):  # the recipe cannot be done, or nothing be kept, whatever the image
            raise
        except DicomAnalysisError as error:
            name = f"{case.case_id}, view {view.name}" if view.name else case.case_id
            raise SourceError(f"{name}: {error}") from error
        entry.prepared.voxels.flags.writeable = False
        with self._lock:
            if view.files not in self._memory and entry.prepared.voxels.nbytes <= self._memory_left:
                self._memory[view.files] = entry
                self._memory_left -= entry.prepared.voxels.nbytes
        return entry

    def digests(self, case: Case) -> frozenset[bytes]:
        """Digests of the case's slices (see `cache.pixel_digests`): what two cases share is the same picture."""
        return frozenset(
            bytes(row) for view in case.views if view.present for row in self.entry(case, view).slice_digests
        )

    def _from_disk(self, view: View) -> Entry | None:
        return self.cache.get(self._content(view), self.recipe.hash) if self.cache is not None else None

    def _made(self, view: View) -> Entry:
        volume = read_image(view.files)
        entry = Entry(self.recipe.prepare(volume), pixel_digests(volume.voxels))
        if self.cache is not None:
            self.cache.put(self._content(view), self.recipe.hash, entry)
        return entry

    def _content(self, view: View) -> str:
        """Hashed once for each dataset, of the files' bytes."""
        if view.files not in self._contents:
            self._contents[view.files] = content_hash(view.files)
        return self._contents[view.files]


def stacked(arrays: Sequence[np.ndarray | None], shape: tuple[int | None, ...]) -> np.ndarray:
    """Views as one array (V, D, H, W); missing ones, and slices that a shorter view lacks, are 0."""
    there = [array.shape for array in arrays if array is not None]
    full = [max(sizes) for sizes in zip(*there, strict=True)] if there else [size or 1 for size in shape]
    images = np.zeros((len(arrays), *full), np.float32)
    for image, array in zip(images, arrays, strict=True):
        if array is not None:
            image[tuple(slice(0, size) for size in array.shape)] = array
    return images


def prepare_cohort(
    cohort: Cohort,
    recipe: Recipe,
    cache: PreparedCache | None = None,
    report: Callable[[int, int], None] | None = None,
    dataset: CohortDataset | None = None,
) -> Cohort:
    """Prepare every case once, so that training meets no unreadable image.

    A view that cannot be read, or of which the recipe leaves nothing, is masked and named; a case without any view is
    left out with its label and named.

    Parameters
    ----------
    cohort : Cohort
    recipe : Recipe
    cache : PreparedCache, optional
        Without one the work is only kept in the memory of `dataset`.
    report : callable, optional
        Called as ``report(cases done, cases in all)``; it may raise to stop.
    dataset : CohortDataset, optional
        Of this cohort and recipe, whose memory is to be filled.

    Returns
    -------
    Cohort
        What can be used, with digests of its pixels; its problems name what cannot.
    """
    dataset = dataset or CohortDataset(cohort, None, recipe, cache, memory_bytes=0)
    cases, problems, digests = [], list(cohort.problems), {}
    for done, case in enumerate(cohort.cases, start=1):
        readable = tuple(_checked(dataset, case, cohort.view_names, problems))
        if any(view.present for view in readable):
            cases.append(replace(case, views=readable))
            digests[case.case_id] = dataset.digests(cases[-1])
        else:
            problems.append(f"{case.case_id} was left out with its label: none of its images can be used.")
        if report is not None:
            report(done, len(cohort.cases))
    return replace(cohort, cases=tuple(cases), problems=tuple(problems), digests=digests)


def _checked(dataset: CohortDataset, case: Case, names: Sequence[str], problems: list[str]) -> Iterable[View]:
    for view in case.views:
        if view.present:
            try:
                if not dataset.entry(case, view).prepared.voxels.any():
                    name = f"{case.case_id}, view {view.name}" if view.name else case.case_id
                    msg = f"{name}: the recipe {dataset.recipe.name} leaves nothing of the image; choose another one."
                    raise SourceError(msg)
            except SourceError as error:
                problems.append(str(error) + (" The view is masked." if len(names) > 1 else ""))
                yield View(view.name, "", ())
                continue
        yield view

"""A cohort: cases with labels, joined by identifier, and the parts they are split into.

Plain data without reading or writing, so that every room of classification can speak of the
same cases. `labels.build_cohort` makes a `Cohort`, `splits.split_patients` a `Split`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import UsageError

BINARY = "binary"
MULTICLASS = "multiclass"
MULTILABEL = "multilabel"
KINDS = (BINARY, MULTICLASS, MULTILABEL)


@dataclass(frozen=True)
class Target:
    """One thing to be told about a case.

    Parameters
    ----------
    name : str
        As the label column is called, for example "finding".
    kind : str
        "binary" (one of two), "multiclass" (one of several) or "multilabel" (any number of several).
    classes : tuple of str
        For binary (negative, positive); for multilabel one name per thing that may be present.

    Raises
    ------
    UsageError
        If the kind is unknown, or the number or the names of the classes do not fit it.
    """

    name: str
    kind: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.kind not in KINDS:
            raise UsageError(f"The label '{self.name}' is of kind '{self.kind}'; choose one of {', '.join(KINDS)}.")
        fewest = 1 if self.kind == MULTILABEL else 2
        if len(self.classes) < fewest or (self.kind == BINARY and len(self.classes) != 2):
            number = "exactly 2" if self.kind == BINARY else f"at least {fewest}"
            raise UsageError(
                f"The {self.kind} label '{self.name}' needs {number} classes and has {len(self.classes)}"
                f" ({', '.join(self.classes) or 'none'}); look at the label column, or name the classes."
            )
        if len(set(self.classes)) != len(self.classes):
            raise UsageError(f"The label '{self.name}' names a class twice: {', '.join(self.classes)}.")

    @property
    def columns(self) -> int:
        """Numbers that state the label of one case: one class index, or a 0/1 per class for multilabel."""
        return len(self.classes) if self.kind == MULTILABEL else 1

    def indicators(self, labels: np.ndarray) -> np.ndarray:
        """0/1 per class, int64 of shape (cases, classes), from labels as `Cohort.labels_of` gives them."""
        labels = np.asarray(labels, np.int64).reshape(-1, self.columns)
        if self.kind == MULTILABEL:
            return labels
        return (labels == np.arange(len(self.classes))).astype(np.int64)


@dataclass(frozen=True)
class View:
    """The images of one view of a case.

    Parameters
    ----------
    name : str
        Empty for the only view.
    series_uid : str
        Series Instance UID, or the file's name for NIfTI, NRRD, PNG and JPEG.
    files : tuple of str
        Paths; empty where the view is missing.
    """

    name: str
    series_uid: str
    files: tuple[str, ...]

    @property
    def present(self) -> bool:
        """Whether there is an image; a missing view is masked, not dropped."""
        return bool(self.files)


@dataclass(frozen=True)
class Case:
    """One labelled thing: a series, or the views of one study or patient.

    Parameters
    ----------
    case_id : str
        The identifier the label was joined by.
    patient_id : str
        As in the data; shown hashed only.
    study_uid : str
        Study Instance UID; empty where the files know none.
    views : tuple of View
        As many as, and in the order of, `Cohort.view_names`; missing ones have no files.
    labels : mapping of str to tuple of int
        Target name to (class index,), or to a 0/1 per class for multilabel.
    facts : mapping of str to str or float
        What the headers say that a network could cheat with (manufacturer, kernel, age, ...).
    """

    case_id: str
    patient_id: str
    study_uid: str
    views: tuple[View, ...]
    labels: Mapping[str, tuple[int, ...]]
    facts: Mapping[str, str | float] = field(default_factory=dict)

    @property
    def series_uids(self) -> tuple[str, ...]:
        """Identifiers of the views that are there."""
        return tuple(view.series_uid for view in self.views if view.present)

    @property
    def missing_views(self) -> tuple[str, ...]:
        """Names of the views that are not there."""
        return tuple(view.name for view in self.views if not view.present)


@dataclass(frozen=True)
class Cohort:
    """Cases with their labels, and a list of what could not be joined.

    Parameters
    ----------
    targets : tuple of Target
    view_names : tuple of str
        ("",) where a case has one view only.
    cases : tuple of Case
        In the order of their case_id, so that nothing hangs on the order of rows or folders.
    unmatched_labels : tuple of str
        Identifiers of label rows for which there is no image.
    unmatched_series : tuple of str
        Identifiers of series for which there is no label.
    problems : tuple of str
        Lines for the user: duplicates, contradictory labels, missing views, unreadable files.
    digests : mapping of str to set of bytes
        case_id to digests of its slices, known once images were prepared (`dataset.prepare_cohort`): cases that
        share one show the same pixels, whatever their identifiers say.
    view_rules : tuple of str
        How images were known to be a view, as `views.ViewRule.to_text` writes it: the model keeps it.
    """

    targets: tuple[Target, ...]
    view_names: tuple[str, ...]
    cases: tuple[Case, ...]
    unmatched_labels: tuple[str, ...] = ()
    unmatched_series: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    digests: Mapping[str, frozenset[bytes]] = field(default_factory=dict, compare=False, repr=False)
    view_rules: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cases)

    def target(self, name: str) -> Target:
        """The target called `name`; raises UsageError where there is none."""
        for target in self.targets:
            if target.name == name:
                return target
        names = ", ".join(target.name for target in self.targets)
        raise UsageError(f"The cohort has no label '{name}'; it has: {names}.")

    def labels_of(self, target: Target | str) -> np.ndarray:
        """Labels in the order of the cases, int64 of shape (cases, 1), or (cases, classes) for multilabel."""
        if isinstance(target, str):
            target = self.target(target)
        rows = [case.labels[target.name] for case in self.cases]
        return np.array(rows, np.int64).reshape(len(self.cases), target.columns)

    def patients(self) -> tuple[str, ...]:
        """Every patient once, sorted."""
        return tuple(sorted({case.patient_id for case in self.cases}))

    def case(self, case_id: str) -> Case:
        """The case called `case_id`; raises UsageError where there is none."""
        for case in self.cases:
            if case.case_id == case_id:
                return case
        raise UsageError(f"The cohort has no case '{case_id}'.")

    def subset(self, case_ids: Iterable[str]) -> Cohort:
        """The same cohort with these cases only, in the cohort's order.

        Raises
        ------
        UsageError
            If a case_id is not of this cohort.
        """
        wanted = set(case_ids)
        unknown = wanted - {case.case_id for case in self.cases}
        if unknown:
            raise UsageError(f"The cohort has no case {', '.join(sorted(unknown)[:5])}.")
        return replace(self, cases=tuple(case for case in self.cases if case.case_id in wanted))


@dataclass(frozen=True)
class Split:
    """Which cases train, which choose the best network, and which score it: patients are never divided.

    Parameters
    ----------
    training, validation, test : tuple of str
        case_ids.
    seed : int
        Of the random generator that made the split.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int = 0

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Name of each part to its case_ids."""
        return {"training": self.training, "validation": self.validation, "test": self.test}

    def only(self, case_ids: Iterable[str]) -> Split:
        """The same split of these cases alone, each in the part that it was in."""
        wanted = set(case_ids)
        return Split(*(tuple(one for one in ids if one in wanted) for ids in self.parts.values()), seed=self.seed)

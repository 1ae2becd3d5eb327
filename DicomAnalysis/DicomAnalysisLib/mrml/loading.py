"""DICOM series as volume nodes: one node for each stack of slices that fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer

from ..dicom.database import ApplicationSource
from ..dicom.reader import read_stack
from ..dicom.series import Problem, Series, series_from_files
from ..errors import SourceError
from .volumes import volume_to_node

SHOWN_PROBLEMS = 5


def series_to_nodes(
    scene: slicer.vtkMRMLScene,
    series: Series,
    labels: Mapping[str, str] | None = None,
    problems: Sequence[Problem] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Read a series and put its stacks into the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
    series : Series
    labels : mapping, optional
        Names for new ``patient`` and ``study`` items of the subject hierarchy.
    problems : sequence of Problem
        Files of the series that could not be read: they are named in the nodes' descriptions.
    progress : callable, optional
        ``progress(slices read, slices in all)`` for each stack.

    Returns
    -------
    list of vtkMRMLScalarVolumeNode
        Largest stack first. Scouts are left out where there is anything else.

    Raises
    ------
    DecodingError
        If the pixel data of a slice cannot be read.
    GeometryError
        If a stack cannot be put on a grid.
    """
    stacks = [stack for stack in series.stacks if not stack.is_localizer] or list(series.stacks)
    warnings = (*series.warnings, *_missing(problems))
    name = series.identity.series_description or f"{series.identity.modality or 'Image'} series"
    nodes = []
    for number, stack in enumerate(stacks, start=1):
        volume = read_stack(stack, series.identity, warnings, progress)
        nodes.append(volume_to_node(scene, volume, name if number == 1 else f"{name} (stack {number})", labels))
    return nodes


def _missing(problems: Sequence[Problem]) -> list[str]:
    named = [f"A file was left out: {problem.path} ({problem.reason})." for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        named.append(f"{len(problems) - SHOWN_PROBLEMS} more files were left out.")
    return named


def load_files(scene: slicer.vtkMRMLScene, paths: Iterable[str | Path]) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Put the series that some files hold into the scene (see `series_to_nodes`).

    Raises
    ------
    SourceError
        If none of the files can be read; the first reason stands in the message.
    """
    paths = list(paths)
    found, problems = series_from_files(paths)
    if not found:
        msg = f"None of the {len(paths)} files holds an image that can be placed in space.{_first(problems)}"
        raise SourceError(msg)
    nodes = []
    for one in found:
        refused = [problem for problem in problems if problem.series_uid == one.identity.series_uid]
        nodes += series_to_nodes(scene, one, problems=refused)
    return nodes


def load_series(scene: slicer.vtkMRMLScene, database: Any, uid: str) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Put a series of the application's DICOM database into the scene, read with our own reader.

    Parameters
    ----------
    scene : vtkMRMLScene
    database : object
        ``slicer.dicomDatabase``.
    uid : str
        Series Instance UID.

    Returns
    -------
    list of vtkMRMLScalarVolumeNode
        Largest stack first.

    Raises
    ------
    SourceError
        If the database does not know the series or none of its files can be read.
    """
    source = ApplicationSource(database)
    found, problems = source.series(uid), source.problems
    if not found:
        msg = f"No file of series {uid} can be read; import it into the DICOM database again.{_first(problems)}"
        raise SourceError(msg)
    labels = {
        "patient": database.nameForPatient(database.patientForStudy(found[0].identity.study_uid)),
        "study": database.descriptionForStudy(found[0].identity.study_uid),
    }
    return [node for one in found for node in series_to_nodes(scene, one, labels, problems)]


def ct_series(database: Any) -> list[tuple[str, str]]:
    """CT series of the application's DICOM database, ``(series UID, label)``; no file is opened.

    The label names patient ID, series number and description.
    """
    found = []
    for patient in database.patients():
        for study in database.studiesForPatient(patient):
            for uid in database.seriesForStudy(study):
                # Files without a modality are listed: the reader decides what they are.
                if database.fieldForSeries("Modality", uid) in ("CT", ""):
                    number = database.fieldForSeries("SeriesNumber", uid)
                    text = database.descriptionForSeries(uid) or "unnamed series"
                    found.append((uid, f"{database.fieldForPatient('PatientID', patient)} · {number}: {text}"))
    return sorted(found, key=lambda series: (series[1], series[0]))


def _first(problems: Sequence[Problem]) -> str:
    return f" The first one's reason: {problems[0].path}: {problems[0].reason}." if problems else ""

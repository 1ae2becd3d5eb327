"""What `classify` leaves for people and programs to find: a folder for every series, and tables over all of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from .. import __version__
from ..classification.result import DIGITS, ClassificationResult, Explanation
from ..errors import DicomAnalysisError, OutputError, SourceError
from ..preprocessing.resampling import to_regular_grid
from ..volume import Volume
from .atomic import write_text
from .json_text import json_text
from .names import safe_name
from .nrrd import write_volume
from .spreadsheet import spreadsheet_safe

RESULT, EXPLANATION = "classification.json", "explanation.nrrd"
TABLE, LEFT_OUT = "classification.csv", "not-classified.csv"


def write_classification(
    folder: Path | str,
    result: ClassificationResult,
    volumes: Mapping[str, Volume],
    case_id: str = "",
    made_with: str = "",
) -> dict[str, object]:
    """Write the result of one case; what an earlier run left there is replaced.

    Parameters
    ----------
    folder : path
        Of its own.
    result : ClassificationResult
    volumes : mapping of str to Volume
        What was classified, by view: explanations go where their slices lie.
    case_id : str
        What the case is called in the tables, where it is not the series.
    made_with : str
        A digest of all that the result depends on, by which `kept_classification` knows it again.

    Returns
    -------
    dict
        What stands in ``classification.json``, which is written last: where it is, the folder is complete.

    Raises
    ------
    OutputError
        If something cannot be written.
    """
    folder = Path(folder)
    remove_classification(folder)
    warnings = list(result.warnings)
    names = explanation_names(result.explanations)
    for name, one in zip(names, result.explanations, strict=True):
        warnings += _write_explanation(folder / name, one, volumes[one.view], str(result.model))
    document = {"case_id": case_id or result.identity.series_uid, **result.to_dict()}
    for name, entry in zip(names, document["explanations"], strict=True):
        entry["file"] = name
    document["warnings"] = list(dict.fromkeys(warnings))
    document["version"] = __version__
    document["made_with"] = made_with
    write_text(folder / RESULT, json_text(document))
    return document


def read_classification(folder: Path | str) -> ClassificationResult:
    """What `write_classification` wrote, without the voxels of explanations.

    Raises
    ------
    SourceError
        If it is not there or cannot be read.
    """
    folder = Path(folder)
    try:
        return ClassificationResult.from_dict(_document(folder))
    except _NOT_WHOLE as error:
        msg = f"The result in {folder} cannot be read ({type(error).__name__}); classify the series again."
        raise SourceError(msg) from error


def kept_classification(folder: Path | str, made_with: str) -> ClassificationResult | None:
    """What `write_classification` wrote, where it is there whole and was made with the same; else None.

    Explanations have to be there, and are not read.
    """
    folder = Path(folder)
    try:
        document = _document(folder)
        there = all((folder / one["file"]).is_file() for one in document["explanations"])
        if not there or not made_with or document["made_with"] != made_with:
            return None
        return ClassificationResult.from_dict(document)
    except _NOT_WHOLE:
        return None


_NOT_WHOLE = (OSError, ValueError, KeyError, TypeError, DicomAnalysisError)
"""What is raised by a file that is not there, no JSON, or not what `write_classification` writes."""


def _document(folder: Path) -> dict[str, object]:
    return json.loads((folder / RESULT).read_text(encoding="utf-8"))


def remove_classification(folder: Path) -> None:
    """Remove what an earlier run wrote into a folder; files of any other name stay.

    Raises
    ------
    OutputError
        If a file is in the way and cannot be removed.
    """
    try:
        for path in (folder / RESULT, *folder.glob(EXPLANATION), *folder.glob("explanation-*.nrrd")):
            path.unlink(missing_ok=True)
    except OSError as error:
        msg = f"Cannot replace the earlier result in {folder}: {error.strerror or error}. Choose another output folder."
        raise OutputError(msg) from error


def explanation_names(explanations: Sequence[Explanation]) -> list[str]:
    """The files of explanations, in their order.

    ``explanation.nrrd`` is the only one; otherwise the view, and of several of one view target and class, stand in the
    name, made safe for every file system.
    """
    views = [one.view for one in explanations]
    names = []
    for one in explanations:
        parts = [one.view, *((one.target, one.class_name) if views.count(one.view) > 1 else ())]
        text = "\0".join(filter(None, parts))
        names.append(f"explanation-{safe_name(text, '')}.nrrd" if text else EXPLANATION)
    return names


def write_table(path: Path | str, results: Sequence[tuple[str, ClassificationResult]]) -> None:
    """A row for every case, with the columns of ``predictions.csv`` and what a reader wants to know beside.

    Parameters
    ----------
    path : path
    results : sequence of (str, ClassificationResult)
        What each case is called, and its result; all of one model.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    names = list(results[0][1].probabilities) if results else []
    header = ["case_id", "patient_id", "part", *(f"{kind} {name}" for name in names for kind in ("true", "p"))]
    header += ["series_uid", "result", "model", "model_version", "model_sha256", "warnings"]
    rows = []
    for case_id, result in results:
        # "test": the model was not trained on it; the truth is for whoever knows it to fill in.
        cells: list[object] = [case_id, result.identity.patient_id, "test"]
        for name in names:
            cells += ["", f"{result.probabilities[name]:.{DIGITS}g}"]
        model = result.model
        words = " ".join(result.warnings)
        rows.append([*cells, result.identity.series_uid, result.words, model.name, model.version, model.sha256, words])
    _write_csv(path, header, rows)


def write_left_out(path: Path | str, reasons: Iterable[tuple[str, str]]) -> None:
    """What was not classified, each with its reason; an earlier list goes where nothing was left out.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rows = list(reasons)
    if rows:
        _write_csv(path, ["case", "reason"], rows)
    else:
        Path(path).unlink(missing_ok=True)


def _write_csv(path: Path | str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([spreadsheet_safe(cell) for cell in row] for row in rows)
    write_text(path, text.getvalue())


def _write_explanation(path: Path, explanation: Explanation, volume: Volume, model: str) -> tuple[str, ...]:
    """On the source's voxels; an uneven stack on the regular grid that Slicer is given of it, which is told."""
    grid = to_regular_grid(volume)
    planes = grid.image_planes(np.asarray(explanation.values, np.float32))
    keys = {"DicomAnalysis.explanation": explanation.title, "DicomAnalysis.model": model}
    write_volume(path, planes, grid.shape, np.dtype(np.float32), grid.ijk_to_lps, keys)
    return grid.warnings

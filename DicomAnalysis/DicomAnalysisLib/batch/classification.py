"""Classifying every series, or every case of several views, of a source.

One case at a time; one that fails never stops the others. What was done, left out and refused
stands in the report, in a folder for each case and in two tables.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ..classification.finding import FoundImage, find_images
from ..classification.images import is_other_image, read_image, without_ending
from ..classification.prediction import Classifier
from ..classification.result import ClassificationResult
from ..classification.views import ViewRule, view_name
from ..dicom.series import Problem, Series
from ..dicom.sources import SeriesSource, open_source
from ..errors import DicomAnalysisError, UsageError
from ..files.classification_folder import LEFT_OUT, TABLE, write_classification, write_left_out, write_table
from ..files.names import safe_name
from ..volume import Volume
from .outcomes import DONE, FAILED, RUNNING, SKIPPED, is_damaged_image

logger = logging.getLogger(__name__)

READ, CLASSIFIED = 0.4, 0.9
"""Shares of a case's time after which it is read and classified; the rest goes into writing."""


@dataclass(frozen=True)
class CaseOutcome:
    """What became of one case.

    Attributes
    ----------
    case_id : str
        The Series Instance UID; of several views the Study Instance UID.
    status : str
        ``running``, then ``done``, ``skipped`` (a scout) or ``failed``.
    series_uids : tuple of str
        Those of its views.
    folder : Path or None
        Where its result is.
    result : str
        In words.
    probabilities : dict of str to float
        By ``target:class``.
    warnings : tuple of str
    reason : str
        Why it was skipped or failed.
    seconds : float
    """

    case_id: str
    status: str
    series_uids: tuple[str, ...] = ()
    folder: Path | None = None
    result: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class ClassificationReport:
    """What became of a batch.

    Attributes
    ----------
    outcomes : tuple of CaseOutcome
    left_out : tuple of str
        Images that were not looked at, each with its reason.
    problems : tuple of Problem
        Files of images that were refused.
    table : Path or None
        ``classification.csv``, where something was classified.
    """

    outcomes: tuple[CaseOutcome, ...]
    left_out: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    table: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether something was done and nothing failed."""
        statuses = {outcome.status for outcome in self.outcomes}
        return DONE in statuses and FAILED not in statuses and not self.problems


class Watch(Protocol):
    """Who is told how far a batch is."""

    def share(self, value: float, stage: str, message: str) -> None:
        """How much of the batch is done (0 to 1), what is being done, and on which case."""

    def outcome(self, outcome: CaseOutcome) -> None:
        """A case is ``running``, or what became of it."""


@dataclass(frozen=True)
class _Case:
    """What is classified together: the image of each view that is there."""

    case_id: str
    images: dict[str, FoundImage]


def classify_source(
    source: str | Path | SeriesSource,
    output: str | Path,
    classifier: Classifier,
    *,
    series_uids: str | Sequence[str] | None = None,
    explain: bool | str = False,
    view_rules: Sequence[ViewRule] = (),
    progress: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> ClassificationReport:
    """Classify every series of a source and write one folder for each, and two tables.

    A model of several views classifies studies: their series are joined by view name.

    Parameters
    ----------
    source : path or SeriesSource
        A file, a folder of anything (DICOM, NIfTI, NRRD, PNG, JPEG), a database, or an open source.
    output : path
        Made when missing; results of an earlier run there are replaced.
    classifier : Classifier
    series_uids : str or sequence of str, optional
        Only these series.
    explain : bool or str
        As for `Classifier.predict`.
    view_rules : sequence of ViewRule
        How series are known to be a view; by default as the model says, or by what the headers state.
    progress : callable, optional
        Called with one line of text now and then; the lines carry UIDs, never names.
    watch : Watch, optional
        Told the same in numbers.

    Raises
    ------
    SourceError
        If the source cannot be opened.
    UsageError
        If there is no series of the UID asked for, or source and output are the same folder.
    """
    output, tell = Path(output), progress or (lambda _line: None)
    origin = Path(source) if isinstance(source, (str, Path)) else None
    opened = open_source(source) if origin is not None else source
    uids = (series_uids,) if isinstance(series_uids, str) else series_uids
    found = find_images(opened if uids is None else _Chosen(opened, tuple(uids)))
    inside = _output_inside(origin, output)
    images = [one for one in found.images if uids is None or one.identity.series_uid in uids]
    images = [one for one in images if inside is None or not _lies_in(one.files[0], inside)]
    used = {path for one in images for path in one.files}
    problems = [
        one
        for one in opened.problems
        if is_damaged_image(one)
        and one.path not in used
        and not is_other_image(one.path)
        and (uids is None or one.series_uid in uids)
        and not (inside is not None and _lies_in(one.path, inside))
    ]
    if not images and isinstance(series_uids, str):
        reason = f" Its files were refused: {problems[0].reason}." if problems else ""
        msg = f"There is no readable series {series_uids} in the source; `list` shows those there are.{reason}"
        raise UsageError(msg)
    rules = view_rules or tuple(ViewRule.from_text(text) for text in classifier.view_rules)
    cases, left_out = _cases([one for one in images if not one.is_scout], classifier, rules)
    left_out += [] if uids is not None else [line for line in found.problems if not _speaks_of(line, problems)]
    batch = _Batch(output, classifier, explain, tell, watch)
    try:
        for uid in uids or ():
            if not any(one.identity.series_uid == uid for one in images):
                batch.note(CaseOutcome(uid, FAILED, (uid,), reason=_why_missing(uid, opened.problems)))
        for image in images:
            if image.is_scout:
                uid = image.identity.series_uid
                batch.note(CaseOutcome(uid, SKIPPED, (uid,), reason="a scout image"))
        batch.run(cases)
    finally:
        table = batch.write_tables(left_out)
    return ClassificationReport(tuple(batch.outcomes), tuple(left_out), tuple(problems), table)


class _Batch:
    """One run over the cases of a source."""

    def __init__(
        self,
        output: Path,
        classifier: Classifier,
        explain: bool | str,
        tell: Callable[[str], None],
        watch: Watch | None,
    ):
        self.output, self.classifier, self.explain = output, classifier, explain
        self.tell, self.watch = tell, watch
        self.outcomes: list[CaseOutcome] = []
        self.results: list[tuple[str, ClassificationResult]] = []

    def run(self, cases: Sequence[_Case]) -> None:
        """Every case, one after the other."""
        taken: set[str] = set()
        for number, case in enumerate(cases):
            self.tell(f"[{number + 1}/{len(cases)}] {case.case_id or '(no UID)'}")

            def share(part: float, stage: str, number: int = number, case: _Case = case) -> None:
                if self.watch is not None:
                    self.watch.share((number + part) / len(cases), stage, case.case_id)

            name = safe_name(case.case_id)
            if name in taken:  # several stacks of one series, or one UID in two studies
                name = safe_name(f"{case.case_id}/{number}")
            taken.add(name)
            uids = tuple(image.identity.series_uid for image in case.images.values())
            outcome = CaseOutcome(case.case_id, RUNNING, uids)
            if self.watch is not None:
                self.watch.outcome(outcome)
            self.note(self.classify(case, self.output / name, outcome, share))

    def classify(
        self, case: _Case, folder: Path, outcome: CaseOutcome, share: Callable[[float, str], None]
    ) -> CaseOutcome:
        """One case; what goes wrong stands in its outcome."""
        started = time.perf_counter()
        failed = replace(outcome, status=FAILED)
        try:
            outcome = self._read_classify_write(case, folder, outcome, share)
        except DicomAnalysisError as error:
            outcome = replace(failed, reason=str(error))
        except MemoryError:
            outcome = replace(failed, reason="there is not enough memory for its images")
        except Exception as error:  # a bug met on one case must not stop the others
            # The message may quote the header; the traceback goes to the log only when it is asked for.
            logger.debug("unexpected error", exc_info=True)
            outcome = replace(failed, reason=f"an unexpected {type(error).__name__}; please report it")
        return replace(outcome, seconds=time.perf_counter() - started)

    def _read_classify_write(
        self, case: _Case, folder: Path, outcome: CaseOutcome, share: Callable[[float, str], None]
    ) -> CaseOutcome:
        volumes: dict[str, Volume] = {}
        for number, (view, image) in enumerate(case.images.items()):
            share(READ * number / len(case.images), "reading")
            _refuse_to_write_among(image.files[0], folder)
            volumes[view] = read_image(image.files)
        result = self.classifier.predict(
            volumes, self.explain, lambda part, stage: share(READ + (CLASSIFIED - READ) * part, stage)
        )
        share(CLASSIFIED, "writing")
        document = write_classification(folder, result, volumes, case.case_id)
        self.results.append((case.case_id, result))
        return replace(
            outcome,
            status=DONE,
            folder=folder,
            result=result.words,
            probabilities=result.probabilities,
            warnings=tuple(document["warnings"]),
        )

    def note(self, outcome: CaseOutcome) -> None:
        """Keep an outcome and tell of it."""
        self.outcomes.append(outcome)
        self.tell(f"    {describe(outcome)}")
        if self.watch is not None:
            self.watch.outcome(outcome)

    def write_tables(self, left_out: Iterable[str]) -> Path | None:
        """The tables over all cases."""
        failed = [(one.case_id, one.reason) for one in self.outcomes if one.status == FAILED]
        write_left_out(self.output / LEFT_OUT, [*failed, *(("", line) for line in left_out)])
        if not self.results:
            return None
        write_table(self.output / TABLE, self.results)
        return self.output / TABLE


def describe(outcome: CaseOutcome) -> str:
    """One line for people."""
    if outcome.status != DONE:
        return f"{outcome.status}: {outcome.reason}"
    warnings = f", {len(outcome.warnings)} warning(s)" if outcome.warnings else ""
    return f"done in {outcome.seconds:.1f} s: {outcome.result}{warnings} -> {outcome.folder}"


class _Chosen:
    """Some series of a source; of a database the files of others are not opened."""

    def __init__(self, source: SeriesSource, uids: tuple[str, ...]):
        self._source, self._uids = source, uids

    def series(self, uid: str | None = None) -> list[Series]:
        """The readable ones among them."""
        return [one for wanted in self._uids if uid in (None, wanted) for one in self._source.series(wanted)]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Files refused so far; images without a place in space are among them."""
        return self._source.problems


def _cases(
    images: Sequence[FoundImage], classifier: Classifier, rules: Sequence[ViewRule]
) -> tuple[list[_Case], list[str]]:
    """What is classified together, and lines about images that are no view of the model."""
    names = classifier.view_names
    if names == ("",):
        return [_Case(image.identity.series_uid, {"": image}) for image in images], []
    groups: dict[str, dict[str, FoundImage]] = {}
    left_out = []
    for image in images:
        uid = image.identity.series_uid
        view = view_of(image, names, rules)
        if view not in names:
            what = f"its view {view!r} is none of the model's" if view else "nothing says which view it is"
            left_out.append(f"{uid} was left out: {what} ({', '.join(names)}).")
            continue
        case_id = image.identity.study_uid or Path(image.files[0]).parent.name
        others = groups.setdefault(case_id, {})
        smaller = image if view in others and image.pixels <= others[view].pixels else others.get(view)
        if smaller is not None:
            left_out.append(f"{smaller.identity.series_uid} was left out: {case_id} has a larger image of view {view}.")
        if smaller is not image:
            others[view] = image
    return [
        _Case(case_id, {name: found[name] for name in names if name in found}) for case_id, found in groups.items()
    ], left_out


def view_of(image: FoundImage, names: Sequence[str], rules: Sequence[ViewRule]) -> str:
    """Which view an image is: by the rules, by what its header states, or, where it is no DICOM, by its file's name."""
    if not image.is_dicom:
        stem = without_ending(image.files[0])
        return next((name for name in names if stem == name or stem.endswith((f"_{name}", f"-{name}"))), "")
    return view_name(image.facts, rules)


def _why_missing(uid: str, problems: Iterable[Problem]) -> str:
    refused = next((one.reason for one in problems if one.series_uid == uid), "")
    return f"there is no readable image of it in the source{f': {refused}' if refused else ''}"


def _speaks_of(line: str, problems: Iterable[Problem]) -> bool:
    return any(line.startswith(one.path) for one in problems)


def _output_inside(source: Path | None, output: Path) -> Path | None:
    """The output folder, where it lies inside the source: what is in it is not to be classified."""
    if source is None or not source.is_dir():
        return None
    source, output = source.resolve(), output.resolve()
    if source == output:
        msg = f"The output folder {output} is the source; choose another one."
        raise UsageError(msg)
    return output if output.is_relative_to(source) else None


def _lies_in(path: str | Path, folder: Path) -> bool:
    return Path(path).resolve().is_relative_to(folder)


def _refuse_to_write_among(path: str, folder: Path) -> None:
    if Path(path).resolve().parent.is_relative_to(folder.resolve()):
        msg = f"the results would be written among the images in {folder}; choose another output folder"
        raise UsageError(msg)

"""Classifying every series, or every case of several views, of a source.

One case at a time; one that fails never stops the others. What was done, left out and refused
stands in the report, in a folder for each case and in two tables.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ..classification.explained import Explain, ExplainRequest
from ..classification.finding import FoundImage, find_images
from ..classification.gathering import gather_cases
from ..classification.images import is_other_image, read_image
from ..classification.prediction import Classifier
from ..classification.result import ClassificationResult
from ..classification.views import ViewRule
from ..cohort.ledger import Ledger
from ..dicom.series import Problem
from ..dicom.sources import SeriesSource, open_source
from ..errors import DicomAnalysisError
from ..files.classification_folder import (
    LEFT_OUT,
    TABLE,
    remove_classification,
    write_classification,
    write_left_out,
    write_table,
)
from ..volume import Volume
from .case_outcomes import CaseOutcome, ClassificationReport, describe_case
from .case_records import CaseRecords, CaseWork, works_of
from .outcomes import DONE, FAILED, RUNNING, SKIPPED, is_damaged_image
from .places import lies_in, output_inside, refuse_to_write_among
from .units import ChosenSeries, no_such_series, refused_of, why_unreadable

logger = logging.getLogger(__name__)

READ, CLASSIFIED = 0.4, 0.9
"""Shares of a case's time after which it is read and classified; the rest goes into writing."""


class Watch(Protocol):
    """Who is told how far a batch is."""

    def share(self, value: float, stage: str, message: str) -> None:
        """How much of the batch is done (0 to 1), what is being done, and on which case."""

    def outcome(self, outcome: CaseOutcome) -> None:
        """A case is ``running``, or what became of it."""


def classify_source(
    source: str | Path | SeriesSource,
    output: str | Path,
    classifier: Classifier,
    *,
    series_uids: str | Sequence[str] | None = None,
    explain: Explain = False,
    view_rules: Sequence[ViewRule] = (),
    progress: Callable[[str], None] | None = None,
    watch: Watch | None = None,
    ledger: Ledger | None = None,
    resume: bool = False,
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
    explain : bool, str or sequence of str
        As for `Classifier.predict`.
    view_rules : sequence of ViewRule
        How series are known to be a view; by default as the model says, or by what the headers state.
    progress : callable, optional
        Called with one line of text now and then; the lines carry UIDs, never names.
    watch : Watch, optional
        Told the same in numbers.
    ledger : Ledger, optional
        Of the output folder (`cohort.ledger.open_ledger`): keeps what became of each case.
    resume : bool
        Leave alone what was classified with the same model, options and version and is there whole: it stands in the
        report and the tables as before. That the pixels of an image were changed since is not noticed.

    Raises
    ------
    SourceError
        If the source cannot be opened.
    UsageError
        If there is no series of the UID asked for, source and output are the same folder, or there is no such
        explanation.
    """
    output = Path(output)
    asked = {"model": classifier.depends_on, "explain": ExplainRequest.of(explain, classifier.targets)}
    origin = Path(source) if isinstance(source, (str, Path)) else None
    opened = open_source(source) if origin is not None else source
    sought = _seek(opened, series_uids, output_inside(origin, output))
    rules = view_rules or tuple(ViewRule.from_text(text) for text in classifier.view_rules)
    cases, left_out = gather_cases(sought.images, classifier.view_names, rules)
    left_out += sought.left_out
    records = CaseRecords(ledger, output, asked, resume and bool(classifier.model.sha256))
    batch = _Batch(classifier, explain, records, progress or (lambda _line: None), watch)
    try:
        for outcome in sought.outcomes:
            batch.note(outcome)
        batch.run(works_of(cases, output, asked))
    except KeyboardInterrupt:
        records.tidy_up(blame=False)
        raise
    finally:
        table = batch.write_tables(output, left_out)
    return ClassificationReport(tuple(batch.outcomes), tuple(left_out), sought.problems, table)


@dataclass(frozen=True)
class _Sought:
    """What there is to classify, what became at once of what is not, images not looked at, and files refused."""

    images: tuple[FoundImage, ...]
    outcomes: tuple[CaseOutcome, ...]
    left_out: tuple[str, ...]
    problems: tuple[Problem, ...]


def _seek(source: SeriesSource, series_uids: str | Sequence[str] | None, inside: Path | None) -> _Sought:
    """The images of a source or of some of its series, but those of the output folder."""
    uids = (series_uids,) if isinstance(series_uids, str) else series_uids
    found = find_images(source if uids is None else ChosenSeries(source, tuple(uids)))
    images = [
        one
        for one in found.images
        if (uids is None or one.identity.series_uid in uids) and not lies_in(one.files[0], inside)
    ]
    used = {path for one in images for path in one.files}
    problems = [
        one
        for one in source.problems
        if is_damaged_image(one)
        and one.path not in used
        and not is_other_image(one.path)
        and (uids is None or one.series_uid in uids)
        and not lies_in(one.path, inside)
    ]
    if not images and isinstance(series_uids, str):
        raise no_such_series(series_uids, problems)
    there = {one.identity.series_uid for one in images}
    outcomes = [
        CaseOutcome(uid, FAILED, (uid,), reason=why_unreadable(uid, refused_of(source, uid)))
        for uid in uids or ()
        if uid not in there
    ]
    scouts = [one.identity.series_uid for one in images if one.is_scout]
    outcomes += [CaseOutcome(uid, SKIPPED, (uid,), reason="a scout image") for uid in scouts]
    refused = tuple(one.path for one in problems)
    left_out = [] if uids is not None else [line for line in found.problems if not line.startswith(refused)]
    return _Sought(tuple(one for one in images if not one.is_scout), tuple(outcomes), tuple(left_out), tuple(problems))


class _Batch:
    """One run over the cases of a source."""

    def __init__(
        self,
        classifier: Classifier,
        explain: Explain,
        records: CaseRecords,
        tell: Callable[[str], None],
        watch: Watch | None,
    ):
        self.classifier, self.explain, self.records = classifier, explain, records
        self.tell, self.watch = tell, watch
        self.outcomes: list[CaseOutcome] = []
        self.results: dict[int, tuple[str, ClassificationResult]] = {}

    def run(self, works: Sequence[CaseWork]) -> None:
        """Every case, one after the other."""
        for place, work in enumerate(self.records.begin(works)):
            case_id = work.case.case_id
            self.tell(f"[{place + 1}/{len(works)}] {case_id or '(no UID)'}")
            kept = self.records.kept(work)
            if kept is not None:
                outcome, result = kept
                if result is not None:
                    self.results[work.number] = (case_id, result)
                self.note(outcome)
                continue

            def share(part: float, stage: str, place: int = place, case_id: str = case_id) -> None:
                if self.watch is not None:
                    self.watch.share((place + part) / len(works), stage, case_id)

            self.note(self.classify(work, share))

    def classify(self, work: CaseWork, share: Callable[[float, str], None]) -> CaseOutcome:
        """One case; what goes wrong stands in its outcome, and the ledger knows before and after."""
        started = time.perf_counter()
        running = CaseOutcome(work.case.case_id, RUNNING, work.case.series_uids)
        failed = replace(running, status=FAILED)
        self.records.start(work.folder)
        if self.watch is not None:
            self.watch.outcome(running)
        try:
            outcome = self._read_classify_write(work, running, share)
        except DicomAnalysisError as error:
            outcome = replace(failed, reason=str(error))
        except MemoryError:
            outcome = replace(failed, reason="there is not enough memory for its images")
        except Exception as error:  # a bug met on one case must not stop the others
            # The message may quote the header; the traceback goes to the log only when it is asked for.
            logger.debug("unexpected error", exc_info=True)
            outcome = replace(failed, reason=f"an unexpected {type(error).__name__}; please report it")
        outcome = replace(outcome, seconds=time.perf_counter() - started)
        self.records.finish(work.folder, outcome)
        return outcome

    def _read_classify_write(
        self, work: CaseWork, outcome: CaseOutcome, share: Callable[[float, str], None]
    ) -> CaseOutcome:
        images = work.case.images
        for image in images.values():
            refuse_to_write_among(image.files[0], work.folder)
        remove_classification(work.folder)  # should this one fail, that of another model is not left in its place
        volumes: dict[str, Volume] = {}
        for number, (view, image) in enumerate(images.items()):
            share(READ * number / len(images), "reading")
            volumes[view] = read_image(image.files)
        result = self.classifier.predict(
            volumes, self.explain, lambda part, stage: share(READ + (CLASSIFIED - READ) * part, stage)
        )
        share(CLASSIFIED, "writing")
        document = write_classification(work.folder, result, volumes, work.case.case_id, work.made_with)
        # Without the voxels of its explanations, which are as large as the series.
        result = replace(result, warnings=tuple(document["warnings"]), explanations=())
        self.results[work.number] = (work.case.case_id, result)
        return replace(
            outcome,
            status=DONE,
            folder=work.folder,
            result=result.words,
            probabilities=result.probabilities,
            warnings=result.warnings,
        )

    def note(self, outcome: CaseOutcome) -> None:
        """Keep an outcome and tell of it."""
        self.outcomes.append(outcome)
        self.tell(f"    {describe_case(outcome)}")
        if self.watch is not None:
            self.watch.outcome(outcome)

    def write_tables(self, output: Path, left_out: Iterable[str]) -> Path | None:
        """The tables over all cases, in their order."""
        failed = [(one.case_id, one.reason) for one in self.outcomes if one.status == FAILED]
        write_left_out(output / LEFT_OUT, [*failed, *(("", line) for line in left_out)])
        if not self.results:
            return None
        write_table(output / TABLE, [self.results[number] for number in sorted(self.results)])
        return output / TABLE

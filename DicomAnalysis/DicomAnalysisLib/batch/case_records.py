"""What a batch that classifies does not do again, and what it notes of the rest.

The result folders themselves say what is done: each holds a digest of the model, the options and the images that it
was made with, in the file that is written last. So nothing that was finished is lost or done twice, whenever the
process ends. The ledger says over which case it ended, and keeps others out of the folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..classification.finding import FoundImage
from ..classification.gathering import ImageCase
from ..classification.result import ClassificationResult
from ..cohort import ledger as states
from ..cohort.ledger import Ledger, options_hash
from ..errors import OutputError
from ..files.classification_folder import kept_classification, remove_classification
from ..files.names import safe_name
from .case_outcomes import CaseOutcome
from .outcomes import CLASSIFY, DONE, FAILED
from .places import lies_among
from .records import Records, is_put_aside


@dataclass(frozen=True)
class CaseWork:
    """One case to come.

    Attributes
    ----------
    number : int
        Its place among all, and in the table.
    case : ImageCase
    folder : Path
        Of its result.
    made_with : str
        Digest of the model, the options and the images.
    """

    number: int
    case: ImageCase
    folder: Path
    made_with: str


def works_of(cases: Sequence[ImageCase], output: Path, options: object) -> list[CaseWork]:
    """Where the results of cases go, and what they depend on.

    Parameters
    ----------
    cases : sequence of ImageCase
    output : Path
    options : object
        The model and all that was asked of it, with a JSON form.
    """
    return [
        CaseWork(number, case, output / name, options_hash([__version__, options, _contents(case)]))
        for number, (case, name) in enumerate(zip(cases, _names(cases), strict=True))
    ]


class CaseRecords(Records):
    """The records of a batch that classifies; see `Records`.

    Without a ledger, what was done is kept as well; only nobody knows over which case a process ended.
    """

    def __init__(self, ledger: Ledger | None, output: Path, options: object, resume: bool):
        super().__init__(ledger, output, CLASSIFY, options, resume)

    def begin(self, works: Sequence[CaseWork]) -> list[CaseWork]:
        """Tidy up after a run that was ended, and note what is to come.

        Without `resume` the results of earlier runs go at once: what is there afterwards is of this run.

        Returns
        -------
        list of CaseWork
            In their order, but those last during which the process ended: one of them may be what ends it.
        """
        self.tidy_up(blame=True)
        self.expect(work.folder for work in works)
        if not self._resume:
            for work in works:
                if not any(lies_among(image.files[0], work.folder) for image in work.case.images.values()):
                    with contextlib.suppress(OutputError):  # whoever comes to write there says it
                        remove_classification(work.folder)
        known = self.known_interruptions()
        return sorted(works, key=lambda work: known.get(self._item(work.folder), 0))

    def kept(self, work: CaseWork) -> tuple[CaseOutcome, ClassificationResult | None] | None:
        """The outcome of a case that needs not be done again, and its result where it has one; None for the others."""
        if not self._resume:
            return None
        case, entry = work.case, self.known(work.folder)
        result = kept_classification(work.folder, work.made_with)
        if result is not None:
            outcome = CaseOutcome(
                case.case_id,
                DONE,
                case.series_uids,
                work.folder,
                result.words,
                result.probabilities,
                result.warnings,
                seconds=result.seconds,
                kept=True,
            )
            if entry is not None and entry.state != states.DONE:  # the process ended before it could say so
                self.finish(work.folder, outcome)
            return outcome, result
        if entry is not None and is_put_aside(entry):
            return CaseOutcome(case.case_id, FAILED, case.series_uids, reason=entry.reason, kept=True), None
        return None


def _names(cases: Sequence[ImageCase]) -> Iterator[str]:
    """The folders' names; several stacks of one series, or one UID in two studies, are numbered."""
    taken: dict[str, int] = {}
    for case in cases:
        taken[case.case_id] = count = taken.get(case.case_id, 0) + 1
        yield safe_name(case.case_id if count == 1 else f"{case.case_id}/{count}")


def _contents(case: ImageCase) -> dict[str, object]:
    """What tells the images of a case from others without opening them; the source may have been moved."""

    def described(image: FoundImage) -> list[object]:
        files = ["/".join(Path(file).parts[-2:]) for file in image.files]
        return [image.identity.series_uid, image.slices, image.pixels, files]

    return {view: described(image) for view, image in case.images.items()}

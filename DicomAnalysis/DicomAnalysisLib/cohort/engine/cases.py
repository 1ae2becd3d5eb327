"""A model of several views on one study after the other: its images joined by view, as `classify` joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ...classification.finding import find_images
from ...classification.gathering import ImageCase, gather_cases
from ...classification.images import read_image
from ...classification.views import ViewRule
from ...dicom.series import series_from_files
from ...volume import Volume
from ..entries import DONE, SKIPPED
from ..features.acquisition import tags_of_image
from .plan import name_of_item
from .rows import Row
from .spec import TaskSpec
from .work import ReadSeries, SeriesTask, left_out, nothing_to_read, refuse_lost


class CaseMeasurement(Protocol):
    """What a model makes of a case.

    Attributes
    ----------
    names : tuple of str
        Columns.
    view_names, view_rules : tuple of str
        The views, and how they are known.
    """

    names: tuple[str, ...]
    view_names: tuple[str, ...]
    view_rules: tuple[str, ...]

    def measure(self, views: Mapping[str, Volume]) -> Mapping[str, float]:
        """The columns of one case."""


class CaseTask(SeriesTask):
    """One model on the images of one study after the other.

    Parameters
    ----------
    spec : TaskSpec
    measurement : CaseMeasurement
    """

    def __init__(self, spec: TaskSpec, measurement: CaseMeasurement):
        super().__init__(spec, measurement)
        self._rules = tuple(ViewRule.from_text(text) for text in spec.views or measurement.view_rules)

    def _measure(self, files: Sequence[str]) -> tuple[str, str, list[Row]]:
        series, problems = series_from_files(files)
        refuse_lost(files, problems)
        found = find_images(ReadSeries(series, problems)).images
        images = [image for image in found if not image.is_scout]
        if not found:
            return *nothing_to_read(problems), []
        if not images:
            return SKIPPED, "scout images only", []
        # All files are of one study, or of one folder where they state none: there is one case, or none.
        cases, others = gather_cases(images, self.measurement.view_names, self._rules)
        if not cases:
            return SKIPPED, f"no image is a view of the model: {others[0]}", []
        rows = [self._row(case) for case in cases]
        refuse_lost(files)
        missing = [name for name in self.measurement.view_names if name not in cases[0].images]
        said = [f"missing views: {', '.join(missing)}"] if missing else []
        damaged = left_out(files, problems, {path for image in found for path in image.files})
        return DONE, "; ".join([*said, *filter(None, [damaged])]), [self._hidden(row) for row in rows]

    def _row(self, case: ImageCase) -> Row:
        """Measure a case; the tags are those of its first view."""
        volumes = {name: read_image(image.files) for name, image in case.images.items()}
        image, first = next(zip(case.images.values(), volumes.values(), strict=True))
        placed = first.geometry if "spacing_mm" in image.facts else None
        return Row(
            name_of_item(image.identity.study_uid, image.files[0]),
            image.identity.patient_id,
            self.measurement.measure(volumes),
            tags_of_image(image.files[0], image.identity.modality, first.shape, placed),
            tuple(path for image in case.images.values() for path in image.files),
        )

"""The page *Cohort*: features of many series, clusters to look into, and labels learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .buttons import enable, why_busy
from .cohort_clusters import ClusterSection
from .cohort_logic import CLUSTERS
from .cohort_texts import findings_text, left_of, measured_text, status_text
from .folders import SeriesSource, choose_file, choose_folder, is_file, is_folder, open_outside, why_no_output
from .measuring_logic import is_begun
from .pages import PagePanel, Shared
from .widgets import fill_texts, say

FAILED_WIDTH = 170


class CohortPanel(PagePanel):
    """Choices live in the parameter node, results in the output folder and the scene; the panel joins them.

    Parameters are those of `PagePanel`.
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        self.clusters = ClusterSection(ui, shared, self.update)
        self.source = SeriesSource(self, "cohortSource", "cohortFolder")
        self._looked_at: str | None = None
        self._shown_of = ""  # output folder whose clusters are shown
        self._status: Any = None
        self._text, self._learned, self._report = "", "", ""
        self._items: list[Any] = []
        ui.cohortFailedTable.setColumnWidth(0, FAILED_WIDTH)
        for button, slot in (
            (ui.cohortFolderButton, self.browse_source),
            (ui.cohortOutputButton, self.browse_output),
            (ui.cohortLabelsButton, self.browse_labels),
            (ui.cohortMeasureButton, self.measure),
            (ui.cohortResumeButton, self.resume),
            (ui.cohortClusterButton, self.cluster),
            (ui.cohortLearnButton, self.learn),
            (ui.cohortLearnReportButton, self.open_learned),
        ):
            button.connect("clicked(bool)", slot)

    @property
    def folder(self) -> str:
        """The output folder; empty where none is chosen."""
        return self.parameters.cohortOutput.strip() if self.parameters is not None else ""

    def measure(self) -> None:
        """Button *Measure features*."""
        source, folder, retry = self.source.chosen, self.folder, self.parameters.cohortRetry
        self._measure(
            _("Measure features"),
            lambda **calls: self.logic.measureFeatures(source, folder, retryFailed=retry, **calls),
        )

    def resume(self) -> None:
        """Button *Resume*: what is left of the series of the output folder."""
        folder, retry = self.folder, self.parameters.cohortRetry
        self._measure(
            _("Resume the features"), lambda **calls: self.logic.resumeFeatures(folder, retryFailed=retry, **calls)
        )

    def cluster(self) -> None:
        """Button *Find clusters*."""
        if not self._has_packages():
            return
        folder, labels, targets = self.folder, self._labels(), self._targets()
        method = self.parameters.cohortMethod.value
        self.shared.tasks.start(
            _("Find clusters"),
            lambda **calls: self.logic.findClusters(
                folder, labels=labels, targets=targets if labels else (), method=method, **calls
            ),
            lambda result: self._show_clusters(result, folder, with_plot=True),
        )

    def learn(self) -> None:
        """Button *Learn labels*."""
        if not self._has_packages():
            return
        folder, labels, targets = self.folder, self._labels(), self._targets()
        self.shared.tasks.start(
            _("Learn labels"),
            lambda **calls: self.logic.learnLabels(folder, labels, targets=targets, **calls),
            self._has_learned,
        )

    def open_learned(self) -> None:
        """Button *Open report on labels*: in the system's browser."""
        open_outside(self._report)

    def browse_source(self) -> None:
        """Button *...* beside the folder with series."""
        self.source.browse(_("Folder with DICOM files"))

    def browse_output(self) -> None:
        """Button *...* beside the output folder."""
        choose_folder(self.parameters, "cohortOutput", _("Folder for features, clusters and reports"))

    def browse_labels(self) -> None:
        """Button *...* beside the table of labels."""
        choose_file(self.parameters, "cohortLabels", _("Table of labels"), "CSV (*.csv *.tsv)")

    def shown(self) -> None:
        """The page was opened: the output folder may hold more than before."""
        self._looked_at = None
        self.update()

    def scene_closed(self) -> None:
        """The nodes are gone with the scene; what is in the output folder is not."""
        self.clusters.forget_nodes()
        self.update()

    def update(self) -> None:
        """Show what is chosen and known, and what can be clicked."""
        if self.parameters is None:
            return
        self._look()
        ui, busy = self.ui, why_busy(self.shared.tasks.title)
        for widget in (ui.cohortFolderLabel, ui.cohortFolderLineEdit, ui.cohortFolderButton):
            widget.visible = self.source.is_folder
        checked = _("{count} series are checked.").format(count=len(self.shared.checked()))
        say(ui.cohortCheckedLabel, "" if self.source.is_folder else checked)
        say(ui.cohortStatusLabel, "\n".join(one for one in (self._text, status_text(self._status)) if one))
        ui.cohortFailedWidget.visible = self._status is not None and bool(self._status.failed)
        no_output = why_no_output(self.folder)
        no_source = self.source.why_none(
            _("Choose a folder with DICOM files."), _("Check series on the page DICOM database.")
        )
        enable(
            ui.cohortMeasureButton,
            _("Measure every series; what was measured into this folder before stays."),
            busy or no_source or no_output,
        )
        self._update_resume(busy or no_output)
        self._update_labels(busy, no_output)
        self.clusters.update(busy)

    def _update_resume(self, reason: str) -> None:
        button, left = self.ui.cohortResumeButton, 0
        if self._status is not None:
            left = left_of(self._status) + (len(self._status.failed) if self.parameters.cohortRetry else 0)
        if not reason and not is_begun(self.folder):
            reason = _("Nothing was begun in this folder.")
        # A run that was ended while it looked for series has not written down any yet.
        if not reason and self._status is not None and not left:
            reason = _("All series of this folder were gone through.")
        button.text = _("Resume ({left} left)").format(left=left) if left else _("Resume")
        enable(button, _("Measure what is left."), reason)

    def _update_labels(self, busy: str, no_output: str) -> None:
        ui, measured = self.ui, self._status is not None and self._status.counts.get("done", 0)
        reason = busy or no_output or ("" if measured else _("Measure features into the output folder first."))
        labels = self._labels()
        no_file = _("There is no such table of labels.") if labels and not is_file(labels) else ""
        enable(ui.cohortClusterButton, _("Find groups of alike series; no labels are needed."), reason or no_file)
        no_labels = no_file or ("" if labels else _("Choose a table of labels (CSV)."))
        purpose = _("Learn the labels from the features, and look for leakage.")
        enable(ui.cohortLearnButton, purpose, reason or no_labels)
        say(ui.cohortLearnedLabel, self._learned)
        nothing = "" if self._report else _("Nothing has been learned yet.")
        enable(ui.cohortLearnReportButton, _("Open the report on what was learned (HTML)."), nothing)

    def _look(self) -> None:
        """See what the output folder holds, where it is another one or was changed."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        folder = self.folder
        if self._looked_at == folder or (self.shared.tasks.title and self._looked_at is not None):
            return
        self._looked_at, usable = folder, not why_no_output(folder)
        self._status = self.logic.cohortStatus(folder) if usable else None
        failed = self._status.failed if self._status is not None else {}
        self._items = fill_texts(self.ui.cohortFailedTable, list(failed.items()))
        if self._shown_of == folder:
            return
        self._text = self._learned = self._report = ""
        result = None
        if usable and is_folder(Path(folder) / CLUSTERS):
            try:
                result = self.logic.readClusters(Path(folder) / CLUSTERS)
            except DicomAnalysisError as error:
                self.shared.log.add(str(error))
        self._show_clusters(result, folder)

    def _show_clusters(self, result: Any, folder: str, with_plot: bool = False) -> None:
        self._shown_of = folder
        if result is not None or self.clusters.result is not None:
            self.clusters.show(result, with_plot)

    def _measure(self, title: str, begin: Callable[..., Any]) -> None:
        if not self._has_packages():
            return
        self._text = ""
        self.shared.tasks.start(title, begin, self._measured, self._ended)

    def _measured(self, values: Mapping[str, Any]) -> None:
        self._text = measured_text(values)
        for series, reason in values["failed"].items():
            self.shared.log.add(_("Series {uid} failed: {reason}").format(uid=series, reason=reason))

    def _ended(self) -> None:
        self._looked_at = None  # what is done stands in the ledger, also after a cancel

    def _has_learned(self, values: Mapping[str, Any]) -> None:
        self._learned, self._report = findings_text(values["findings"]), values["report"]
        self.open_learned()

    def _labels(self) -> str | None:
        return self.parameters.cohortLabels.strip() or None

    def _targets(self) -> tuple[str, ...]:
        return tuple(one.strip() for one in self.parameters.cohortTarget.split(";") if one.strip())

    def _has_packages(self) -> bool:
        """Have what cohorts and their pictures need, asking the user where it is missing."""
        wanted = (("cohort", _("Cohort analysis")), ("plots", _("Plots as pictures")))
        return all(self.has_packages(feature, name) for feature, name in wanted)

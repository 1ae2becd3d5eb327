"""The logic's part for agreement: two raters or methods compared, and measurements of markups."""

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

from .background import BackgroundJob

AgreementNodes = namedtuple("AgreementNodes", "tableNode pairsNode chartNode agreements study remarks")
"""What a comparison left in the scene (None where there is nothing), the library's `Agreement` of each quantity, its
`SegmentStudy` where segmentations were compared, and why something could not be."""


class AgreementLogic:
    """Calls of `DicomAnalysisLogic` that compare measurements; `scene` is where tables and plots go."""

    def agreement(
        self,
        first,
        second=None,
        columns=(),
        identifier="",
        rater="",
        names=None,
        unit="",
        segments=(),
        pattern="",
        **options,
    ):
        """Is one measurement as good as the other? Tables and a Bland-Altman plot go into the scene.

        Parameters
        ----------
        first : vtkMRMLTableNode, str or path
            A table of the scene, a CSV file, or a folder of segmentations.
        second : vtkMRMLTableNode, str or path, optional
            A second table with the other column, or the folder with the other segmentations (the reference).
        columns : sequence of str
            Titles of the two columns; the one of values with `rater`, or where two tables have it.
        identifier : str
            Title of the column that says who was measured; the usual names are looked for by default.
        rater : str
            Title of the column that says who measured, in a table with a row for each measurement.
        names : tuple of two str, optional
            Of the raters or methods.
        unit : str
            By default what the titles say in brackets.
        segments, pattern
            As for `DicomAnalysisLib.reporting.agreement.segment_comparison.compare_segmentations`.
        **options
            Of `DicomAnalysisLib.reporting.agreement.estimate.AgreementOptions`: ``log``, ``acceptable``,
            ``precision``, ``interval``, ``confidence`` ...

        Returns
        -------
        AgreementNodes

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If a column is not there, units differ, or there are fewer than three pairs; the message says why.
        """
        from DicomAnalysisLib.errors import UsageError
        from DicomAnalysisLib.mrml.agreement import MEASURED
        from DicomAnalysisLib.reporting.agreement.analysis import analyse
        from DicomAnalysisLib.reporting.agreement.request import TableChoice, pair_table
        from DicomAnalysisLib.reporting.agreement.segment_comparison import compare_segmentations

        if isinstance(first, (str, Path)) and Path(first).is_dir():
            if second is None:
                msg = "Two folders of segmentations are compared: name the second one, too."
                raise UsageError(msg)
            study = compare_segmentations(first, second, tuple(segments), pattern, tuple(names or ("first", "second")))
            return self.applyComparison(study, **options)
        tables = [self.tableRows(one) for one in (first, second) if one is not None]
        raters = tuple(names or ()) if rater else ()
        choice = TableChoice(
            tuple(columns), identifier, rater=rater, raters=raters, unit=unit, names=tuple(names) if names else None
        )
        paired = pair_table(tables[0], choice, tables[1] if second is not None else None)
        measured = "" if isinstance(first, (str, Path)) else first.GetAttribute(MEASURED)
        if measured:
            paired = replace(paired, quantity=measured)
        return self._applyAgreements([analyse(paired, _options(options))])

    def compareSegmentations(
        self, first, second, segments=(), pattern="", names=None, onProgress=None, onDone=None, **options
    ):
        """`agreement` of two folders of segmentations, in a process of its own.

        Parameters are those of `agreement`; callables are those of `segmentInBackground`.

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            ``wait()`` waits and returns the `AgreementNodes`.
        """
        from DicomAnalysisLib.jobs.agreement import compare_segmentations_job
        from DicomAnalysisLib.reporting.agreement.segment_study import study_from

        _options(options)  # what is wrong with them is said before the work
        job = compare_segmentations_job(
            first, second, segments=segments, pattern=pattern, names=tuple(names or ("first", "second"))
        )
        return BackgroundJob(
            job,
            lambda values: self.applyComparison(study_from(values), **options),
            on_progress=onProgress,
            on_done=onDone,
        )

    def applyComparison(self, study, **options):
        """Put a `SegmentStudy`, and the agreement of its volumes, into the scene; returns `AgreementNodes`."""
        from DicomAnalysisLib.mrml.agreement import study_to_table
        from DicomAnalysisLib.reporting.agreement.request import agreements_of

        agreements, remarks = agreements_of(study, _options(options))
        made = self._applyAgreements(agreements)
        return made._replace(tableNode=study_to_table(self.scene, study), study=study, remarks=tuple(remarks))

    def measureMarkups(self, markupsNode, fit="circle"):
        """Length of a line, an angle, or the circle or sphere closest to points, in world RAS mm.

        Parameters
        ----------
        markupsNode : vtkMRMLMarkupsNode
        fit : str
            ``"circle"`` (points on a rim, such as that of a hip socket) or ``"sphere"``, for points and curves.

        Returns
        -------
        DicomAnalysisLib.mrml.agreement.Measured
            ``quantity``, ``value``, ``unit``, ``remark`` and ``details`` (centre, residual and more of a fit).

        Raises
        ------
        DicomAnalysisLib.errors.TaskError
            If there are too few points, or nothing fits them.
        """
        from DicomAnalysisLib.mrml.agreement import measure_markups

        return measure_markups(markupsNode, fit)

    def addMeasurement(self, markupsNode, rater, identifier="", fit="circle"):
        """Measure markups and put the value into the scene's table of that quantity, in the rater's column.

        Parameters
        ----------
        markupsNode : vtkMRMLMarkupsNode
        rater : str
        identifier : str
            Of what was measured; by default the Series Instance UID, or the name, of the image it was placed on.
        fit : str
            As for `measureMarkups`.

        Returns
        -------
        tuple
            The table node, and what `measureMarkups` gives.
        """
        from DicomAnalysisLib.errors import UsageError
        from DicomAnalysisLib.mrml.agreement import add_measurement, image_of_markups
        from DicomAnalysisLib.mrml.hierarchy import identity_of_node

        image = image_of_markups(markupsNode)
        if not identifier and image is not None:
            identifier = identity_of_node(image).series_uid or image.GetName()
        if not (identifier and rater):
            msg = "A measurement needs the name of the case and of the rater."
            raise UsageError(msg)
        measured = self.measureMarkups(markupsNode, fit)
        return add_measurement(self.scene, measured, identifier, rater, image), measured

    def writeAgreement(self, outputFolder, nodes, title="Agreement"):
        """Write the report (HTML), plots and tables of what `agreement` gave; returns the report's path.

        Needs the packages of the feature ``plots`` (`ensurePackages`).
        """
        from DicomAnalysisLib.reporting.agreement.outputs import write_study

        return write_study(outputFolder, nodes.agreements, nodes.study, title)["report"]

    def tableRows(self, table):
        """The rows of a table node or a CSV file as text, by column title."""
        from DicomAnalysisLib.mrml.agreement import table_rows
        from DicomAnalysisLib.reporting.agreement.tables import read_table

        return read_table(table) if isinstance(table, (str, Path)) else table_rows(table)

    def _applyAgreements(self, agreements):
        from DicomAnalysisLib.mrml.agreement import agreement_to_nodes

        made = [agreement_to_nodes(self.scene, one) for one in agreements]
        first = made[0] if made else (None, None, None)
        return AgreementNodes(*first, tuple(agreements), None, ())


def _options(options):
    from DicomAnalysisLib.errors import UsageError
    from DicomAnalysisLib.reporting.agreement.estimate import AgreementOptions

    try:
        return AgreementOptions(**options)
    except TypeError as error:
        msg = f"The options of the agreement are not understood ({error})."
        raise UsageError(msg) from error

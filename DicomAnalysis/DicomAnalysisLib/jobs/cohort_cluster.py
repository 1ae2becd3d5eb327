"""``cohort-cluster``: clusters of a cohort's series, with their report and pictures of their nearest examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..cohort.clustering.options import ClusteringOptions
from ..errors import UsageError
from .events import Reporter
from .job import Job

if TYPE_CHECKING:
    from ..cohort.clustering.result import Clustering

TASK = "cohort-cluster"
STEPS = 14
"""About so many lines are told while clusters are sought."""
MONTAGES, MOST_MONTAGES = "montages", 30


def cohort_cluster_job(
    features: str | Path,
    output: str | Path,
    options: ClusteringOptions | None = None,
    *,
    labels: str | Path | None = None,
    targets: Sequence[str] = (),
) -> Job:
    """The job of finding clusters, as the command ``cohort cluster`` does; `read_explorer(output)` reads them.

    Its value holds ``output``, ``verdict``, ``findings``, ``report`` and ``files``.

    Parameters
    ----------
    features : path
        Output folder of ``cohort run --task features``, or a Parquet file.
    output : path
    options : ClusteringOptions, optional
    labels : path, optional
        CSV file of labels to compare the clusters with.
    targets : sequence of str
        Its columns, as `classification.targets.LabelColumns.from_text` reads them.
    """
    from dataclasses import asdict

    arguments = {
        "features": str(Path(features).absolute()),
        "output": str(Path(output).absolute()),
        "options": asdict(options or ClusteringOptions()),
        "labels": None if labels is None else str(Path(labels).absolute()),
        "targets": list(targets),
    }
    return Job(TASK, arguments)


def run(arguments: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do the job: the child's side."""
    report.progress(0.0, "reading features")
    from ..classification.targets import LabelColumns
    from ..cohort.clustering.analysis import cluster_table
    from ..cohort.clustering.outputs import write_clustering
    from ..cohort.features.loading import load_features
    from ..cohort.learning.labelled import label_table, label_texts
    from ..reporting.cohort_report import write_clustering_report

    try:
        options = ClusteringOptions(**arguments["options"])
    except TypeError as error:
        msg = f"The options of the clusters are not understood ({error})."
        raise UsageError(msg) from error
    tell, output = Steps(report), Path(arguments["output"])
    features = load_features(arguments["features"])
    labels = {}
    if arguments["labels"] is not None:
        columns = tuple(LabelColumns.from_text(text) for text in arguments["targets"])
        labels = label_texts(features, label_table(features, arguments["labels"], columns))
    found = cluster_table(features, options, labels, tell)
    written = write_clustering(output, found)
    written.append(write_clustering_report(output, found, tell))
    written += _write_montages(output, found, tell)
    report.progress(1.0, "done")
    return {
        "output": str(output),
        "verdict": found.verdict,
        "findings": list(found.findings()),
        "report": str(output / "report.html"),
        "files": [str(path) for path in written],
    }


class Steps:
    """Lines of one after another as shares: the last steps are never reached too early."""

    def __init__(self, report: Reporter):
        self._report, self._count = report, 0

    def __call__(self, line: str) -> None:
        """The next step begins."""
        self._count += 1
        self._report.progress(1 - 0.5 ** (2 * self._count / STEPS), line)


def montage_path(folder: str | Path, cluster: int) -> Path:
    """Where the picture of a cluster's nearest examples is, in the folder of clusters; it may not be there."""
    return Path(folder) / MONTAGES / f"cluster-{cluster}.png"


def _write_montages(folder: Path, found: Clustering, tell: Steps) -> list[Path]:
    from ..files.atomic import write_bytes
    from ..reporting.cohort_examples import montage_png, read_example

    for old in (folder / MONTAGES).glob("cluster-*.png"):  # of an earlier run, whose clusters were others
        old.unlink()
    written = []
    for one in found.clusters[:MOST_MONTAGES]:
        files = found.table.sources
        if not any(uid in files for uid in one.examples):
            continue
        tell(f"nearest examples of cluster {one.cluster + 1}")
        path = montage_path(folder, one.cluster + 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, montage_png([read_example(uid, files.get(uid, ())) for uid in one.examples], columns=3))
        written.append(path)
    return written

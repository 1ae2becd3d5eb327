"""What clustering leaves in a folder: a table with the cluster of each series, and everything else as JSON."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ...files.atomic import write_text
from ...files.json_text import json_text
from ...files.spreadsheet import spreadsheet_safe
from .explorer import COLUMNS, LABEL_COLUMN, NO_CLUSTER, SUMMARY, TABLE, explorer_of
from .result import Clustering, Partition

FORMAT = 1


def document(clustering: Clustering) -> dict[str, object]:
    """All numbers, for JSON."""
    explorer = explorer_of(clustering)
    described = []
    for words, one in zip(explorer.clusters, clustering.clusters, strict=True):
        described.append(
            {
                "number": words.number,
                "size": words.size,
                "patients": words.patients,
                "words": words.words,
                "is_value": words.is_value,
                "examples": words.examples,
                "silhouette": one.silhouette,
                "stability": one.stability,
                "differences": one.differences,
            }
        )
    return {
        "format": FORMAT,
        "verdict": clustering.verdict,
        "findings": explorer.findings,
        "series": len(clustering.table),
        "features": len(clustering.table.names),
        "model_hash": clustering.table.model_hash,
        "recipe_hash": clustering.table.recipe_hash,
        "method": clustering.partition.method,
        "display": clustering.display,
        "variance_explained": clustering.explained,
        "quality": clustering.partition.quality,
        "stability": _stability(clustering.partition),
        "other_methods": [
            {"method": one.method, "quality": one.quality, "stability": _stability(one)} for one in clustering.others
        ],
        "between_methods_ari": clustering.between_methods,
        "gap": clustering.gap,
        "clusters": described,
        "agreement": clustering.agreements,
        "identities": [{**vars(one), "cluster": one.cluster + 1, "text": one.text()} for one in clustering.identities],
        "labels": list(clustering.labels),
        "options": clustering.options,
        "notes": clustering.notes,
        "seconds": clustering.seconds,
    }


def write_clustering(folder: Path | str, clustering: Clustering) -> list[Path]:
    """Write the table and the JSON; each in one step.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = Path(folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(LABEL_COLUMN + name for name in clustering.labels)])
    explorer = explorer_of(clustering)
    for k, (series, patient) in enumerate(zip(explorer.series, explorer.patients, strict=True)):
        number = int(explorer.cluster[k])
        x, y = explorer.positions[k]
        labels = [spreadsheet_safe(column[k]) for column in explorer.labels.values()]
        names = [spreadsheet_safe(name) for name in (series, patient)]
        writer.writerow([*names, number or NO_CLUSTER, f"{x:.5g}", f"{y:.5g}", *labels])
    write_text(folder / TABLE, text.getvalue())
    write_text(folder / SUMMARY, json_text(document(clustering)))
    return [folder / TABLE, folder / SUMMARY]


def _stability(partition: Partition) -> dict[str, object]:
    stable = partition.stability
    return {
        "seeds": stable.seeds,
        "bootstraps": stable.bootstraps,
        "mean": stable.mean,
        "clusters": stable.clusters,
        "series": stable.series,
    }

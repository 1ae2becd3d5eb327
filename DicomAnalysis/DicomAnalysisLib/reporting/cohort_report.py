"""What clustering found, as one self-contained HTML page: for people, with Slicer or without."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..cohort.clustering.describe import ClusterDescription, Difference
from ..cohort.clustering.explorer import explorer_of
from ..cohort.clustering.options import DENSITY
from ..cohort.clustering.result import CLUSTERS, NONE, Clustering, Partition
from ..cohort.clustering.stability import DISSOLVED, STABLE
from ..files.atomic import write_text
from .cohort_examples import montage_png, read_example
from .cohort_plots import embedding_png, gap_png
from .html import (
    FOOT,
    GOOD,
    NOTE,
    WARNING,
    Html,
    details,
    element,
    figure,
    figures,
    joined,
    notice,
    page,
    paragraph,
    section,
    table,
)

HTML_NAME = "report.html"
METHOD_NAMES = {"density": "UMAP, then HDBSCAN", "kmeans": "k-means"}
_MOST_MONTAGES = 30


def write_clustering_report(
    folder: Path | str, clustering: Clustering, progress: Callable[[str], None] = lambda _line: None
) -> Path:
    """Write ``report.html``; pictures of the examples are in it where the feature table knows their files.

    Raises
    ------
    OutputError
        If it cannot be written.
    ImportError
        If matplotlib is not installed.
    """
    path = Path(folder) / HTML_NAME
    write_text(path, clustering_html(clustering, progress))
    return path


def clustering_html(clustering: Clustering, progress: Callable[[str], None] = lambda _line: None) -> str:
    """The page about clusters."""
    first, *others = clustering.findings()
    kind = GOOD if clustering.verdict == CLUSTERS else WARNING
    body: list[object] = [
        paragraph(
            f"{len(clustering.table):,} series of {len(set(clustering.table.patients)):,} patients, "
            f"{len(clustering.table.names):,} features, looked at without labels."
        ),
        notice(kind, "Result", [first]),
    ]
    if others:
        bad = any(one.follows and one.kind == "tag" for one in clustering.agreements) or any(
            one.kind == "tag" for one in clustering.identities
        )
        body.append(notice(WARNING if bad else NOTE, "Know this before you use it", others))
    body += [_embedding_section(clustering), _quality_section(clustering)]
    if clustering.verdict != NONE:
        body.append(_clusters_section(clustering, progress))
    body += [_agreement_section(clustering), _clustering_methods(clustering), paragraph(FOOT, "faint")]
    return page("Clusters of a cohort", body)


def _embedding_section(clustering: Clustering) -> Html:
    explorer = explorer_of(clustering)
    by_cluster = [f"cluster {number}" if number else "" for number in explorer.cluster.tolist()]
    shown = [("Coloured by cluster", by_cluster, "no cluster")]
    shown += [(f"Coloured by label: {name}", column, "no label") for name, column in explorer.labels.items()]
    told = {one.name for one in clustering.agreements if one.kind == "tag" and one.follows}
    told |= {one.name for one in clustering.identities if one.kind == "tag"}
    shown += [
        (f"Coloured by tag: {name.replace('_', ' ')}", clustering.table.tags[name], "not stated")
        for name in sorted(told)[:4]
    ]
    drawn = [
        figure(
            embedding_png(clustering.embedding, groups, title, missing, clustering.display),
            f"Each series is a point. {title}.",
            width=530,
        )
        for title, groups, missing in shown
    ]
    what = (
        "Each point is a series; near points have like features. Distances between groups, sizes and gaps in such a "
        "picture (UMAP) mean little: clusters are judged by the numbers below."
        if clustering.display == "umap"
        else "Each point is a series, drawn on the two directions in which the series differ most."
    )
    return section("The series as points", paragraph(what), figures(drawn))


def _quality_section(clustering: Clustering) -> Html:
    partitions = [clustering.partition, *clustering.others]
    if clustering.verdict == NONE:
        partitions = list(clustering.others)
    rows = [_quality_cells(one, len(clustering.table)) for one in partitions]
    titles = (
        "Method",
        "Clusters",
        "Sizes",
        "In no cluster",
        "Silhouette",
        "Davies–Bouldin",
        "Again with other seeds",
        "Again in bootstraps",
    )
    between = clustering.between_methods
    words = [
        "Silhouette (−1 to 1; the higher the better) and Davies–Bouldin (the lower the better) are computed in the "
        "full feature space, without series of no cluster. 'Again' is the adjusted Rand index with the clusters of "
        "other seeds and of resampled patients: 1 is the same, 0 is chance."
    ]
    if between is not None and clustering.verdict != NONE:
        words.append(f"Both methods agree with an adjusted Rand index of {between:.2f}.")
    if clustering.gap.best == 1:
        words.append("What the methods would cut the cloud into is shown for completeness: it is not structure.")
    gap = figure(
        gap_png(clustering.gap),
        "Gap statistic over the number of clusters.",
        "Gap statistic: how much better k-means cuts these series than it cuts data without structure. Where no number "
        "of clusters is surely above 1, there is no structure.",
        width=480,
    )
    return section("How good the clusters are", paragraph(" ".join(words)), table(titles, rows), gap)


def _quality_cells(one: Partition, series: int) -> tuple[object, ...]:
    quality, stable = one.quality, one.stability
    sizes = ", ".join(f"{size:,}" for size in quality.sizes[:12]) + ("…" if len(quality.sizes) > 12 else "")
    silhouette = _silhouette(one)
    return (
        METHOD_NAMES[one.method],
        quality.clusters,
        sizes,
        f"{quality.noise:,} ({quality.noise / series:.0%})",
        silhouette,
        "–" if quality.davies_bouldin is None else f"{quality.davies_bouldin:.2f}",
        _range(stable.seeds),
        _range(stable.bootstraps),
    )


def _silhouette(one: Partition) -> str:
    quality = one.quality
    if quality.silhouette is None:
        return "–"
    if quality.silhouette_low == quality.silhouette_high:
        return f"{quality.silhouette:.2f}"
    return (
        f"{quality.silhouette:.2f} ({quality.silhouette_low:.2f}–{quality.silhouette_high:.2f}, "
        f"{quality.judged:,} series judged)"
    )


def _range(values: tuple[float, ...]) -> str:
    return "–" if not values else f"{sum(values) / len(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _clusters_section(clustering: Clustering, progress: Callable[[str], None]) -> Html:
    told: dict[int, list[str]] = {}
    for one in clustering.identities:
        told.setdefault(one.cluster, []).append(one.text())
    parts: list[object] = []
    for one in clustering.clusters:
        parts += _cluster(clustering, one, told.get(one.cluster, []), progress)
    return section("The clusters", *parts)


def _cluster(
    clustering: Clustering, one: ClusterDescription, told: list[str], progress: Callable[[str], None]
) -> Iterable[object]:
    share = one.size / len(clustering.table)
    yield element("h3", f"Cluster {one.cluster + 1}: {one.size:,} series ({share:.0%}) of {one.patients:,} patients")
    if told:
        yield notice(WARNING, "What this cluster is", told[:5])
    words = f"Set apart by: {one.words}."
    if one.stability is not None:
        state = "stable" if one.stability >= STABLE else "dissolves" if one.stability < DISSOLVED else "doubtful"
        words += f" In bootstraps of the patients it is {state} (Jaccard index {one.stability:.2f})."
    yield paragraph(words)
    titles = ("Feature", "Difference (SD)", "In the cluster: median (quartiles)", "In the others")
    yield table(titles, [_difference_cells(item) for item in one.differences], numbers=(1,))
    if one.cluster < _MOST_MONTAGES and any(uid in clustering.table.sources for uid in one.examples):
        progress(f"pictures of cluster {one.cluster + 1}")
        examples = [read_example(uid, clustering.table.sources.get(uid, ())) for uid in one.examples]
        caption = "Middle slices of the nearest examples, of different patients where there are enough."
        yield figure(montage_png(examples), f"Examples of cluster {one.cluster + 1}.", caption)
    yield details("Nearest examples: Series Instance UIDs", _numbered(one.examples))


def _difference_cells(one: Difference) -> tuple[object, ...]:
    return one.feature, f"{one.effect:+.1f}", _quartiles(one.inside), _quartiles(one.outside)


def _quartiles(values: tuple[float, float, float]) -> str:
    low, middle, high = (f"{value:.3g}" for value in values)
    return f"{middle} ({low} to {high})"


def _numbered(lines: Iterable[str]) -> Html:
    return element("ol", joined(element("li", line) for line in lines))


def _agreement_section(clustering: Clustering) -> Html:
    if not clustering.agreements:
        words = "There are neither labels nor acquisition tags that differ among the clustered series."
        return section("Labels and acquisition", paragraph(words))
    rows = [
        (one.name.replace("_", " "), one.kind, one.values, f"{one.series:,}", f"{one.ari:.2f}", f"{one.nmi:.2f}")
        for one in clustering.agreements
    ]
    words = (
        "Adjusted Rand index: 1 where clusters and values are the same grouping, 0 where they have nothing to do with "
        "each other. Normalised mutual information is above 0 by chance where there are many values."
    )
    titles = ("What", "Kind", "Values", "Series", "Adjusted Rand index", "NMI")
    strong = [k for k, one in enumerate(clustering.agreements) if one.follows]
    return section("Labels and acquisition", paragraph(words), table(titles, rows, numbers=(2, 3, 4, 5), strong=strong))


def _clustering_methods(clustering: Clustering) -> Html:
    options = clustering.options
    lines = [
        f"Features were standardised; the components above noise (Marchenko–Pastur, at most {options.components}) hold "
        f"{clustering.explained:.0%} of the variance.",
        f"Clusters by density: UMAP to {options.dimensions} dimensions ({options.neighbours} neighbours, one thread, "
        "so that the seed gives one answer), then HDBSCAN (package hdbscan), then series far from their own cluster "
        f"are taken out. k-means: scikit-learn. The clusters above are by {METHOD_NAMES[clustering.partition.method]}.",
        f"Gap statistic: Tibshirani, Walther and Hastie 2001, on {clustering.gap.series:,} series, "
        f"{options.references} references. Cluster stability: Hennig 2007. Seed {options.seed}.",
        *clustering.notes,
    ]
    if clustering.partition.method == DENSITY and clustering.partition.stability.series:
        lines.append(f"Stability of clusters by density on {clustering.partition.stability.series:,} series at a time.")
    return section("How it was done", *(paragraph(line, "faint") for line in lines))

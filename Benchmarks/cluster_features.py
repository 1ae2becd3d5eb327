"""Cluster a cohort's features: ours end to end beside hdbscan's and scikit-learn's defaults on the raw features.

Three tables of 20,000 x 512 with planted clusters: eight well separated ones; eight of unequal density and
size with 5 % of noise; none. Ours is everything that `cohort cluster` computes before it writes: standardising,
principal components, gap statistic, UMAP, HDBSCAN, k-means, silhouettes, Davies-Bouldin, stability over seeds and
bootstraps, display and descriptions. Each program runs in a process of its own; imports are not counted, the
compilation that UMAP does at its first use is, unless --warm. A peer that takes longer than --limit seconds is
ended, and its time is then at least that. CPU seconds are given beside those of the clock, for machines with
other work to do.

    python Benchmarks/cluster_features.py [--count 20000] [--kinds separated unequal none] [--peers hdbscan ...]
        [--peer-kind unequal] [--limit 600] [--landmarks 5000] [--warm] [--check]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "DicomAnalysis"), str(ROOT / "Testing" / "Data"), str(ROOT / "Benchmarks")]

KINDS = ("separated", "unequal", "none")
PEERS = ("hdbscan", "sklearn-hdbscan", "sklearn-kmeans")
FASTER, AGREEMENT = 20.0, 0.95
FEATURES = 512


def ours(kind: str, options: argparse.Namespace) -> dict:
    """Cluster one table and judge what is found against what was planted."""
    import feature_tables
    import hdbscan  # noqa: F401
    import sklearn.cluster
    import sklearn.metrics
    import umap  # noqa: F401
    from DicomAnalysisLib.cohort.clustering.analysis import cluster_table
    from DicomAnalysisLib.cohort.clustering.options import ClusteringOptions

    if options.warm:
        values, _ = feature_tables.planted("separated", 200, 20)
        cluster_table(feature_tables.make_table(values), ClusteringOptions(references=2, repeats=0))
    values, truth = feature_tables.planted(kind, options.count, FEATURES)
    table = feature_tables.make_table(values)
    wall, cpu = time.perf_counter(), time.process_time()
    found = cluster_table(table, ClusteringOptions(landmarks=options.landmarks))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    score = sklearn.metrics.adjusted_rand_score(truth, found.partition.labels)
    return {
        "wall": wall,
        "cpu": cpu,
        "ari": score,
        "verdict": found.verdict,
        "clusters": found.partition.quality.clusters,
        "noise": found.partition.quality.noise,
        "silhouette": found.partition.quality.silhouette,
        "stability": found.partition.stability.mean,
        "kmeans_ari": sklearn.metrics.adjusted_rand_score(truth, found.others[-1].labels),
        "steps": found.seconds,
    }


def peer(name: str, kind: str, options: argparse.Namespace) -> dict:
    """The defaults of a peer on the raw features; k-means is told how many clusters there are."""
    import feature_tables
    import hdbscan
    import sklearn.cluster
    import sklearn.metrics

    values, truth = feature_tables.planted(kind, options.count, FEATURES)
    model = {
        "hdbscan": lambda: hdbscan.HDBSCAN(),
        "sklearn-hdbscan": lambda: sklearn.cluster.HDBSCAN(copy=True),
        "sklearn-kmeans": lambda: sklearn.cluster.KMeans(8, random_state=0),
    }[name]()
    wall, cpu = time.perf_counter(), time.process_time()
    labels = model.fit_predict(values)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    score = sklearn.metrics.adjusted_rand_score(truth, labels)
    return {"wall": wall, "cpu": cpu, "ari": score, "clusters": int(labels.max()) + 1, "noise": int((labels < 0).sum())}


def run(what: str, kind: str, options: argparse.Namespace, limit: float | None = None) -> dict | None:
    """One program in a process of its own; None where it was ended at the limit."""
    command = [sys.executable, __file__, "--one", what, "--kinds", kind, "--count", str(options.count)]
    command += ["--landmarks", str(options.landmarks), *(["--warm"] if options.warm else [])]
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--peer-kind", choices=KINDS, default="unequal")
    parser.add_argument("--limit", type=float, default=1200, help="seconds that a peer may take; default: 1200")
    parser.add_argument("--landmarks", type=int, default=5000, help="series that UMAP embeds; default: 5000")
    parser.add_argument("--warm", action="store_true", help="UMAP is compiled before the clock starts")
    parser.add_argument("--check", action="store_true", help="end with 1 where a bound is missed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind = options.kinds[0]
        print(json.dumps(ours(kind, options) if options.one == "ours" else peer(options.one, kind, options)))
        return 0
    print(f"{options.count:,} x {FEATURES} features; seconds by the clock (of the CPU)", flush=True)
    passed, times = True, {}
    for kind in options.kinds:
        times[kind] = found = run("ours", kind, options)
        good = found["verdict"] == "no structure" if kind == "none" else found["ari"] >= AGREEMENT
        passed &= good
        print(
            f"ours, {kind}: {found['wall']:.1f} ({found['cpu']:.1f}) s, ARI {found['ari']:.3f}, {found['verdict']}, ",
            end="",
        )
        print(f"{found['clusters']} clusters, noise {found['noise']}: {'pass' if good else 'FAIL'}")
        print("   " + ", ".join(f"{name} {value:.1f}" for name, value in found["steps"].items()), flush=True)
    for name in options.peers:
        passed &= compare(name, times.get(options.peer_kind), options)
    return int(options.check and not passed)


def compare(name: str, mine: dict | None, options: argparse.Namespace) -> bool:
    """Run a peer and print how many times faster ours was; whether the bound on hdbscan holds."""
    found = run(name, options.peer_kind, options, options.limit)
    wall = options.limit if found is None else found["wall"]
    told = f"more than {wall:.0f} s (ended)" if found is None else f"{wall:.1f} ({found['cpu']:.1f}) s"
    if found is not None:
        told += f", ARI {found['ari']:.3f}, {found['clusters']} clusters, noise {found['noise']}"
    print(f"{name} on raw features, {options.peer_kind}: {told}", end="")
    if mine is None:
        print(flush=True)
        return True
    ratio = wall / mine["wall"]
    bound = name == "hdbscan"
    good = ratio >= FASTER or not bound
    verdict = f"   bound {FASTER:g}: {'pass' if good else 'FAIL'}" if bound else ""
    print(f"; ours is {'at least ' if found is None else ''}{ratio:.1f} times faster{verdict}", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())

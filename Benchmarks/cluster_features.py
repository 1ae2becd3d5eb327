"""Cluster a cohort's features: ours end to end beside hdbscan's and scikit-learn's defaults on the raw features.

Three tables of 20,000 x 512 with planted clusters: eight well separated ones; eight of unequal density and
size with 5 % of noise; none. Ours is everything that `cohort cluster` computes before it writes: standardising,
principal components, gap statistic, UMAP, HDBSCAN, k-means, silhouettes, Davies-Bouldin, stability over seeds and
bootstraps, display and descriptions. Each program runs in a process of its own; imports are not counted. UMAP is
compiled at its first use on a machine, and what was compiled is kept: of the kind that peers are compared on, a first
use is measured too, and the bound is on that. A peer that takes longer than --limit seconds is ended, and its time is
then at least that. CPU seconds are given beside those of the clock, for machines with other work to do.

    python Benchmarks/cluster_features.py [--count 20000] [--kinds separated unequal none] [--peers hdbscan ...]
        [--peer-kind unequal] [--limit 1200] [--landmarks 5000] [--check]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
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


def run(
    what: str, kind: str, options: argparse.Namespace, limit: float | None = None, first: bool = False
) -> dict | None:
    """One program in a process of its own, `first`: with nothing compiled yet; None where it was ended at the limit."""
    command = [sys.executable, __file__, "--one", what, "--kinds", kind, "--count", str(options.count)]
    command += ["--landmarks", str(options.landmarks)]
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | ({"NUMBA_CACHE_DIR": empty} if first else {})
        try:
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=limit, env=environment)
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
    parser.add_argument("--check", action="store_true", help="end with 1 where a bound is missed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind = options.kinds[0]
        print(json.dumps(ours(kind, options) if options.one == "ours" else peer(options.one, kind, options)))
        return 0
    print(f"{options.count:,} x {FEATURES} features; seconds by the clock (of the CPU)", flush=True)
    passed, mine = True, {}
    for kind in options.kinds:
        found = run("ours", kind, options)
        passed &= tell_ours(f"ours, {kind}", kind, found)
        if kind == options.peer_kind and options.peers:
            first = run("ours", kind, options, first=True)
            passed &= tell_ours(f"ours, {kind}, first use on a machine", kind, first)
            mine = {"ours at its first use": first["wall"], "ours later": found["wall"]}
    for name in options.peers:
        passed &= compare(name, mine, options)
    return int(options.check and not passed)


def tell_ours(title: str, kind: str, found: dict) -> bool:
    """Print one result of ours; whether it found what was planted."""
    good = found["verdict"] == "no structure" if kind == "none" else found["ari"] >= AGREEMENT
    print(f"{title}: {found['wall']:.1f} ({found['cpu']:.1f}) s, ARI {found['ari']:.3f}, {found['verdict']}, ", end="")
    print(f"{found['clusters']} clusters, noise {found['noise']}: {'pass' if good else 'FAIL'}")
    print("   " + ", ".join(f"{name} {value:.1f}" for name, value in found["steps"].items()), flush=True)
    return good


def compare(name: str, mine: dict[str, float], options: argparse.Namespace) -> bool:
    """Run a peer and print how many times faster ours was; whether the bound on hdbscan holds at the first use."""
    found = run(name, options.peer_kind, options, options.limit)
    wall = options.limit if found is None else found["wall"]
    told = f"more than {wall:.0f} s (ended)" if found is None else f"{wall:.1f} ({found['cpu']:.1f}) s"
    if found is not None:
        told += f", ARI {found['ari']:.3f}, {found['clusters']} clusters, noise {found['noise']}"
    ratios = {which: wall / seconds for which, seconds in mine.items()}
    least = "at least " if found is None else ""
    told += "".join(f"; {which} {least}{ratio:.1f} times faster" for which, ratio in ratios.items())
    good = name != "hdbscan" or min(ratios.values(), default=FASTER) >= FASTER
    if name == "hdbscan":
        told += f"   bound {FASTER:g}: {'pass' if good else 'FAIL'}"
    print(f"{name} on raw features, {options.peer_kind}: {told}", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())

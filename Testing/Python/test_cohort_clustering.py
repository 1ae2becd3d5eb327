"""Clusters: planted ones are found, none is said to be none, and a cluster that is a scanner is called so."""

import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from DicomAnalysisLib.cohort.clustering.analysis import cluster_table
from DicomAnalysisLib.cohort.clustering.association import agreements
from DicomAnalysisLib.cohort.clustering.explorer import explorer_of, read_explorer
from DicomAnalysisLib.cohort.clustering.gap import gap_statistic
from DicomAnalysisLib.cohort.clustering.options import KMEANS, ClusteringOptions
from DicomAnalysisLib.cohort.clustering.outputs import write_clustering
from DicomAnalysisLib.cohort.clustering.partition import (
    NOISE,
    by_size,
    far_from_cluster,
    landmarks,
    most_typical,
    placed,
)
from DicomAnalysisLib.cohort.clustering.prepare import prepare
from DicomAnalysisLib.cohort.clustering.quality import davies_bouldin, judge, silhouettes
from DicomAnalysisLib.cohort.clustering.result import CLUSTERS, NONE, ONE, UNSTABLE, verdict_of
from DicomAnalysisLib.cohort.clustering.stability import Stability
from DicomAnalysisLib.errors import SourceError, UsageError
from DicomAnalysisLib.reporting.cohort_report import clustering_html
from feature_tables import make_table, planted
from sklearn import metrics

LIBRARY = Path(__file__).resolve().parents[2] / "DicomAnalysis"
QUICK = ClusteringOptions(sample=500, references=3, repeats=1, most_clusters=10)


@pytest.fixture(scope="module")
def separated():
    values, truth = planted("separated", 400, 60)
    random = np.random.default_rng(1)
    stations = ["ICU" if t == 3 else ("A", "B")[random.integers(2)] for t in truth]
    tags = {"station": tuple(stations), "kernel": tuple(random.choice(["H30", "B70"], 400))}
    table = make_table(values, tags)
    labels = {"finding": tuple("yes" if t in (1, 2) else "no" for t in truth)}
    return table, truth, cluster_table(table, QUICK, labels)


def test_separated_clusters_are_found_described_and_stable(separated):
    table, truth, found = separated
    labels = found.partition.labels
    assert found.verdict == CLUSTERS
    assert found.gap.best == 8
    assert metrics.adjusted_rand_score(truth, labels) >= 0.95
    assert metrics.adjusted_rand_score(truth, found.others[0].labels) >= 0.95
    assert list(found.partition.quality.sizes) == sorted(found.partition.quality.sizes, reverse=True)
    assert found.partition.stability.mean > 0.9
    for one in found.clusters:
        assert all(labels[table.series.index(uid)] == one.cluster for uid in one.examples)
        patients = [table.patients[table.series.index(uid)] for uid in one.examples]
        assert len(set(patients)) == len(patients)
        first = one.differences[0]
        column = table.column(first.feature)
        inside = labels == one.cluster
        assert np.median(column[inside]) == pytest.approx(first.inside[1])
        assert (column[inside].mean() > column[~inside].mean()) == (first.effect > 0)


def test_a_cluster_that_is_a_scanner_is_said_to_be_one(separated):
    _table, _truth, found = separated
    same = [one for one in found.identities if one.kind == "tag" and one.same]
    assert [(one.name, one.value) for one in same] == [("station", "ICU")]
    assert any("is the station 'ICU'" in text for text in found.findings())
    assert not [one for one in found.identities if one.name == "kernel"]


def test_a_cluster_is_a_value_only_where_its_series_state_it():
    """Three of 50 series that state a station, and state the same, are not 100 % of their cluster."""
    labels = np.repeat([0, 1], 50)
    stations = ["A"] * 3 + [""] * 47 + ["B"] * 20 + ["A"] * 10 + [""] * 20
    found, identities = agreements(labels, {"station": stations}, "tag")
    assert found[0].series == 33
    assert identities == []
    (one,) = agreements(labels, {"station": ["A"] * 48 + [""] * 2 + ["B"] * 50}, "tag")[1][:1]
    assert (one.share, one.of_value, one.overall) == (0.96, 1.0, 0.48)
    assert one.same


def test_clusters_that_follow_a_tag_are_said_to():
    labels = np.repeat([0, 1, NOISE], (30, 30, 10))
    sites = ["north"] * 30 + ["south"] * 30 + ["north"] * 10
    found, identities = agreements(labels, {"site": sites, "slices": [str(k) for k in range(70)]}, "tag")
    assert [(one.name, one.ari, one.follows, one.series) for one in found] == [("site", 1.0, True, 60)]
    assert [one.same for one in identities] == [True, True]
    values = ["a"] * 15 + ["b"] * 15 + ["b"] * 30
    index = np.array([value == "b" for value in values])
    assert agreements(labels[:60], {"x": values}, "tag")[0][0].ari == pytest.approx(
        metrics.adjusted_rand_score(index, labels[:60])
    )


def test_clusters_of_unequal_density_are_found_and_noise_is_left_out():
    values, truth = planted("unequal", 1200, 512)
    found = cluster_table(make_table(values), QUICK)
    assert found.verdict == CLUSTERS
    assert metrics.adjusted_rand_score(truth, found.partition.labels) >= 0.95
    noise = truth < 0
    assert (found.partition.labels[noise] == NOISE).mean() > 0.8
    assert (found.partition.labels[~noise] == NOISE).mean() < 0.03


@pytest.mark.parametrize("kind", ["normal", "uniform", "far", "correlated"])
def test_no_structure_has_no_gap(kind):
    random = np.random.default_rng(7)
    values = random.normal(size=(500, 20)).astype(np.float32)
    if kind == "uniform":
        values = random.uniform(-1, 1, (500, 20)).astype(np.float32)
    elif kind == "far":
        values[:3] *= 8
    elif kind == "correlated":
        values = (values @ random.normal(size=(20, 20))).astype(np.float32)
    prepared = prepare(make_table(values))
    assert gap_statistic(prepared.scores, 8, 5, 500).best == 1


def test_no_structure_is_said_and_nothing_is_reported():
    values, _ = planted("none", 300, 40)
    found = cluster_table(make_table(values), QUICK)
    assert found.verdict == NONE
    assert "No structure" in found.findings()[0]
    assert not found.clusters
    assert (found.partition.labels == NOISE).all()


def test_one_giant_cluster_is_called_one():
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 10)).astype(np.float32)
    values[:15] += 12
    found = cluster_table(make_table(values), QUICK)
    assert found.verdict == ONE
    assert "One giant cluster" in found.findings()[0]


def three_groups(patients=None):
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(centre, 1, (15, 8)) for centre in (0, 6, -6)]).astype(np.float32)
    table = make_table(values)
    return table if patients is None else replace(table, patients=patients)


def test_all_series_in_no_cluster_are_not_one_giant_cluster():
    found = cluster_table(three_groups(), replace(QUICK, smallest_cluster=30))
    assert found.verdict == NONE
    assert "every series belongs to none" in found.findings()[0]
    assert "3 groups" in found.findings()[0]
    assert found.clusters == ()
    assert "it is not structure" not in clustering_html(found)


def test_bootstraps_look_for_clusters_as_large_as_were_asked_for():
    """Three clusters of three lumps each: who asks for 60 series or more does not ask whether the lumps come again."""
    random = np.random.default_rng(0)
    values = []
    for centre in random.normal(0, 12, (3, 10)):
        values += [centre + random.normal(0, 1, 10) + random.normal(0, 0.7, (40, 10)) for _lump in range(3)]
    table = make_table(np.concatenate(values).astype(np.float32), per_patient=1)
    found = cluster_table(table, replace(QUICK, smallest_cluster=60, repeats=3))
    assert found.partition.quality.sizes == (120, 120, 120)
    assert min(found.partition.stability.bootstraps) > 0.9


def test_the_smallest_cluster_is_of_all_series_where_a_sample_of_them_is_embedded():
    """Of 1000 series 250 are embedded: a cluster of 100 has 25 among them, and is larger than the 60 asked for."""
    random = np.random.default_rng(0)
    groups = zip(random.normal(0, 6, (4, 10)), (400, 300, 200, 100), strict=True)
    values = np.concatenate([centre + random.normal(0, 1, (count, 10)) for centre, count in groups])
    options = replace(QUICK, smallest_cluster=60, landmarks=250)
    found = cluster_table(make_table(values.astype(np.float32)), options)
    assert found.partition.quality.clusters == 4
    assert found.partition.quality.sizes[-1] == pytest.approx(100, abs=3)
    with pytest.raises(UsageError, match="One series is no cluster"):
        ClusteringOptions(smallest_cluster=1)


def test_more_clusters_than_series_are_refused():
    with pytest.raises(UsageError, match="50 clusters of 45 series"):
        cluster_table(three_groups(), replace(QUICK, method=KMEANS, clusters=50))


@pytest.mark.parametrize("patient", ["P1", ""])
def test_series_of_one_patient_say_nothing_of_other_patients(patient):
    """Every bootstrap of one patient is the same series again: they would agree perfectly."""
    found = cluster_table(three_groups((patient,) * 45), replace(QUICK, method=KMEANS))
    assert found.verdict == CLUSTERS
    assert found.partition.stability.bootstraps == ()
    assert found.partition.stability.seeds
    assert found.clusters[0].stability is None
    assert any("one patient" in text for text in found.findings())
    assert not any("one patient" in text for text in cluster_table(three_groups(), QUICK).findings())


def test_a_seed_gives_one_answer_and_landmarks_give_the_same_clusters(separated):
    table, truth, found = separated
    again = cluster_table(table, QUICK)
    assert np.array_equal(again.partition.labels, found.partition.labels)
    assert np.array_equal(again.embedding, found.embedding)
    fewer = cluster_table(table, ClusteringOptions(landmarks=200, sample=200, references=2, repeats=0, method=KMEANS))
    density = next(one for one in fewer.others if one.method != KMEANS)
    assert metrics.adjusted_rand_score(truth, density.labels) >= 0.95
    assert any("200 of the 400" in note for note in fewer.notes)


def test_neighbours_are_the_nearest_and_never_the_series_itself():
    random = np.random.default_rng(0)
    scores = random.normal(size=(60, 4)).astype(np.float32)
    scores[10] = scores[11] = scores[12]
    near = landmarks(scores, 40, 5, 3)
    for k in range(60):
        distances = np.linalg.norm(scores[near.rows] - scores[k], axis=1)
        distances[near.rows == k] = np.inf
        assert np.allclose(np.sort(distances)[:5], near.distances[k], atol=1e-3)
        assert k not in near.rows[near.indices[k]]
    drawn = placed(random.normal(size=(40, 2)).astype(np.float32), near, np.zeros(60, np.int64))
    assert np.isfinite(drawn).all()


def test_silhouette_and_davies_bouldin_are_those_of_scikit_learn():
    values, truth = planted("separated", 300, 20)
    labels = by_size(np.where(truth == 5, NOISE, truth))
    inside, of = values[labels >= 0], labels[labels >= 0]
    quality = judge(values, labels)
    assert quality.silhouette == pytest.approx(metrics.silhouette_score(inside, of), abs=1e-5)
    assert quality.davies_bouldin == pytest.approx(metrics.davies_bouldin_score(inside, of), rel=1e-5)
    assert quality.noise == (labels < 0).sum()
    each = metrics.silhouette_samples(inside, of)
    assert np.allclose(silhouettes(inside, of, np.arange(len(of))), each, atol=1e-4)
    assert quality.cluster_silhouettes[0] == pytest.approx(each[of == 0].mean(), abs=1e-5)
    assert davies_bouldin(inside, of) == quality.davies_bouldin


def test_silhouette_of_many_is_sampled_with_an_interval_and_never_holds_all_distances():
    values, truth = planted("separated", 6000, 16)
    tracemalloc.start()
    quality = judge(values, truth, sample=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert quality.judged == 1000
    whole = float(silhouettes(values, truth, np.arange(6000)).mean())
    assert quality.silhouette_low < whole < quality.silhouette_high
    assert quality.silhouette_high - quality.silhouette_low < 0.03
    assert peak < 6000 * 6000 * 4 / 4


def test_far_series_leave_their_cluster_but_half_a_cluster_does_not():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    distances = np.concatenate([random.normal(1, 0.05, 100), random.normal(5, 0.3, 100)])
    distances[:3] = 9
    assert np.flatnonzero(far_from_cluster(labels, distances)).tolist() == [0, 1, 2]
    distances[:50] = 9
    assert not far_from_cluster(labels, distances).any()


def test_missing_and_constant_features_are_said():
    values = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    values[:30, 0], values[:, 1], values[::9, 2] = np.nan, 4, np.nan
    prepared = prepare(make_table(values))
    assert prepared.columns.tolist() == [2, 3, 4, 5]
    assert np.isfinite(prepared.scores).all()
    assert len(prepared.notes) == 3
    assert np.allclose(prepared.standard.std(axis=0), 1, atol=0.01)
    with pytest.raises(UsageError, match="at least 20 series"):
        prepare(make_table(values[:10]))
    with pytest.raises(UsageError, match="two features"):
        prepare(make_table(np.ones((40, 3), np.float32)))
    with pytest.raises(UsageError):
        ClusteringOptions(clusters=1)


def test_what_is_written_is_what_an_explorer_reads(separated, tmp_path):
    table, _, found = separated
    write_clustering(tmp_path, found)
    mine, read = explorer_of(found), read_explorer(tmp_path)
    assert (read.series, read.patients, read.labels) == (mine.series, mine.patients, mine.labels)
    assert read.clusters == mine.clusters
    assert (read.verdict, read.findings, read.display) == (mine.verdict, mine.findings, "umap")
    assert np.array_equal(read.cluster, mine.cluster)
    assert np.allclose(read.positions, mine.positions, rtol=1e-3, atol=1e-3)
    assert set(mine.clusters[0].examples) <= set(table.series)
    with pytest.raises(SourceError, match="cohort cluster"):
        read_explorer(tmp_path / "nothing")


def test_of_several_seeds_the_most_typical_is_kept():
    odd, usual = np.repeat([0, 1, 2], 10), np.tile([0, 1, 2], 10)
    almost = usual.copy()
    almost[0] = 1
    assert most_typical([odd, usual, almost]) == (1, (pytest.approx(-0.07, abs=0.05), pytest.approx(0.9, abs=0.05)))
    assert most_typical([usual, usual]) == (0, (1.0,))
    assert most_typical([odd]) == (0, ())


def test_agreement_of_the_seeds_is_told(separated):
    """Three seeds, each other one compared with the one that is kept; k-means is repeated as often as is asked."""
    _table, _truth, found = separated
    assert found.partition.stability.seeds == (1.0,)
    assert len(found.others[0].stability.seeds) == QUICK.repeats


@pytest.mark.parametrize(
    ("seeds", "bootstraps", "said"),
    [((0.3, 0.3), (0.9,), "other seeds"), ((0.9, 0.8), (0.2,), "bootstraps"), ((1.0, 0.4), (0.6,), "")],
)
def test_clusters_of_one_seed_or_sample_alone_are_unstable(separated, seeds, bootstraps, said):
    _table, _truth, found = separated
    partition = replace(found.partition, stability=Stability(seeds, bootstraps, (1.0,) * 8, 400))
    verdict = verdict_of(partition, found.gap, 400)
    assert verdict == (UNSTABLE if said else CLUSTERS)
    told = replace(found, partition=partition, verdict=verdict).findings()[0]
    assert ("do not build on them" in told) == bool(said)
    assert said in told


def test_umap_is_compiled_once_for_all_processes(tmp_path):
    """The second process loads what the first has compiled, and finds the same."""
    program = (
        "import numpy as np, umap\n"
        "from DicomAnalysisLib.cohort.clustering.partition import landmarks, umap_embedding\n"
        "scores = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)\n"
        "found = umap_embedding(scores, landmarks(scores, 60, 8), 2)\n"
        "stats = umap.umap_.smooth_knn_dist.stats\n"
        "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), found.tobytes().hex())\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(LIBRARY)}
    said = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
        for _ in range(2)
    ]
    (hits, misses, first), (later_hits, later_misses, second) = (one.stdout.split() for one in said)
    assert (hits, misses, later_hits, later_misses) == ("0", "1", "1", "0")
    assert first == second
    assert list(tmp_path.rglob("*.nbi"))

"""Feature tables on disk: appended in one step, merged when read, the last row of a series wins."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from DicomAnalysisLib.cohort.features.parquet import from_arrow, to_arrow
from DicomAnalysisLib.cohort.features.table import FeatureTable, join_columns
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.errors import SourceError, UsageError
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow")


def table(series=("1.2", "1.1"), value=1.0, model="", recipe="r", names=("x", "y")) -> FeatureTable:
    values = np.full((len(series), len(names)), value)
    values[0, -1] = np.nan
    tags = {"station": tuple(f"at {uid}" for uid in series)}
    files = {uid: (f"/data/{uid}",) for uid in series[:1]}
    return FeatureTable(tuple(series), tuple("p" + uid for uid in series), names, values, tags, files, model, recipe)


def same(a: FeatureTable, b: FeatureTable) -> bool:
    np.testing.assert_array_equal(a.values, b.values)
    fields = ("series", "patients", "names", "tags", "sources", "model_hash", "recipe_hash")
    return all(getattr(a, name) == getattr(b, name) for name in fields)


def test_what_is_written_is_read_back() -> None:
    assert same(from_arrow(to_arrow(table())), table())


def test_reading_merges_and_the_last_row_wins(tmp_path) -> None:
    store = FeatureStore(tmp_path)
    store.append(table(value=1.0))
    store.append(table(("1.1", "1.3"), value=2.0))
    found = store.read()
    assert found.series == ("1.1", "1.2", "1.3")
    np.testing.assert_array_equal(found.column("x"), np.float32([2, 1, 2]))
    assert found.patients == ("p1.1", "p1.2", "p1.3")
    assert np.isnan(found.column("y")[:2]).all()
    before = found
    made = store.compact()
    assert list(tmp_path.iterdir()) == made
    assert same(store.read(), before)
    store.append(table(("1.1",), value=3.0))
    assert store.read().column("x")[0] == 3


def test_models_and_recipes_are_kept_apart(tmp_path) -> None:
    store = FeatureStore(tmp_path)
    store.append(table(model="aa", recipe="1", names=("a", "b")))
    store.append(table(model="bb", recipe="1"))
    store.append(table(("1.9",), model="aa", recipe="2"))
    assert [(v.model_hash, v.recipe_hash, v.rows) for v in store.versions()] == [
        ("aa", "1", 2),
        ("bb", "1", 2),
        ("aa", "2", 1),
    ]
    assert len(store.compact()) == 3
    assert store.read().series == ("1.9",)
    assert store.read(model_hash="bb").names == ("x", "y")
    assert store.read("aa", "1").names == ("a", "b")
    assert store.series("aa", "1") == {"1.1", "1.2"}
    store.remove("bb", "1", {"1.1", "1.2"})
    with pytest.raises(SourceError):
        store.read(model_hash="bb")
    assert len(store.read("aa", "1")) == 2
    store.append(table(("1.2/stack-2",), model="aa", recipe="1", names=("a", "b")))
    store.remove("aa", "1", {"1.2", "1.7"})
    assert store.read("aa", "1").series == ("1.1",)


@given(st.permutations(range(6)), st.integers(1, 6))
@settings(max_examples=20)
def test_the_same_rows_in_any_order_and_number_of_parts_are_the_same_bytes(tmp_path_factory, order, parts) -> None:
    rows = table(tuple(f"1.{k}" for k in range(6)))

    def compacted(order, parts: int) -> bytes:
        store = FeatureStore(tmp_path_factory.mktemp("store"))
        for part in np.array_split(np.array(order), parts):
            store.append(rows.rows(part), number=1)
        (path,) = store.compact()
        return path.read_bytes()

    assert compacted(order, parts) == compacted(range(6), 1)


def test_several_append_at_once(tmp_path) -> None:
    def append(first: int) -> None:
        for k in range(10):
            FeatureStore(tmp_path).append(table((f"1.{first}.{k}",)))

    threads = [threading.Thread(target=append, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(FeatureStore(tmp_path).read()) == 40


def test_who_is_killed_while_appending_leaves_nothing_half_written(tmp_path) -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(REPOSITORY / 'DicomAnalysis')!r}, {str(Path(__file__).parent)!r}]\n"
        "from test_cohort_store import table\nfrom DicomAnalysisLib.cohort.store import FeatureStore\n"
        f"store = FeatureStore({str(tmp_path)!r}); n = 0\n"
        "while True:\n    store.append(table((f'1.{n}',)), number=1); print(n, flush=True); n += 1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    said = [int(process.stdout.readline()) for _ in range(30)]
    process.kill()
    said += [int(line) for line in process.communicate()[0].split()]
    found = FeatureStore(tmp_path).read()
    assert {f"1.{n}" for n in said} <= set(found.series)
    (tmp_path / ".0123abcd.part-00000001-00.parquet").write_bytes(b"half")
    assert list(tmp_path.iterdir()) != FeatureStore(tmp_path).compact() == list(tmp_path.iterdir())


def test_what_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(SourceError, match="no features"):
        FeatureStore(tmp_path / "none").read()
    path = FeatureStore(tmp_path).append(table())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match="cannot be read"):
        FeatureStore(tmp_path).read()
    with pytest.raises(UsageError, match="cannot be called"):
        to_arrow(table(names=("x", "patient")))


def test_a_table_refuses_what_does_not_fit() -> None:
    with pytest.raises(UsageError):
        FeatureTable(("1", "2"), ("p",), ("x",), np.zeros((2, 1)))
    with pytest.raises(UsageError, match="twice"):
        FeatureTable(("1", "1"), ("p", "p"), ("x",), np.zeros((2, 1)))
    with pytest.raises(UsageError, match="station"):
        FeatureTable(("1",), ("p",), ("x",), np.zeros((1, 1)), {"station": ()})
    assert table().select(["1.1", "9"]).series == ("1.1",)
    assert table(("1.2",)).measured().names == ("x",)


def test_columns_of_two_tables_side_by_side() -> None:
    joined = join_columns([table(), table(("1.1", "1.3"), model="m", names=("a", "b"))])
    assert joined.series == ("1.1",)
    assert joined.names == ("x", "y", "a", "b")
    assert (joined.model_hash, joined.recipe_hash) == ("m", "r+r")
    with pytest.raises(UsageError, match="column x"):
        join_columns([table(), table()])

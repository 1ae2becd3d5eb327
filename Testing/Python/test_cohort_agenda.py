"""What a run has still to do: nothing is forgotten, nothing done twice, what ends workers comes last and alone."""

from __future__ import annotations

from DicomAnalysisLib.cohort.engine.agenda import FIRST_CHUNK, LARGEST_CHUNK, TRIES, Agenda
from hypothesis import given
from hypothesis import strategies as st


def test_chunks_take_about_two_seconds() -> None:
    agenda = Agenda(map(str, range(10_000)))
    assert agenda.next_chunk(2) == [str(n) for n in range(FIRST_CHUNK)]
    agenda.took(0.1)
    assert len(agenda.next_chunk(2)) == 20
    for _ in range(500):
        agenda.took(0.001)
    assert len(agenda.next_chunk(2)) == LARGEST_CHUNK
    for _ in range(500):
        agenda.took(50.0)
    assert len(agenda.next_chunk(2)) == 1


def test_the_last_ones_are_shared_among_the_workers() -> None:
    agenda = Agenda(map(str, range(40)))
    agenda.took(0.1)
    assert [len(agenda.next_chunk(4)) for _ in range(4)] == [5, 5, 4, 4]


def test_what_is_quick_goes_out_in_chunks_that_are_worth_it_to_the_last() -> None:
    agenda = Agenda(map(str, range(100)))
    agenda.took(0.002)
    assert [len(agenda.next_chunk(8)), len(agenda)] == [100, 0]


def test_what_is_left_over_comes_first_and_in_its_order() -> None:
    agenda = Agenda("abcdefgh")
    assert agenda.next_chunk(1) == [*"abcd"]
    agenda.settle(left=[*"bcd"])
    assert agenda.next_chunk(1) == [*"bcde"][:FIRST_CHUNK]


def test_suspects_go_alone_and_last() -> None:
    agenda = Agenda("ab", {"x": 1, "y": 0})
    assert agenda.next_chunk(1) == ["a"]
    assert agenda.suspect("a") == 1
    agenda.settle()
    assert [agenda.next_chunk(1) for _ in range(5)] == [["b"], ["x"], ["y"], ["a"], []]
    assert agenda.in_work == 4
    assert not agenda.is_over
    # An earlier run had seen a worker end over x: one more time is enough.
    assert [agenda.suspect(item) for item in "xya"] == [TRIES, 1, TRIES]
    for _ in range(4):
        agenda.settle()
    assert agenda.next_chunk(1) == ["y"]
    agenda.settle()
    assert agenda.is_over


def test_what_may_be_at_fault_goes_alone() -> None:
    agenda = Agenda("ab")
    assert [agenda.next_chunk(1), agenda.next_chunk(1)] == [["a"], ["b"]]
    agenda.settle(doubtful=["b", "a"])
    assert [agenda.next_chunk(1), agenda.next_chunk(1)] == [["b"], ["a"]]


@given(st.integers(0, 60), st.integers(1, 5), st.sets(st.integers(0, 59)), st.randoms(use_true_random=False))
def test_every_item_comes_to_its_end_once(count, workers, fatal, random) -> None:
    """Workers that take chunks, do some, and end over others: all are done but those that end a worker each time."""
    agenda = Agenda(map(str, range(count)))
    poison = {str(n) for n in fatal if n < count}
    done: list[str] = []
    aside: list[str] = []
    out: list[list[str]] = []
    while not agenda.is_over:
        while agenda.in_work < workers and (chunk := agenda.next_chunk(workers)):
            out.append(chunk)
        assert len(out) == agenda.in_work
        chunk = out.pop(random.randrange(len(out)))
        at = next((k for k, item in enumerate(chunk) if item in poison), len(chunk))
        if at == len(chunk) and random.random() < 0.2:  # somebody killed it, between two items
            at = random.randrange(len(chunk))
            done += chunk[:at]
            agenda.settle(left=chunk[at:])
            continue
        done += chunk[:at]
        agenda.settle(left=chunk[at + 1 :])
        for _ in chunk[:at]:
            agenda.took(random.uniform(0.001, 5))
        if at < len(chunk) and agenda.suspect(chunk[at]) == TRIES:
            aside.append(chunk[at])
    assert sorted(done + aside) == sorted(map(str, range(count)))
    assert set(aside) == poison

"""The index of a job's lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchllm.journal.index import JobIndex, State

DIGEST = "0123456789abcdef" * 2


@given(st.lists(st.text(max_size=5), max_size=300))
def test_every_id_is_found_at_its_first_line(ids: list[str]) -> None:
    index = JobIndex()
    first: dict[str, int] = {}
    for line, custom_id in enumerate(ids, 1):
        assert index.add(line, custom_id, DIGEST) == first.get(custom_id, 0)
        first.setdefault(custom_id, line)
    assert {custom_id: index.find(custom_id) for custom_id in ids} == first
    assert len(index) == len(first)
    assert index.find("never added") == 0 or "never added" in first


def test_it_grows_to_a_hundred_thousand_lines_at_a_few_bytes_each() -> None:
    index = JobIndex()
    for line in range(1, 100_001):
        index.add(line, f"id-{line}", DIGEST)
    held = index._ids.itemsize * len(index._ids) + 8 * len(index._digests) + len(index._states) + 4 * len(index._slots)
    assert held / 100_000 <= 30
    assert index.find("id-77777") == 77777


def test_states_are_counted_and_listed() -> None:
    index = JobIndex()
    for line in (1, 3, 5):
        index.add(line, str(line), DIGEST)
    index.mark_invalid(4)
    index.set(3, State.DONE)
    assert index.count(State.PENDING) == 2
    assert index.lines(State.INVALID) == [4]
    assert [index.wanted(line) for line in range(1, 6)] == [True, False, False, False, True]


def test_content_is_the_same_only_with_the_same_digest() -> None:
    index = JobIndex()
    index.add(1, "a", DIGEST)
    assert index.same(1, DIGEST)
    assert not index.same(1, "f" * 32)

"""The index of a job's lines."""

from __future__ import annotations

from batchllm.journal.index import JobIndex, State

DIGEST = "0123456789abcdef" * 2


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

"""Numbers by `custom_id`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchllm.journal.ids import Ids

NAMES = st.lists(st.text(max_size=3), max_size=300)


@given(NAMES)
def test_every_id_is_found_at_its_first_number(names: list[str]) -> None:
    ids, first = Ids(), dict[str, int]()
    for number, custom_id in enumerate(names, 1):
        assert ids.add(number, custom_id) == first.get(custom_id, 0)
        first.setdefault(custom_id, number)
    assert {custom_id: ids.find(custom_id) for custom_id in names} == first
    assert len(ids) == len(first)
    assert ids.find("never added") == 0


@given(NAMES, st.integers(0, 300))
def test_without_its_table_it_finds_and_enters_the_same_as_with_it(names: list[str], forgotten_after: int) -> None:
    kept, forgetful = Ids(), Ids()
    for number, custom_id in enumerate(names, 1):
        if number == forgotten_after:
            forgetful.forget_places()
        assert forgetful.add(number, custom_id) == kept.add(number, custom_id)
    forgetful.forget_places()
    assert [forgetful.find(one) for one in (*names, "never")] == [kept.find(one) for one in (*names, "never")]
    assert (len(forgetful), len(forgetful.columns()[1])) == (len(kept), len(kept.columns()[1]))


@given(NAMES)
def test_what_was_kept_finds_the_same(names: list[str]) -> None:
    ids = Ids()
    for number, custom_id in enumerate(names, 1):
        ids.add(number, custom_id)
    again = Ids.of(*ids.columns())
    assert [again.find(one) for one in names] == [ids.find(one) for one in names]
    assert len(again) == len(ids)


def test_a_number_that_is_left_out_is_nobodys() -> None:
    ids = Ids()
    ids.add(2, "b")
    ids.add(7, "g")
    ids.add(4, "d")
    ids.forget_places()
    assert [ids.find(one) for one in "abdg"] == [0, 2, 4, 7]


def test_a_hundred_thousand_take_a_few_bytes_each() -> None:
    ids = Ids()
    for number in range(1, 100_001):
        ids.add(number, f"id-{number}")
    assert sum(column.itemsize * len(column) for column in ids.columns()) / 100_000 <= 20
    ids.forget_places()
    assert ids._hashes.itemsize * len(ids._hashes) + len(ids._slots) <= 8 * 100_001
    assert ids.find("id-77777") == 77777

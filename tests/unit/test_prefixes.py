"""Which prompts wait for which, so that a provider reads a shared beginning once."""

from __future__ import annotations

import random
from typing import Any

import pytest

from batchllm.prefixes import REMEMBERED, STEP, Entry, Placed, Warm, named, placed, prompt_of, shared
from batchllm.types import Request


def chat(line: int, *texts: str, **body: Any) -> Request:
    messages = [{"content": text, "role": "user"} for text in texts]
    return Request(line, f"doc-{line}", "/v1/chat/completions", {"model": "m", "messages": messages, **body}, "0" * 32)


def long(name: str, steps: int = 3) -> str:
    return (name + " ") * (steps * STEP // (len(name) + 1) + 1)


def after(places: list[Placed]) -> dict[int, int | None]:
    """By line the line that it waits for."""
    lines = [place.entry.line for place in places if isinstance(place.entry, Request)]
    return {lines[at]: None if place.after is None else lines[place.after] for at, place in enumerate(places)}


def test_lines_without_a_long_beginning_in_common_wait_for_nobody() -> None:
    assert set(after(placed([chat(n, f"{n} and {long(str(n))}") for n in range(9)])).values()) == {None}


def test_lines_with_one_long_beginning_wait_for_the_first_of_them() -> None:
    found = after(placed([chat(n, long("system"), f"question {n}") for n in range(1, 6)]))
    assert found == {1: None, 2: 1, 3: 1, 4: 1, 5: 1}


def test_a_document_below_a_system_prompt_is_waited_for_by_those_who_ask_about_it() -> None:
    lines = [
        chat(10 * document + n, long("system"), long(f"text {document}"), f"{n}?") for n in (1, 2, 3) for document in (1, 2)
    ]
    found = after(placed(lines))
    assert found == {11: None, 12: 11, 13: 11, 21: 11, 22: 21, 23: 21}


@pytest.mark.parametrize(("name", "one", "other"), [("model", "a", "b"), ("tools", [{"name": "x"}], [{"name": "y"}])])
def test_what_a_provider_reads_before_the_messages_parts_groups(name: str, one: Any, other: Any) -> None:
    lines = [chat(n, long("system"), str(n), **{name: one if n % 2 else other}) for n in range(1, 5)]
    assert after(placed(lines)) == {1: None, 3: 1, 2: None, 4: 2}


def test_what_it_does_not_read_first_does_not() -> None:
    assert after(placed([chat(n, long("system"), temperature=n / 10, seed=n) for n in range(3)])) == {0: None, 1: 0, 2: 0}


def test_packs_and_embeddings_have_no_prompt_that_is_kept() -> None:
    vector = Request(3, "c", "/v1/embeddings", {"model": "m", "input": long("text")}, "0" * 32)
    assert prompt_of(vector) == prompt_of((chat(1, long("a")), chat(2, long("a")))) == b""


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [
        (b"", b"", 0),
        (b"a" * STEP, b"a" * STEP, 1),
        (b"a" * (STEP - 1), b"a" * STEP, 0),
        (b"a" * 3 * STEP, b"a" * 2 * STEP + b"b" * STEP, 2),
    ],
)
def test_beginnings_are_measured_in_whole_steps(one: bytes, other: bytes, steps: int) -> None:
    assert shared(one, other) == shared(other, one) == steps


@pytest.mark.parametrize("seed", range(30))
def test_each_waits_for_the_first_that_shares_its_longest_beginning(seed: int) -> None:
    """Against the plain definition, over all that stand before it."""
    draw = random.Random(seed)
    letters = [draw.choice("ab") * STEP for _ in range(4)]
    entries: list[Entry] = []
    for line in range(1, draw.randrange(2, 40)):
        parts = [draw.choice(letters) for _ in range(draw.randrange(0, 5))]
        entries.append(Request(line, str(line), "/v1/completions", {"prompt": "".join(parts) + str(line)}, "0" * 32))
    places = placed(entries)
    prompts = [prompt_of(place.entry) for place in places]
    assert sorted(map(prompt_of, entries)) == prompts, "every entry is there once, in sorted order"
    for at, place in enumerate(places):
        steps = max((shared(prompts[at], one) for one in prompts[:at]), default=0)
        first = next((n for n in range(at) if shared(prompts[at], prompts[n]) >= steps), None) if steps else None
        assert place.after == first
        assert place.beginning == (named(prompts[at][: steps * STEP]) if steps else b"")


def test_the_longest_unused_beginning_is_forgotten_first() -> None:
    warm = Warm()
    for number in range(REMEMBERED):
        warm.add(number.to_bytes(8, "big"))
    assert (0).to_bytes(8, "big") in warm, "and was used just now"
    warm.add(b"one more")
    assert (0).to_bytes(8, "big") in warm
    assert (1).to_bytes(8, "big") not in warm

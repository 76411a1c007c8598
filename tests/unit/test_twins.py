"""Which lines ask for the same, and what becomes of the record that serves them."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from batchllm.errors import ErrorCode
from batchllm.journal.index import JobIndex
from batchllm.journal.soundness import failure_flaw, result_flaw
from batchllm.sample import Sample
from batchllm.strictjson import loads
from batchllm.twins import Repeats, Twins, duplicate, repeatable
from batchllm.types import Extras, Request

DIGEST = "0123456789abcdef" * 2


def request(line: int = 2, digest: str = DIGEST, **body: Any) -> Request:
    return Request(line, f"doc-{line}", "/v1/chat/completions", {"messages": [], **body}, digest)


@pytest.mark.parametrize(
    ("temperature", "dedupe", "may"),
    [
        (0, None, True), (0.0, None, True), (0.1, None, False), (None, None, False), (False, None, False), ("0", None, False),
        (0, False, False), (0, True, True), (1.5, True, True), (None, True, True),
    ],
)  # fmt: skip
def test_one_answer_serves_several_lines_where_no_chance_is_asked_for_or_the_user_says_so(temperature, dedupe, may) -> None:
    assert repeatable(request(temperature=temperature), dedupe) is may


def test_a_line_without_a_temperature_has_the_providers_which_is_not_zero() -> None:
    assert not repeatable(request(), None)


def test_a_conversation_is_never_answered_by_anothers_record() -> None:
    talk = Request(1, "a", "/v1/chat/completions", {"temperature": 0}, DIGEST, extras=Extras(turns=("one", "two")))
    assert not repeatable(talk, True)


def test_what_was_seen_in_the_first_reading_can_be_kept_and_told_again() -> None:
    seen, told = Repeats(), Repeats()
    seen(request(temperature=1))
    assert seen.told() == {"found": False}
    seen(request(temperature=0))
    seen(request(temperature=1))
    told.tell(seen.told())
    assert told.found


def _digests(numbers: list[int]) -> list[int]:
    """By line number; 0 stands for a line that is none."""
    return [0, *(number and number * 0x9E3779B97F4A7C15 % (1 << 64) for number in numbers)]


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_in_one_group_if_and_only_if_their_digests_are_equal(seed: int) -> None:
    draw = random.Random(seed)
    numbers = [draw.randrange(0, draw.choice((3, 40, 4000))) for _ in range(draw.randrange(1, 300))]
    twins = Twins(_digests(numbers))
    lines = range(1, len(numbers) + 1)
    for line in lines:
        same = [other for other in lines if numbers[other - 1] == numbers[line - 1]]
        assert bool(twins.group(line)) == (len(same) > 1 and numbers[line - 1] != 0)
        assert {other for other in lines if twins.group(other) == twins.group(line)} >= set(same) or not numbers[line - 1]
    assert len(twins) == len({number for number in numbers if number and numbers.count(number) > 1})


def test_of_a_group_the_first_that_asks_is_sent_and_no_other() -> None:
    twins = Twins(_digests([7, 8, 7, 7, 9]))
    assert [line for line in (3, 2, 1, 4, 5) if twins.take(line)] == [3, 2, 5]


def test_where_there_is_a_record_already_none_of_the_group_is_sent() -> None:
    twins = Twins(_digests([7, 8, 7]))
    twins.answered(twins.group(1))
    assert [line for line in (1, 2, 3) if twins.take(line)] == [2]


def test_groups_cost_a_few_bytes_a_line_and_nothing_where_no_two_lines_are_equal() -> None:
    index = JobIndex()
    for line in range(1, 50_001):
        index.add(line, f"doc-{line}", f"{line % 40_000 + 1:016x}" + "0" * 16)
    twins = Twins(index.digests)
    assert len(twins) == 10_000
    assert sys.getsizeof(twins._groups) + sys.getsizeof(twins._taken) < 6 * 50_000
    assert sys.getsizeof(Twins(range(50_000))._groups) < 200


ANSWERED = {
    "id": "batch_req_1", "custom_id": "doc-1",
    "response": {"status_code": 200, "request_id": "req_1", "body": {"choices": [{"message": {"content": "a"}}], "x": 1.5}},
    "error": None,
    "batchllm": {"line": 1, "digest": DIGEST, "settings": "01234567", "model": "m-1", "usage": {"prompt_tokens": 5},
                 "attempts": 3, "latency_s": 1.25, "ttft_s": 0.5, "tokens_per_s": 9.0, "cost_usd": 0.25, "provider": "openai",
                 "rejected_usage": {"prompt_tokens": 2}, "rejected_cost_usd": 0.1, "unknown_outcomes": 1,
                 "metadata": {"of": "the first"}, "parsed": {"label": "yes"}},
}  # fmt: skip
FAILED = {
    **ANSWERED, "error": {"code": "server_error", "message": "six times 500"},
    "batchllm": {**ANSWERED["batchllm"], "retryable": True, "billed": "maybe"},
}  # fmt: skip


def test_a_duplicate_has_the_answer_and_none_of_the_bill() -> None:
    record = duplicate(ANSWERED, request(2), "a")
    written = loads(record.to_json())
    facts = written["batchllm"]
    assert written["response"] == ANSWERED["response"]
    assert (record.text, record.parsed, facts["parsed"]) == ("a", {"label": "yes"}, {"label": "yes"})
    assert (facts["line"], facts["duplicate_of"], facts["model"], facts["provider"]) == (2, "doc-1", "m-1", "openai")
    assert (facts["billed"], facts["cost_usd"], facts["attempts"], facts["latency_s"]) == ("no", 0.0, 0, None)
    assert set(facts["usage"].values()) == {0}
    assert not {"rejected_usage", "rejected_cost_usd", "unknown_outcomes", "metadata", "tokens_per_s"} & facts.keys()
    assert result_flaw(written) is None


def test_a_duplicate_of_a_failure_fails_alike() -> None:
    record = duplicate(FAILED, request(2), None)
    written = loads(record.to_json())
    assert (record.code, written["error"]) == (ErrorCode.SERVER_ERROR, FAILED["error"])
    assert (written["batchllm"]["retryable"], written["batchllm"]["billed"]) == (True, "no")
    assert failure_flaw(written) is None


def test_a_duplicate_of_a_duplicate_names_the_line_that_was_sent() -> None:
    first = loads(duplicate(ANSWERED, request(2), "a").to_json())
    assert duplicate(first, request(3), "a").facts["duplicate_of"] == "doc-1"


def test_a_duplicate_carries_its_own_metadata() -> None:
    own = Request(2, "doc-2", "/v1/chat/completions", {}, DIGEST, {"of": "the second"})
    assert duplicate(ANSWERED, own, "a").facts["metadata"] == {"of": "the second"}


@pytest.mark.parametrize(("attempts", "of"), [(0, None), (1, "doc-1")])
def test_a_record_without_an_attempt_must_name_the_line_that_was_sent(attempts: int, of: str | None) -> None:
    written = loads(duplicate(ANSWERED, request(2), "a").to_json())
    written["batchllm"] |= {"attempts": attempts, "duplicate_of": of}
    assert result_flaw(written) is not None


def test_a_duplicate_foretells_nothing_of_what_lines_that_are_sent_cost() -> None:
    sample = Sample()
    sample.add(duplicate(ANSWERED, request(2), "a").facts, ok=True)
    assert (sample.lines, sample.cost.count, sample.tokens.count) == (1, 0, 0)

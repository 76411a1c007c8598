"""The most a request may use and cost: what budgets set aside for it."""

from __future__ import annotations

from typing import Any

import pytest

from batchllm.attachments import MOST, attachments
from batchllm.billing import Charge, Price, Worst, most_written, worst_case
from batchllm.strictjson import dumps
from batchllm.types import Json, Usage

MILLION = 1_000_000
CHAT = "/v1/chat/completions"
PRICE = Price(1.0, 10.0)


def chat(content: Any = "x", **more: Any) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def test_the_dearest_rates_are_reckoned_with() -> None:
    body = chat("x" * 4000, max_tokens=MILLION)
    dear = Price(0.0, 1.0, reasoning=9.0, above=((100, Price(0.0, 50.0)),))
    assert worst_case(body, CHAT, Price(0.0, 1.0, reasoning=9.0), None).usd == pytest.approx(9.0)
    assert worst_case(body, CHAT, dear, None).usd == pytest.approx(50.0)


@pytest.mark.parametrize("text", ["0123456789" * 50, "ཨོཾ་མ་ཎི་པདྨེ་ཧཱུྃ" * 50, "🏳️‍🌈" * 50, "plain words " * 50])
def test_every_byte_of_a_prompt_may_be_a_token_whatever_the_script(text: str) -> None:
    tokens = worst_case(chat(text, max_tokens=10), CHAT, None, None).tokens
    assert tokens is not None
    assert tokens >= len(text.encode()) + 10


@pytest.mark.parametrize(
    ("more", "written"),
    [
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 100, "max_tokens": 5}, 100),
        ({"max_output_tokens": 100}, 100),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_tokens": 100, "n": 2, "best_of": 5}, 500),
        ({"max_tokens": 100, "thinking_budget": 4000}, 4100),
        ({"max_tokens": 100, "n": None}, 100),
        ({"max_tokens": 100, "prompt": ["a", "b", "c"]}, 300),
        ({"max_tokens": 100, "prompt": [1, 2, 3]}, 100),
        ({"max_tokens": None}, None),
        ({}, None),
    ],
)
def test_every_answer_and_every_thought_counts_at_its_limit(more: Json, written: int | None) -> None:
    assert most_written(chat(**more), CHAT, None) == written


def test_an_answer_without_a_limit_counts_as_the_settings_say() -> None:
    assert most_written(chat(), CHAT, 700) == 700
    assert worst_case(chat(), CHAT, PRICE, None) == Worst(None, None)


def test_what_only_reads_writes_nothing() -> None:
    assert most_written({"model": "m", "input": "x"}, "/v1/embeddings", 700) == 0


def test_without_a_price_there_are_tokens_only() -> None:
    worst = worst_case(chat(max_tokens=10), CHAT, None, None)
    assert worst.usd is None
    assert worst.tokens is not None


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "scans/1.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 2_000_000}},
        {"type": "input_image", "image_url": "https://example.org/1.png"},
    ],
)
def test_an_image_counts_by_what_images_cost_not_by_its_bytes(part: Json) -> None:
    body = chat([{"type": "text", "text": "What is this?"}, part], max_tokens=10)
    tokens = worst_case(body, CHAT, None, None).tokens
    assert tokens is not None
    assert MOST["image"] < tokens < MOST["image"] + 500


@pytest.mark.parametrize(
    ("part", "kind", "rough"),
    [
        ({"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}}, "image", 85),
        ({"type": "image_url", "image_url": {"url": "a.png"}}, "image", 800),
        ({"type": "input_image", "image_url": "a.png", "detail": "low"}, "image", 85),
        ({"type": "input_audio", "input_audio": {"data": "A" * 160_000, "format": "mp3"}}, "audio", 100),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file", 5000),
    ],
)
def test_each_kind_of_part_is_counted_roughly(part: Json, kind: str, rough: float) -> None:
    [found] = attachments(chat([part]))
    assert (found.kind, found.rough) == (kind, rough)
    assert found.most >= found.rough


@pytest.mark.parametrize(
    "strange", [None, 1, [], [1, None, {"type": 3}], {"type": "image_url"}, [{"type": "text", "text": "x"}]]
)
def test_what_is_no_such_part_is_none(strange: Any) -> None:
    assert list(attachments(chat(strange))) == []
    assert list(attachments({"messages": strange, "input": strange})) == []


@pytest.mark.parametrize(
    ("charge", "tokens", "usd"),
    [
        (Charge("no"), 0, 0.0),
        (Charge("maybe"), None, None),
        (Charge("yes", Usage(10, 5, 15), 0.1), 15, 0.1),
        (Charge("yes", Usage(10, 5, 40), 0.1), 40, 0.1),
        (Charge("yes", Usage(10, None, None)), None, None),
    ],
)
def test_what_nobody_told_is_not_nothing(charge: Charge, tokens: int | None, usd: float | None) -> None:
    assert (charge.tokens, charge.usd) == (tokens, usd)


def test_the_bytes_of_the_request_itself_are_the_measure() -> None:
    body = chat("hello", max_tokens=7)
    assert worst_case(body, CHAT, None, None).tokens == len(dumps(body)) + 7

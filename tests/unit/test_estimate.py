"""What a job may use, cost and take: by what tokens are counted, how far it may be off, and what binds."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime
from math import log
from pathlib import Path
from typing import Any

import pytest

from batchllm.cli.estimate import estimate_lines
from batchllm.errors import ExitCode, JobError
from batchllm.estimate import scripts
from batchllm.estimate.counters import BY_SCRIPT, Counter, cached_encoding, counter_for, encoding_of, tiktoken_counter
from batchllm.estimate.earlier import Earlier
from batchllm.estimate.job import LATENCY_S, LONGEST, Estimate
from batchllm.estimate.pace import Limits, pace
from batchllm.estimate.sampling import RatioSample
from batchllm.prices import PriceList
from batchllm.types import Extras, Json, Request

FOUR_BYTES = Counter("four bytes a token", 1.25, lambda text: len(text.encode()) / 4)
AROUND = 4 + 3


def priced(base_url: str = "", **rows: dict[str, float]) -> PriceList:
    return PriceList(rows, base_url, datetime(2026, 11, 1, tzinfo=UTC))


def request(model: str = "m", text: str = "x" * 400, line: int = 1, **body: Any) -> Request:
    made = {"model": model, "messages": [{"role": "user", "content": text}], **body}
    return Request(line, f"line-{line}", "/v1/chat/completions", made, "0" * 32)


def estimate(*requests: Request, prices: PriceList | None = None, **more: Any) -> Estimate:
    made = Estimate(prices or priced(m={"input": 1.0, "output": 2.0}), **{"counter": FOUR_BYTES, **more})
    for one in requests:
        made.add(one)
    return made


def test_the_cost_of_a_job_is_a_range_from_no_answer_to_every_answer_at_its_limit() -> None:
    made = estimate(*[request(max_tokens=50)] * 2, prices=priced(m={"input": 1000.0, "output": 2000.0}))
    cost = made.as_json()["cost_usd"]
    assert made.prompt().value == 2 * (100 + AROUND)
    assert cost["least"] == pytest.approx(2 * 0.107 / 1.25, rel=1e-3)
    assert cost["most"] == pytest.approx(2 * (0.107 * 1.25 + 0.1), rel=1e-3)
    assert (cost["prices"], cost["typical"]) == (["[prices]"], None)


def test_without_a_limit_on_an_answer_the_cost_has_no_upper_bound_unless_one_is_assumed() -> None:
    bare, assumed = estimate(request()).as_json(), estimate(request(), assumed=100).as_json()
    assert bare["cost_usd"]["most"] is None
    assert "no upper bound" in estimate_lines(bare)[1]
    assert assumed["cost_usd"]["most"] > 0


def test_a_model_without_a_price_is_named_and_the_cost_not_bounded() -> None:
    made = estimate(request(max_tokens=5), request("other", max_tokens=5)).as_json()
    assert (made["cost_usd"]["most"], made["unpriced_models"]) == (None, ["other"])
    assert "no price is known for other" in estimate_lines(made)[1]


def test_with_no_price_at_all_there_are_tokens_only() -> None:
    made = estimate(request("other", max_tokens=5)).as_json()
    assert made["cost_usd"] is None
    assert "unknown: no price is known for other" in estimate_lines(made)[1]


def test_answers_that_are_not_billed_cost_nothing() -> None:
    made = estimate(Request(1, "a", "/v1/embeddings", {"model": "m", "input": "x" * 4000}, "0" * 32))
    assert made.as_json()["cost_usd"]["most"] == pytest.approx(0.00125)


def test_a_long_prompt_is_reckoned_at_the_step_of_the_prices_it_reaches() -> None:
    steps = priced("https://generativelanguage.googleapis.com/v1beta/openai")
    short, long = (estimate(request("gemini-2.5-pro", "x" * size, max_tokens=1), prices=steps) for size in (400_000, 1_200_000))
    one, three = short.as_json()["cost_usd"], long.as_json()["cost_usd"]
    assert three["least"] > 3 * one["least"] * 1.5
    assert one["prices"] == three["prices"]
    assert three["most_as_provider_batch"] < three["most"]


def test_each_turn_of_a_conversation_reads_the_questions_before_it() -> None:
    turns = request(max_tokens=10)
    turns = Request(1, "a", turns.url, turns.body, turns.digest, extras=Extras(turns=("x" * 400, "y" * 400, "z" * 400)))
    one, three = estimate(request(max_tokens=10)), estimate(turns)
    assert (one.prompt().value, one.completion()) == (100 + AROUND, 10)
    assert (three.prompt().value, three.completion()) == (100 * 3 + 100 * 2 + 100 + 3 * AROUND, 30)


def test_a_schema_counts_once_for_each_line_that_has_it() -> None:
    def form(one: Request) -> Json:
        return {**one.body, "tools": [{"type": "function", "description": "y" * 800}]}

    plain, formed = estimate(*[request()] * 3), estimate(*[request()] * 3, form=form)
    assert 3 * 200 < formed.prompt().value - plain.prompt().value < 3 * 220


def test_what_is_no_text_is_counted_roughly_and_said_so() -> None:
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "a.png"}}]
    made = estimate(request(text=parts), request(text=parts)).as_json()  # type: ignore[arg-type]
    assert made["attachments"] == {"image": 2}
    assert made["prompt_tokens"] > 1600
    assert "2 image: counted very roughly" in "\n".join(estimate_lines(made))


# -- earlier answers ---------------------------------------------------------------------------------------------------


def answered(count: int, tokens: int = 300) -> Earlier:
    found = Earlier()
    for line in range(1, count + 1):
        found.prompts[f"line-{line}"] = "0" * 32, tokens
        found.written.add(40 + line % 2)
        found.seconds.add(2.0)
        found.requests.add(1)
    return found


def test_earlier_answers_tell_more_than_any_tokenizer() -> None:
    made = estimate(*[request(line=line, max_tokens=100) for line in range(1, 51)], earlier=answered(30))
    told = made.as_json(Limits(5))
    assert made.prompt().value == pytest.approx(50 * 300)
    assert "measured on 30 answers" in told["method"]
    assert told["typical_completion_tokens"][0] == pytest.approx(50 * 40.5, rel=0.01)
    typical = told["cost_usd"]["typical"]
    assert typical["low"] < typical["value"] < typical["high"] < told["cost_usd"]["most"]
    assert typical["value"] == pytest.approx((50 * 300 + 2 * 50 * 40.5) / 1e6, rel=0.01)
    assert (told["time"]["latency_s"], told["time"]["latency_assumed"]) == (2.0, False)


def test_a_few_earlier_answers_tell_nothing_yet() -> None:
    made = estimate(*[request(line=line) for line in range(1, 51)], earlier=answered(5)).as_json(Limits(5))
    assert made["method"] == FOUR_BYTES.name
    assert made["typical_completion_tokens"] is None
    assert (made["time"]["latency_s"], made["time"]["latency_assumed"]) == (LATENCY_S, True)


def test_answers_to_lines_that_were_changed_since_tell_nothing_of_the_prompts() -> None:
    found = answered(30)
    found.prompts = {name: ("1" * 32, tokens) for name, (_, tokens) in found.prompts.items()}
    made = estimate(*[request(line=line) for line in range(1, 51)], earlier=found)
    assert made.as_json()["method"] == FOUR_BYTES.name


# -- sampling ----------------------------------------------------------------------------------------------------------


def test_a_small_job_is_counted_whole() -> None:
    sample = RatioSample(10)
    for size in (1, 2, 3):
        sample.offer(size, lambda size=size: (size, size / 2))
    ratio = sample.ratio()
    assert (ratio.value, ratio.low, ratio.high) == (0.5, 0.5, 0.5)


def test_a_large_job_is_told_by_a_sample_within_its_interval() -> None:
    held = 0
    for seed in range(60):
        dice, sample, true, counted = random.Random(seed), RatioSample(100, seed), 0.0, 0
        for _ in range(3000):
            size = dice.randint(10, 1000)
            tokens = size * dice.uniform(0.1, 0.5)
            true += tokens

            def count(size: int = size, tokens: float = tokens) -> tuple[float, float]:
                nonlocal counted
                counted += 1
                return size, tokens

            sample.offer(size, count)
        ratio = sample.ratio()
        held += ratio.low * sample.bytes <= true <= ratio.high * sample.bytes
        assert sample.drawn == 100
        assert counted < 100 * (1 + log(30)) * 1.5
    assert 0.85 <= held / 60 <= 1.0


def test_the_same_job_gives_the_same_figures() -> None:
    lines = [request(text="x" * (line % 97), line=line) for line in range(1, 3000)]
    assert estimate(*lines).as_json() == estimate(*lines).as_json()
    assert "on a sample of 2,000 lines" in estimate(*lines).as_json()["method"]


def test_of_an_endless_line_only_the_beginning_is_counted() -> None:
    seen: list[int] = []

    def count(text: str) -> float:
        seen.append(len(text))
        return len(text) / 4

    made = estimate(request(text="x" * 10 * LONGEST), counter=Counter("c", 1.0, count))
    assert seen == [LONGEST]
    assert made.prompt().value == pytest.approx(10 * LONGEST / 4 + AROUND)


# -- tokenizers --------------------------------------------------------------------------------------------------------


def test_a_tokenizer_the_user_names_counts(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.enable_truncation(2)
    made.save(str(tmp_path / "tokenizer.json"))
    counter = counter_for(str(tmp_path / "tokenizer.json"), None)
    assert counter.count("a b c d") == 4
    assert "tokenizer.json" in counter.name


@pytest.mark.parametrize(
    ("content", "said"), [(None, "there is no file"), (b"{}", "is no tokenizer.json"), (b"\xff\x00", "is no tokenizer")]
)
def test_a_file_that_is_no_tokenizer_is_refused_in_a_sentence(tmp_path: Path, content: bytes | None, said: str) -> None:
    pytest.importorskip("tokenizers")
    file = tmp_path / "tokenizer.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(JobError, match=said) as refused:
        counter_for(str(file), None)
    assert refused.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(("model", "encoding"), [("gpt-4o-mini", "o200k_base"), ("gpt-4", "cl100k_base"), ("qwen3", None)])
def test_openais_models_are_counted_by_their_own_encoding(model: str, encoding: str | None) -> None:
    pytest.importorskip("tiktoken")
    assert encoding_of(model) == encoding


@pytest.mark.parametrize("content", [None, b"", b"IQ== 0\n"])
def test_an_encoding_that_is_not_here_whole_is_neither_fetched_nor_removed(tmp_path: Path, content: bytes | None) -> None:
    name = hashlib.sha1(b"https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken").hexdigest()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert cached_encoding("o200k_base", {"TIKTOKEN_CACHE_DIR": str(tmp_path)}) is None
    assert [path.name for path in tmp_path.iterdir()] == ([] if content is None else [name])


def test_with_its_cache_turned_off_tiktoken_is_not_asked() -> None:
    assert cached_encoding("o200k_base", {"TIKTOKEN_CACHE_DIR": ""}) is None


def test_tiktoken_counts_special_words_as_the_text_they_are() -> None:
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=".+", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 256})
    assert tiktoken_counter(encoding).count("<|endoftext|>") == 13


def test_without_any_tokenizer_rates_by_script_count() -> None:
    assert counter_for(None, "no-such-model") is BY_SCRIPT


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        # Tekken makes of these: 21, 29, 17, 19, 25
        ("The quick brown fox jumps over the lazy dog, and then it goes home to sleep until the morning.", 19, 30),
        ("Быстрая коричневая лиса прыгает через ленивую собаку, а потом идёт домой спать.", 20, 36),
        ("快速的棕色狐狸跳过了懒狗。", 9, 18),
        ("2026-11-21 14:29:33", 16, 24),
        ("for (int i = 0; i < n; i++) { sum += values[i] * 2; }", 19, 34),
    ],
)
def test_each_script_has_its_rate(text: str, low: float, high: float) -> None:
    assert low <= scripts.tokens(text) <= high


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "tokens", "limits", "seconds", "binds"),
    [
        (100, 1e4, Limits(10), 20.0, "concurrency"),
        (5, 1e4, Limits(10), 2.0, "latency"),
        (100, 1e4, Limits(10, rpm=60), 100.0, "rpm"),
        (100, 1e6, Limits(10, rpm=60, tpm=1e5), 600.0, "tpm"),
        (0, 0, Limits(10, rpm=60), 0.0, "latency"),
    ],
)
def test_the_slowest_limit_decides(requests: int, tokens: float, limits: Limits, seconds: float, binds: str) -> None:
    found = pace(requests, tokens, 2.0, limits)
    assert (found.seconds, found.binds) == (pytest.approx(seconds), binds)


def test_what_binds_is_said_and_what_is_assumed() -> None:
    made = estimate(*[request(max_tokens=10)] * 100).as_json(Limits(10, rpm=60))
    assert "about 100 s" in estimate_lines(made)[-1]
    assert "which is assumed; --rpm decides" in estimate_lines(made)[-1]


def test_a_budget_below_the_most_is_warned_of() -> None:
    made = estimate(request(max_tokens=10)).as_json()
    assert "may stop before its end" in estimate_lines(made, 1e-9)[-1]
    assert "may stop" not in "\n".join(estimate_lines(made, 1.0))

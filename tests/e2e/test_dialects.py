"""Every endpoint's dialect through the whole pipeline: provider of that name, address of the simulator that speaks it.

What the simulator says in a dialect follows documentation, and live replies for vLLM and transformers only: these tests
prove that batchllm does what `providers/` and `simulator/dialects.py` agree on, not that an endpoint keeps to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from batchllm.providers import names, provider
from batchllm.simulator import Faults, Limits
from batchllm.simulator.dialects import DIALECTS
from tests.e2e.simulated import EVERY, KEY, Outcome, perform, prompts, schema_file, takes_a_key

every = pytest.mark.parametrize("dialect", EVERY)
either = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

TELLS_LIMITS = tuple(name for name in EVERY if DIALECTS[name].rate_headers in ("openai", "azure"))
TELLS_WAITS = tuple(name for name in EVERY if DIALECTS[name].retry_after)
TELLS_DETAILS = tuple(name for name in EVERY if DIALECTS[name].cache_usage in ("details", "deepseek"))
THINKS = {"dashscope": {"enable_thinking": True}, "modelscope": {"enable_thinking": True}}


def text_of(record: dict[str, Any]) -> str:
    return str(record["response"]["body"]["choices"][0]["message"]["content"])


def answered(outcome: Outcome, count: int) -> None:
    """Each line has its answer, and nothing was asked twice."""
    assert outcome.exit_code == 0, outcome.summary["ended"]
    assert outcome.counts == (count, 0, 0)
    assert outcome.stats["served"] == outcome.stats["requests"] == count
    assert len({record["custom_id"] for record in outcome.results}) == count


@every
def test_chat(dialect: str, tmp_path: Path) -> None:
    outcome = perform(tmp_path, prompts(5), dialect=dialect)
    answered(outcome, 5)
    assert outcome.summary["provider"] == dialect
    for record in outcome.results:
        assert text_of(record).strip()
        assert ChatCompletion.model_validate(record["response"]["body"]).object == "chat.completion"
        assert bool(record["response"]["request_id"]) is bool(DIALECTS[dialect].request_id_header)
        assert record["batchllm"]["attempts"] == 1


@every
def test_stream(dialect: str, tmp_path: Path) -> None:
    outcome = perform(tmp_path, prompts(5), dialect=dialect, stream=True)
    answered(outcome, 5)
    for record in outcome.results:
        assert text_of(record).strip()
        assert ChatCompletion.model_validate(record["response"]["body"]).choices[0].finish_reason == "stop"
        assert record["batchllm"]["ttft_s"] is not None


@either
@every
def test_usage(dialect: str, stream: bool, tmp_path: Path) -> None:
    """Ours, line by line and in all, is what the endpoint wrote into its own books."""
    outcome = perform(tmp_path, prompts(5), dialect=dialect, stream=stream)
    answered(outcome, 5)
    theirs = {entry["prompt"]: (entry["prompt_tokens"], entry["completion_tokens"]) for entry in outcome.ledger}
    for record in outcome.results:
        usage = record["batchllm"]["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == theirs[prompt_of(record)]
        assert (usage["cached_tokens"] is not None) is (dialect in TELLS_DETAILS)
    usage = outcome.summary["usage"]
    told = [usage["prompt_tokens"], usage["completion_tokens"]]
    assert told == [sum(column) for column in zip(*theirs.values(), strict=True)]
    assert outcome.summary["usage_unknown"] == 0


def prompt_of(record: dict[str, Any]) -> str:
    return f"Tell about {record['custom_id'].removeprefix('doc-')}"


@every
def test_reasoning(dialect: str, tmp_path: Path) -> None:
    """Thoughts are kept, apart from the answer, wherever the endpoint puts them; hidden ones are counted."""
    asked = THINKS.get(dialect, {"reasoning_effort": "low"})
    whole = [] if DIALECTS[dialect].thinking_needs_stream else prompts(3, **asked)
    streamed = [{**line, "custom_id": f"s-{line['custom_id']}", "stream": True} for line in prompts(3, **asked)]
    outcome = perform(tmp_path, [*whole, *streamed], dialect=dialect)
    answered(outcome, len(whole) + 3)
    for record in outcome.results:
        facts = record["batchllm"]
        assert bool(facts.get("reasoning")) is (DIALECTS[dialect].reasoning != "hidden")
        assert (facts["usage"]["reasoning_tokens"] or 0) > 0 or dialect not in TELLS_DETAILS
        assert "think>" not in (facts.get("reasoning") or "")
        assert text_of(record).strip()


@either
@every
def test_json(dialect: str, stream: bool, tmp_path: Path) -> None:
    """Without a word about how, a schema is asked for in the strictest way this endpoint takes, and the answers are valid."""
    outcome = perform(tmp_path, prompts(5), dialect=dialect, schema=schema_file(tmp_path), stream=stream)
    answered(outcome, 5)
    assert outcome.summary["structured"] == provider(dialect).structured
    for record in outcome.results:
        assert set(record["batchllm"]["parsed"]) == {"label", "score"}


@pytest.mark.parametrize("dialect", TELLS_LIMITS)
def test_limits_headers(dialect: str, tmp_path: Path) -> None:
    """Where replies tell what is left, the run slows down before it is refused: 160 requests, 100 at once, 10 a second."""
    outcome = perform(tmp_path, prompts(160), dialect=dialect, options={"limits": Limits(rpm=600)})
    assert (outcome.exit_code, outcome.counts) == (0, (160, 0, 0))
    assert outcome.stats["statuses"].get(429, 0) <= 3  # a sixth of all where the headers are not read
    assert 6.0 <= outcome.seconds <= 20.0


@pytest.mark.parametrize("dialect", [name for name in EVERY if name not in TELLS_LIMITS])
def test_limits_untold(dialect: str, tmp_path: Path) -> None:
    """Where nothing is told, refusals teach the rate; they cost no line its answer."""
    outcome = perform(tmp_path, prompts(160), dialect=dialect, options={"limits": Limits(rpm=600)})
    assert (outcome.exit_code, outcome.counts) == (0, (160, 0, 0))
    assert outcome.stats["requests"] < 3 * 160
    assert outcome.stats["served"] == 160


@every
def test_refused(dialect: str, tmp_path: Path) -> None:
    """Each line meets one 429: it waits as long as it was told and is asked again, at no attempt's expense."""
    options = {"faults": Faults(rate_limit=1.0), "fault_attempts": 1, "retry_after_s": 7.0}
    outcome = perform(tmp_path, prompts(4), dialect=dialect, options=options, retries={"max_attempts": 1})
    assert (outcome.exit_code, outcome.counts) == (0, (4, 0, 0)), outcome.summary["ended"]
    assert outcome.stats["statuses"] == {429: 4, 200: 4}
    assert {(note["kind"], note["code"], note["billed"]) for note in outcome.notes} == {("refused", "rate_limited", "no")}
    told = dialect in TELLS_WAITS
    assert all(note["wait_s"] >= 7.0 for note in outcome.notes) or not told
    assert outcome.seconds >= 7.0 or not told


@every
def test_bad_key(dialect: str, tmp_path: Path) -> None:
    """The run stops within the requests in flight, nothing is billed, and every line stays pending."""
    outcome = perform(tmp_path, prompts(200), dialect=dialect, options={"account": "bad_key"}, concurrency=4)
    assert outcome.exit_code == 77
    assert outcome.counts == (0, 0, 200)
    assert outcome.stats["requests"] <= 4
    assert outcome.ledger == []
    assert KEY not in outcome.summary["ended"]["reason"]


@pytest.mark.parametrize("dialect", [name for name in EVERY if takes_a_key(name)])
def test_wrong_key_is_told_with_its_variable(dialect: str, tmp_path: Path) -> None:
    outcome = perform(tmp_path, prompts(3), dialect=dialect, key="sk-another-0123456789")
    assert outcome.exit_code == 77
    assert "$TEST_KEY" in outcome.summary["ended"]["reason"]
    assert "sk-another" not in outcome.summary["ended"]["reason"]


PAUSES = {"modelscope": 75}
"""No credit is a day's count here: it comes back by itself."""


@every
def test_no_credit(dialect: str, tmp_path: Path) -> None:
    """Credit that runs out in mid-run: what was answered is kept, the rest is pending, a person is wanted."""
    options = {"account": "no_credit", "account_after": 3}
    outcome = perform(tmp_path, prompts(40), dialect=dialect, options=options, concurrency=2)
    assert outcome.exit_code == PAUSES.get(dialect, 77), outcome.summary["ended"]
    completed, failed, pending = outcome.counts
    assert (completed, failed, pending) == (3, 0, 37)
    assert len(outcome.results) == 3
    assert outcome.stats["requests"] <= 3 + 2 * 4  # in flight, and three probes where the words are ambiguous
    assert bool(outcome.summary["ended"]["resume_after"]) is (dialect in PAUSES)


@every
def test_no_credit_is_resumed_where_it_stopped(dialect: str, tmp_path: Path) -> None:
    first = perform(
        tmp_path, prompts(6), dialect=dialect, options={"account": "no_credit", "account_after": 3}, on_change="keep"
    )
    again = perform(tmp_path, prompts(6), dialect=dialect, on_change="keep")
    assert first.counts[0] == 3
    assert (again.exit_code, again.counts, again.stats["served"]) == (0, (6, 0, 0), 3)
    assert len(again.ledger) == 6


# -- quirks ----------------------------------------------------------------------------------------------------------


def test_azure_addresses_a_deployment_and_withholds_what_it_filters(tmp_path: Path) -> None:
    options = {"faults": Faults(content_filter=1.0)}
    outcome = perform(tmp_path, prompts(2), dialect="azure", options=options, model="my deployment")
    assert (outcome.exit_code, outcome.counts) == (1, (0, 2, 0))
    assert {record["error"]["code"] for record in outcome.errors} == {"content_filter"}
    assert outcome.stats["requests"] == 2


def test_dashscopes_insufficient_quota_is_a_minute_and_no_empty_account(tmp_path: Path) -> None:
    options = {"limits": Limits(tpm=6000, burst_s=5)}
    outcome = perform(tmp_path, prompts(20, max_tokens=100), dialect="dashscope", options=options)
    assert (outcome.exit_code, outcome.counts) == (0, (20, 0, 0)), outcome.summary["ended"]
    assert any("insufficient_quota" in note["message"] for note in outcome.notes)


@pytest.mark.parametrize("dialect", ["dashscope", "modelscope"])
def test_thinking_without_a_stream_is_told_before_anything_is_sent(dialect: str, tmp_path: Path) -> None:
    outcome = perform(tmp_path, [*prompts(3), {"prompt": "x", "enable_thinking": True}], dialect=dialect)
    assert (outcome.exit_code, outcome.counts) == (1, (3, 1, 0))
    assert "stream = true" in outcome.errors[0]["error"]["message"]
    assert outcome.stats["requests"] == 3


@pytest.mark.parametrize("dialect", ["dashscope", "modelscope"])
def test_thinking_without_a_stream_stops_a_run_that_does_not_know_whom_it_asks(dialect: str, tmp_path: Path) -> None:
    lines = prompts(50, enable_thinking=True)
    outcome = perform(tmp_path, lines, dialect=dialect, provider="custom", concurrency=2)
    assert outcome.exit_code == 77
    assert "stream = true" in outcome.summary["ended"]["reason"]
    assert outcome.counts == (0, 0, 50)


def test_dashscopes_json_mode_and_thinking_exclude_each_other(tmp_path: Path) -> None:
    lines = [*prompts(2), {"prompt": "x", "enable_thinking": True, "stream": True}]
    known = perform(tmp_path, lines, dialect="dashscope", schema=schema_file(tmp_path))
    assert (known.exit_code, known.counts) == (1, (2, 1, 0))
    assert "enable_thinking = false" in known.errors[0]["error"]["message"]


def test_json_mode_and_thinking_stop_a_run_that_does_not_know_whom_it_asks(tmp_path: Path) -> None:
    lines = prompts(5, enable_thinking=True, stream=True)
    schema = schema_file(tmp_path)
    outcome = perform(tmp_path, lines, dialect="dashscope", provider="custom", schema=schema, structured="json_object")
    assert outcome.exit_code == 77
    assert "enable_thinking = false" in outcome.summary["ended"]["reason"]


def test_siliconflows_errors_without_an_error_object_are_read(tmp_path: Path) -> None:
    options = {"faults": Faults(rate_limit=0.3, server_error=0.2, unavailable=0.2), "fault_attempts": 1}
    outcome = perform(tmp_path, prompts(20), dialect="siliconflow", options=options)
    assert (outcome.exit_code, outcome.counts) == (0, (20, 0, 0))
    assert {note["code"] for note in outcome.notes} == {"rate_limited", "server_error"}
    assert any("50603" in note["message"] for note in outcome.notes)


def test_modelscopes_day_used_up_is_a_pause_to_its_next_day(tmp_path: Path) -> None:
    outcome = perform(tmp_path, prompts(10), dialect="modelscope", options={"account": "no_credit"})
    assert outcome.exit_code == 75
    assert outcome.counts == (0, 0, 10)
    assert outcome.summary["ended"]["resume_after"]


def test_deepseeks_blank_lines_and_comments_are_no_payload(tmp_path: Path) -> None:
    options = {"faults": Faults(empty=0.5), "fault_attempts": 1}
    lines = [*prompts(10), *({**line, "custom_id": f"s-{line['custom_id']}", "stream": True} for line in prompts(10))]
    outcome = perform(tmp_path, lines, dialect="deepseek", options=options)
    assert (outcome.exit_code, outcome.counts) == (0, (20, 0, 0))
    assert {(note["kind"], note["billed"]) for note in outcome.notes} == {("paid", "yes")}
    assert outcome.summary["rejected_usage"]["completion_tokens"] is not None


@either
def test_openrouters_errors_under_status_200_are_judged_by_their_code(stream: bool, tmp_path: Path) -> None:
    options = {"faults": Faults(error_200=1.0), "fault_attempts": 1}
    outcome = perform(tmp_path, prompts(4), dialect="openrouter", options=options, stream=stream)
    assert (outcome.exit_code, outcome.counts) == (0, (4, 0, 0))
    assert {(note["status"], note["code"]) for note in outcome.notes} == {(200, "server_error")}


@pytest.mark.parametrize("dialect", ["ollama", "vllm"])
def test_a_full_queue_is_waited_for(dialect: str, tmp_path: Path) -> None:
    options = {"faults": Faults(unavailable=1.0), "fault_attempts": 2}
    outcome = perform(tmp_path, prompts(4), dialect=dialect, options=options, retries={"max_attempts": 1})
    assert (outcome.exit_code, outcome.counts) == (0, (4, 0, 0))
    assert {(note["kind"], note["status"]) for note in outcome.notes} == {("refused", 503)}


def test_transformers_streams_responses_unasked_and_gives_one_answer_whatever_n(tmp_path: Path) -> None:
    spoken: dict[str, Any] = {"custom_id": "r", "url": "/v1/responses", "body": {"input": "Tell"}}
    several: dict[str, Any] = {"custom_id": "n", "prompt": "Tell", "n": 2}
    outcome = perform(tmp_path, [spoken, several], dialect="transformers")
    answered(outcome, 2)
    bodies = {record["custom_id"]: record["response"]["body"] for record in outcome.results}
    assert (bodies["r"]["object"], bodies["r"]["status"]) == ("response", "completed")
    assert len(bodies["n"]["choices"]) == 1


@pytest.mark.parametrize("dialect", [name for name in EVERY if name != "transformers"])
def test_each_of_n_streamed_answers_is_waited_for(dialect: str, tmp_path: Path) -> None:
    outcome = perform(tmp_path, prompts(3, n=3), dialect=dialect, stream=True)
    answered(outcome, 3)
    assert all(len(record["response"]["body"]["choices"]) == 3 for record in outcome.results)


@every
def test_a_model_nobody_has_stops_the_run_after_a_few_lines(dialect: str, tmp_path: Path) -> None:
    outcome = perform(tmp_path, prompts(100), dialect=dialect, options={"strict_models": True}, model="no-such", concurrency=2)
    assert outcome.exit_code == 77, outcome.summary["ended"]
    assert outcome.counts[0] == 0
    assert outcome.stats["requests"] < 10


# -- providers without a dialect of their own --------------------------------------------------------------------------

OTHERS = tuple(name for name in names() if name not in EVERY and not provider(name).simulated)


@either
@pytest.mark.parametrize("name", OTHERS)
def test_other_providers(name: str, stream: bool, tmp_path: Path) -> None:
    """Address, key, stream and books of each row in OpenAI's dialect. A stream that nobody asks for its usage has none."""
    options = {"api_key": KEY if takes_a_key(name) else None}
    outcome = perform(tmp_path, prompts(3), provider=name, stream=stream, options=options)
    answered(outcome, 3)
    assert outcome.summary["provider"] == name
    assert outcome.summary["usage_unknown"] == (3 if stream and not provider(name).stream_usage else 0)


THOUGHTS = {
    "dashscope-intl": "reasoning_content", "zhipu": "reasoning_content", "moonshot": "reasoning_content",
    "volcengine": "reasoning_content", "groq": "reasoning", "together": "think", "mistral": "think", "gemini": "hidden",
    "sglang": "reasoning_content", "llamacpp": "reasoning_content", "lmdeploy": "reasoning_content",
    "lmstudio": "reasoning_content", "litellm": "reasoning_content", "custom": "think",
}  # fmt: skip
"""Where their thoughts stand, as far as their pages say; what a server of one's own does depends on how it was started. Every
shape is read whoever sends it (`tests/e2e/test_on_the_wire.py`)."""


@pytest.mark.parametrize("name", OTHERS)
def test_other_providers_reasoning(name: str, tmp_path: Path) -> None:
    options = {"api_key": KEY if takes_a_key(name) else None, "reasoning": THOUGHTS[name]}
    lines = [*prompts(2), *({**line, "custom_id": f"s-{line['custom_id']}", "stream": True} for line in prompts(2))]
    outcome = perform(tmp_path, lines, provider=name, options=options)
    answered(outcome, 4)
    for record in outcome.results:
        assert bool(record["batchllm"].get("reasoning")) is (THOUGHTS[name] != "hidden")
        assert "think>" not in (record["batchllm"].get("reasoning") or "")


@pytest.mark.parametrize("name", OTHERS)
def test_other_providers_limits(name: str, tmp_path: Path) -> None:
    """Whose row says that limits are told is slowed down by them; by the others' silence no line loses its answer."""
    told = provider(name).limits == "x-ratelimit"
    options = {"api_key": KEY if takes_a_key(name) else None, "limits": Limits(rpm=600)}
    count = 160 if told else 40
    outcome = perform(tmp_path, prompts(count), dialect="openai" if told else "ollama", provider=name, options=options)
    assert (outcome.exit_code, outcome.counts) == (0, (count, 0, 0)), outcome.summary["ended"]
    assert outcome.stats["served"] == count
    assert outcome.stats["statuses"].get(429, 0) <= 3 or not told


def test_a_rows_word_on_limits_is_what_its_dialect_does() -> None:
    words = {"openai": "x-ratelimit", "azure": "x-ratelimit", "modelscope": "counts of a day", "none": "none"}
    assert {name: provider(name).limits for name in EVERY} == {name: words[DIALECTS[name].rate_headers] for name in EVERY}


# -- a user's own ----------------------------------------------------------------------------------------------------

LIKE = ("dashscope", "siliconflow", "openrouter", "vllm")


@pytest.mark.parametrize("like", LIKE)
def test_a_provider_of_the_settings_has_the_habits_of_the_one_it_is_like(like: str, tmp_path: Path) -> None:
    own = {"mine": {"like": like, "key_env": "TEST_KEY", "headers": {"X-Team": "night"}}}
    options = {"faults": Faults(rate_limit=0.5), "fault_attempts": 1}
    outcome = perform(
        tmp_path, prompts(8), dialect=like, options=options, providers=own, provider="mine", schema=schema_file(tmp_path)
    )
    assert (outcome.exit_code, outcome.counts) == (0, (8, 0, 0)), outcome.summary["ended"]
    assert outcome.summary["provider"] == "mine"
    assert outcome.summary["structured"] == provider(like).structured
    assert all(record["batchllm"]["parsed"] for record in outcome.results)


def test_a_provider_of_the_settings_may_say_how_it_says_no(tmp_path: Path) -> None:
    """The same 429 that everybody waits for, and that this owner means for good."""
    rule = {"kind": "stop", "code": "quota_exhausted", "statuses": [429], "message": "the pool of the team is empty ({words})"}
    own = {"mine": {"like": "openai", "key_env": "TEST_KEY", "rules": [rule]}}
    options = {"faults": Faults(rate_limit=1.0)}
    outcome = perform(tmp_path, prompts(9), options=options, providers=own, provider="mine", concurrency=1)
    assert outcome.exit_code == 77
    assert "the pool of the team is empty" in outcome.summary["ended"]["reason"]
    assert outcome.stats["requests"] == 1


def test_habits_at_another_address_differ_from_guessing(tmp_path: Path) -> None:
    """The same words: an empty account at OpenAI, a minute to wait for at DashScope, and elsewhere a matter of asking again."""
    options = {"faults": Faults(quota=1.0), "fault_attempts": 1}
    for name, code in (("openai", 77), ("custom", 0), ("dashscope", 0)):
        folder = tmp_path / name
        folder.mkdir()
        outcome = perform(folder, prompts(6), options=options, provider=name, concurrency=1)
        assert (name, outcome.exit_code) == (name, code)

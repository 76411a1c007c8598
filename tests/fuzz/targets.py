"""Every reader of foreign bytes, and what may come out of it. A target raises for anything else.

What a target takes is bytes and a random source for the choices beside them (status, headers, how a stream is cut).
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from batchllm import assembly
from batchllm.classify import classify
from batchllm.endpoints import TABLE, endpoint_for
from batchllm.error_body import error_in
from batchllm.errors import ExitCode, JobError, Phase, TransportError
from batchllm.item import Again, Done, Halt, Item, Route
from batchllm.journal.replay import records
from batchllm.providers import names, provider
from batchllm.ratelimit_headers import read_limits
from batchllm.redaction import Redactor
from batchllm.retry_after import server_wait
from batchllm.sources.job_file import JobFile
from batchllm.sources.request_line import RequestLine
from batchllm.sse import EventStream
from batchllm.strictjson import dumps, loads
from batchllm.types import BadLine, Kind, Reply, Request, Usage
from batchllm.usage import read_usage
from batchllm.validation import complaint, from_json_schema, judge
from batchllm.validation.extract import find_json
from tests.crash.trial import SHM
from tests.e2e.trial import CANARY, configuration, leaks

Target = Callable[[bytes, random.Random], None]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONGEST_WAIT_S = 366 * 86_400.0
WAIT_HEADERS = (
    "retry-after", "retry-after-ms", "date", "x-ratelimit-reset-requests", "x-ratelimit-reset",
    "anthropic-ratelimit-tokens-reset",
    "x-ratelimit-remaining-requests", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
)  # fmt: skip
TYPES = ("application/json", "text/plain", "text/html", "text/event-stream; charset=utf-8", "", "\x00")
STATUSES = (200, 200, 200, 201, 204, 302, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 524, 529, 599)


@cache
def route() -> Route:
    return assembly.parts(configuration("http://127.0.0.1:9/v1"), Path("job.jsonl"), Path("out"), command="").route


@cache
def schema() -> Any:
    asked = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "array"}}, "required": ["a"]}
    return from_json_schema(asked, "asked")


def job_line(data: bytes, rng: random.Random) -> None:
    """A request that can be sent as it stands, the same at each reading; or a bad line with its reason in a sentence."""
    reader = RequestLine({"model": "m"}, rng.choice(("/v1/chat/completions", "/v1/embeddings")))
    data = data.replace(b"\n", b" ")
    one = reader.read(7, data)
    if isinstance(one, BadLine):
        assert one.message
        assert one.line == 7
        return
    assert isinstance(one, Request)
    again = reader.read(7, data, again=True)
    assert isinstance(again, Request)
    assert again.digest == one.digest
    if one.extras is None:
        item = Item(route(), one)
        strict(item.call(0.0).body)
        assert math.isfinite(item.token_estimate())


def job_file(data: bytes, rng: random.Random) -> None:
    """Lines numbered as any tool numbers them that splits at line feeds; or the file is refused as a whole."""
    with _file(data, rng.choice((".jsonl", ".jsonl", ".jsonl.gz"))) as path:
        try:
            read = list(JobFile(path, RequestLine({}, "/v1/chat/completions"), 5000))
        except JobError as error:
            _refused(error)
            return
    numbers = [number for number, line in enumerate(data.split(b"\n"), 1) if line.removeprefix(b"\xef\xbb\xbf").strip()]
    assert [one.line for one in read][: len(numbers)] == numbers


def journal(data: bytes, rng: random.Random) -> None:
    """Objects, or the folder is damaged."""
    with _file(data, ".jsonl") as path:
        try:
            assert all(isinstance(record, dict) for _, record in records(path))
        except JobError as error:
            _refused(error)


def events(data: bytes, rng: random.Random) -> None:
    """The same events however the bytes come."""
    whole, pieces = EventStream(), EventStream()
    expected = [*whole.feed(data), *whole.close()]
    found = [event for piece in cut_up(data, rng) for event in pieces.feed(piece)]
    assert [*found, *pieces.close()] == expected


def reply(data: bytes, rng: random.Random) -> None:
    """Exactly one outcome, whose record or note is strict JSON on one line without the key in it."""
    item, status, headers = _item(rng), rng.choice(STATUSES), _headers(data, rng)
    if item.feed is not None and status < 300:
        for piece in cut_up(data, rng):
            item.feed(piece)
    judge_step(item.received(Reply(status, headers, data, 0.1), 1.0, rng.random()))


def broken_reply(data: bytes, rng: random.Random) -> None:
    """The same where the reply broke off."""
    item, status = _item(rng), rng.choice((0, *STATUSES))
    if item.feed is not None and status < 300:
        for piece in cut_up(data, rng):
            item.feed(piece)
    error = TransportError(rng.choice(list(Phase)), "broke off", partial=data, status=status, headers=dict(_headers(data, rng)))
    judge_step(item.failed(error, 1.0, rng.random()))


def judge_step(step: Any) -> None:
    assert isinstance(step, Done | Again | Halt)
    if isinstance(step, Done):
        line = step.record.to_json()
        assert line.endswith(b"\n")
        assert b"\n" not in line[:-1]
    else:
        line = dumps(step.note)
        assert isinstance(step, Halt) or (math.isfinite(step.wait_s) and step.wait_s >= 0)
    strict(line)
    assert not leaks(line)


def error_body(data: bytes, rng: random.Random) -> None:
    """A verdict for every provider; its words are fit for a terminal."""
    body = _json(data)
    error_in(body)
    answered = Reply(rng.choice(STATUSES), _headers(data, rng), data, 0.1)
    verdict = classify(answered, body, provider(rng.choice(names())).rules, now=NOW)
    if verdict is not None:
        assert verdict.kind is not Kind.OK
        assert verdict.after_s is None or 0 <= verdict.after_s <= LONGEST_WAIT_S
        assert verdict.message.isprintable()
        assert len(verdict.message) <= 500


def waits(data: bytes, rng: random.Random) -> None:
    """No wait, or a finite one; limits that are counts."""
    text = data.decode("utf-8", "surrogateescape")
    headers = dict.fromkeys(rng.sample(WAIT_HEADERS, rng.randint(1, 4)), text)
    found = server_wait(headers, rng.choice((None, text, _json(data))), NOW, refused=rng.random() < 0.5)
    assert found is None or 0 <= found <= LONGEST_WAIT_S
    limits = read_limits(headers, rng.choice((None, NOW)))
    for count in (limits.requests_remaining, limits.tokens_limit, limits.tokens_reset_s) if limits else ():
        assert count is None or (math.isfinite(count) and count >= 0)


def usage(data: bytes, rng: random.Random) -> None:
    """Counts, or unknown."""
    body = _json(data)
    for value in (body, body.get("usage") if isinstance(body, dict) else None):
        found = read_usage(value, generates=rng.random() < 0.8)
        assert found is None or isinstance(found, Usage)
        for count in (found.prompt_tokens, found.completion_tokens, found.total_tokens) if found else ():
            assert count is None or (type(count) is int and count >= 0)


def answer_json(data: bytes, rng: random.Random) -> None:
    """No JSON, or a value that can be written and read again; a judgement either way."""
    text = data.decode("utf-8", "surrogatepass" if _is_text(data) else rng.choice(("replace", "surrogateescape", "ignore")))
    found = find_json(text)
    if found is not None:
        strict(dumps(found.value))
    judgement = judge(text, schema())
    assert (judgement.parsed is None) == bool(judgement.problems)
    if judgement.problems:
        assert complaint(judgement.problems, text)


def endpoint(data: bytes, rng: random.Random) -> None:
    """Every endpoint reads every value, and puts every stream together."""
    chosen = endpoint_for(f"/v1/{rng.choice(sorted(TABLE))}")
    chosen.read(_json(data))
    if chosen.streams:
        assembler = chosen.assembler({"n": rng.choice((1, 2))})
        for piece in cut_up(data, rng):
            assembler.feed(piece)
        body = assembler.body()
        chosen.read(body)
        with contextlib.suppress(ValueError):  # nested too deep to be written; `Item` keeps its bytes
            strict(dumps(body))


def secrets(data: bytes, rng: random.Random) -> None:
    """The key in none of its forms, and what was JSON still is."""
    redactor = Redactor(CANARY)
    clean = redactor.bytes(data)
    assert not leaks(clean)
    if _json(data) is not None:
        loads(clean)


TARGETS: Mapping[str, Target] = {
    target.__name__.replace("_", " "): target
    for target in (
        job_line, job_file, journal, events, reply, broken_reply, error_body, waits, usage, answer_json, endpoint, secrets,
    )
}  # fmt: skip


def _refused(error: JobError) -> None:
    assert error.exit_code is ExitCode.BAD_DATA


def cut_up(data: bytes, rng: random.Random) -> list[bytes]:
    """The bytes in pieces, as packets might bring them."""
    if rng.random() < 0.2:
        return [data[at : at + 1] for at in range(len(data))]
    ends = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(0, 6)))
    return [data[start:end] for start, end in zip((0, *ends), (*ends, len(data)), strict=True)]


def strict(line: bytes) -> Any:
    """JSON by the letter: UTF-8, no NaN."""
    return json.loads(line.decode("utf-8"), parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def _item(rng: random.Random) -> Item:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    if rng.random() < 0.4:
        body |= {"stream": True, "n": rng.choice((1, 1, 2))}
    url = rng.choice(("/v1/chat/completions",) * 4 + ("/v1/responses", "/v1/completions", "/v1/embeddings"))
    one = Item(route(), Request(1, "item-1", url, body, "0" * 32))
    one.call(0.0)
    return one


def _headers(data: bytes, rng: random.Random) -> dict[str, str]:
    headers = {"content-type": rng.choice(TYPES)}
    for name in ("retry-after", "x-should-retry", "location", "x-request-id"):
        if rng.random() < 0.2:
            headers[name] = data[:60].decode("latin-1")
    return headers


def _json(data: bytes) -> Any:
    try:
        return loads(data)
    except ValueError:
        return None


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


@contextlib.contextmanager
def _file(data: bytes, suffix: str) -> Any:
    with tempfile.NamedTemporaryFile(dir=SHM if SHM.is_dir() else None, suffix=suffix) as file:
        file.write(data)
        file.flush()
        yield Path(file.name)

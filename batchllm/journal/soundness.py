"""One line of a results file held to the form of a record: what is wrong with it, in a few words. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from batchllm.errors import ErrorCode
from batchllm.records import record_id
from batchllm.sources.raw_lines import TooLong
from batchllm.strictjson import loads
from batchllm.types import Json

_KEYS = frozenset({"id", "custom_id", "response", "error", "batchllm"})
_FACTS = frozenset({"line", "digest", "settings", "usage", "attempts", "cost_usd", "provider"})
_CODES = frozenset(map(str, ErrorCode))
OF_THE_JOB = frozenset({str(ErrorCode.INVALID_LINE), str(ErrorCode.DUPLICATE_CUSTOM_ID)})
"""Codes of lines that were never sent; their records are found by line number, since their id may be another's."""
# A colon or backslash written as an escape, a key that ends in a backslash, blanks before a colon.
_ODD = (b"\\u003a", b"\\u003A", b"\\u005c", b"\\u005C", b'\\\\":', b" :", b"\t:", b"\r:")
_is_digest = re.compile(r"[0-9a-f]{32}").fullmatch


def parsed(raw: bytes | TooLong) -> Json:
    """The JSON object of one line. Raises ValueError, in a few words, for anything else."""
    if isinstance(raw, TooLong):
        raise ValueError(f"the line has {raw:,} bytes")
    value = loads(raw)
    if type(value) is not dict:
        raise ValueError("the line is no JSON object")
    return value


def damage(record: Json) -> str | None:
    """Why a run would refuse to go on over this line of `results.jsonl`; None for one it can read."""
    if type(record.get("custom_id")) is not str:
        return "there is no custom_id"
    facts = record.get("batchllm")
    if type(facts) is not dict:
        return "there is nothing under 'batchllm'"
    return None if is_digest(facts.get("digest")) else "batchllm.digest is no digest"


def is_digest(value: Any) -> bool:
    """Whether this is how a line's content is written in its record: 32 hex digits."""
    return type(value) is str and _is_digest(value) is not None


def note_damage(note: Json) -> str | None:
    """The same for a line of `attempts.jsonl`."""
    return None if type(note.get("custom_id")) is str else "there is no custom_id"


def result_flaw(record: Json) -> str | None:
    """What a record of `results.jsonl` without `damage` lacks or contradicts; None if it is sound."""
    return _form(record) or _facts_flaw(record["batchllm"]) or _answer_flaw(record)


def failure_flaw(record: Json) -> str | None:
    """What a record of `errors.jsonl` lacks or contradicts; None if it is sound."""
    if type(record.get("custom_id")) is not str or type(record.get("batchllm")) is not dict:
        return "it is no record"
    problem = _form(record)
    if problem:
        return problem
    error, facts = record["error"], record["batchllm"]
    if type(error) is not dict or type(error.get("message")) is not str or error.keys() != {"code", "message"}:
        return "'error' is no error, so it belongs into results.jsonl" if error is None else "'error' is malformed"
    if error["code"] not in _CODES:
        return f"there is no error code {str(error['code'])[:40]!r}"
    if type(facts.get("retryable")) is not bool:
        return "batchllm.retryable is missing"
    if error["code"] in OF_THE_JOB:
        return None if _positive(facts.get("line")) else "batchllm.line is missing"
    return damage(record) or _facts_flaw(facts)


def _form(record: Json) -> str | None:
    if record.keys() != _KEYS:
        odd = sorted(record.keys() ^ _KEYS)[0]
        return f"the key {odd[:40]!r} is {'missing' if odd in _KEYS else 'none of a record'}"
    # The id is a hash of the other two: a custom_id or digest that was touched no longer fits it.
    if record["id"] != record_id(record["custom_id"], record["batchllm"].get("digest", "")):
        return "the id does not fit custom_id and digest"
    return None


def _facts_flaw(facts: Json) -> str | None:
    missing = _FACTS - facts.keys()
    if missing:
        return f"batchllm.{min(missing)} is missing"
    sent = type(facts.get("duplicate_of")) is not str
    if not _positive(facts["line"]) or _positive(facts["attempts"]) is not sent or type(facts["usage"]) is not dict:
        return "batchllm.line, attempts or usage is no count"
    return None


def _answer_flaw(record: Json) -> str | None:
    if record["error"] is not None:
        return "it holds an error, so it belongs into errors.jsonl"
    response = record["response"]
    if type(response) is not dict or response.keys() != {"status_code", "request_id", "body"}:
        return "'response' is malformed"
    status = response["status_code"]
    if type(status) is not int or not 200 <= status < 300 or response["body"] is None:
        return "'response' holds no answer"
    return None


def _positive(value: Any) -> bool:
    return type(value) is int and value > 0


def repeats_key(raw: bytes, value: Json) -> str | None:
    """Whether a key stands twice in one object: "ours" in the record itself, "theirs" deeper, in what a server sent.

    Parsing keeps the last one only, so a line that is written again with as many keys as it had repeats none.
    Counting them is cheap but for lines with `_ODD` in them, where the slow way decides.
    """
    try:
        again = orjson.dumps(value)
    except TypeError:
        again = b""
    if again == raw:
        return None
    if again and _keys(again) == _keys(raw) and not any(odd in raw for odd in _ODD):
        return None
    return _repeated(raw)


def _keys(line: bytes) -> int:
    """How many keys a line has: a quote that is followed by a colon ends a key, unless it is itself escaped."""
    return line.count(b'":') - line.count(b'\\":')


def _repeated(raw: bytes) -> str | None:
    found: list[Json] = []

    def pairs(items: list[tuple[str, Any]]) -> Json:
        made = dict(items)
        if len(made) != len(items):
            found.append(made)
        return made

    try:
        top = json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    if not found:
        return None
    ours = [top, top.get("response"), top.get("error"), top.get("batchllm")]
    return "ours" if any(one is part for one in found for part in ours) else "theirs"

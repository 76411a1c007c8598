"""`batchllm verify`: a sound folder is proved, and whatever is done to it is refuted by name."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchllm.assembly import job_file
from batchllm.cli.verify_command import manifest_of, verdict_lines, verify_folder
from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.findings import SHOWN
from batchllm.journal.errors_file import write_errors
from batchllm.journal.index import State
from batchllm.journal.manifest import Manifest, shaping_digest
from batchllm.journal.repair import repair
from batchllm.journal.soundness import repeats_key
from batchllm.journal.storage import Storage
from batchllm.records import Record, failure_line, usage_json
from batchllm.reports.foreign import ForeignVerification
from batchllm.reports.summary import Facts, summary
from batchllm.settings import Settings
from batchllm.sources.batch_output import outcome
from batchllm.strictjson import dumps, loads
from batchllm.survey import bad_lines, sha256, survey
from batchllm.tally import Tally
from batchllm.types import Json, Request, Usage

SETTINGS = Settings(model="m", provider="simulator")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
SHAPING: Json = {"model": "m", "body": {}, "url": SETTINGS.url, "schema": {"": SCHEMA}}
DIGEST = shaping_digest(SHAPING)
USAGE = Usage(80, 20, 100, 0, 0)
WASTED = Usage(70, 5, 75, 0, 0)
FAILS, RETRIED = 3, 4
"""Line 3 fails, line 4 is answered at its second attempt; the last two lines of the job are bad."""


def job_lines(good: int = 6) -> list[Json]:
    lines: list[Json] = [{"custom_id": f"doc-{number}", "prompt": f"Count to {number}"} for number in range(1, good + 1)]
    return [*lines, {"custom_id": "doc-1", "prompt": "an id twice"}, {"custom_id": "odd", "nothing": "to send"}]


def write_lines(path: Path, lines: list[Json]) -> Path:
    path.write_bytes(b"".join(dumps(line) + b"\n" for line in lines))
    return path


def reply(number: int) -> bytes:
    message = {"role": "assistant", "content": dumps({"n": number}).decode()}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return dumps({"id": "c", "choices": [choice], "usage": {"prompt_tokens": 80, "completion_tokens": 20, "total_tokens": 100}})


def record_of(request: Request, *, code: ErrorCode | None = None, wasted: bool = False) -> Record:
    facts: Json = {
        "line": request.line, "digest": request.digest, "settings": DIGEST,
        "usage": usage_json(USAGE + WASTED if wasted else USAGE), "attempts": 2 if wasted else 1, "latency_s": 0.5,
        "ttft_s": None, "cost_usd": 0.003 if wasted else 0.002, "provider": "simulator", "simulated": True,
    }  # fmt: skip
    if wasted:
        facts |= {"rejected_usage": usage_json(WASTED), "rejected_cost_usd": 0.001}
    facts |= {"parsed": {"n": request.line}} if code is None else {"retryable": False}
    message = "cut off" if code else ""
    return Record(
        request.line, request.custom_id, request.digest, 200, "req_1", reply(request.line), code, message, facts=facts
    )


def note_of(request: Request) -> bytes:
    return (
        dumps({"custom_id": request.custom_id, "line": request.line, "attempt": 1, "code": "schema_invalid", "billed": "yes",
               "usage": usage_json(WASTED), "cost_usd": 0.001})
        + b"\n"
    )  # fmt: skip


def finished_folder(job: Path, folder: Path) -> Path:
    """What a run leaves behind that has asked for every line."""
    folder.mkdir()
    lines = job_file(SETTINGS, job)
    found = survey(lines)
    index, tally = found.index, Tally()
    results, attempts = [], []
    for request in lines:
        if not isinstance(request, Request) or index.state(request.line) is State.INVALID:
            continue
        tally.add_usage(USAGE)
        tally.add_cost(0.002)
        if request.line == FAILS:
            attempts.append(failure_line(record_of(request, code=ErrorCode.TRUNCATED)))
            index.set(request.line, State.FAILED)
            continue
        wasted = request.line == RETRIED
        if wasted:
            attempts.append(note_of(request))
            tally.add_usage(WASTED, rejected=True)
            tally.add_cost(0.001)
        results.append(record_of(request, wasted=wasted).to_json())
        index.set(request.line, State.DONE)
    (folder / "results.jsonl").write_bytes(b"".join(results))
    (folder / "attempts.jsonl").write_bytes(b"".join(attempts))
    storage = Storage()
    told = {"path": str(job), "sha256": sha256(job), "requests": found.requests, "bad_lines": found.bad_count}
    own = SETTINGS.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    Manifest(told, SHAPING, own, (DIGEST,), "0", "2026-01-01T00:00:00+00:00", simulated=True).write(storage, folder)
    write_errors(storage, folder, index, bad_lines(lines, index))
    facts = Facts(str(job), str(folder), "batchllm run job.jsonl", "simulator", "simulator", "m", None, simulated=True)
    (folder / "summary.json").write_bytes(dumps(summary(facts, index, tally, 1.0, None, datetime.now(UTC))))
    return folder


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job whose sidecar names the schema that its answers hold to."""
    (tmp_path / "schema.json").write_bytes(dumps(SCHEMA))
    (tmp_path / "job.toml").write_text('schema = "schema.json"\nmodel = "m"\nprovider = "simulator"\n')
    return write_lines(tmp_path / "job.jsonl", job_lines())


@pytest.fixture
def folder(job: Path, tmp_path: Path) -> Path:
    return finished_folder(job, tmp_path / "out")


def verify(job: Path, folder: Path) -> Json:
    return verify_folder(job, folder, manifest_of(folder), None)


def kinds(verdict: Json) -> dict[str, int]:
    return {name: group["count"] for name, group in verdict["findings"].items() if group["refutes"]}


def edit(path: Path, change: Callable[[list[bytes]], None]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def edit_record(path: Path, place: int, change: Callable[[Json], None]) -> None:
    def one(lines: list[bytes]) -> None:
        record = loads(lines[place])
        change(record)
        lines[place] = dumps(record) + b"\n"

    edit(path, one)


def test_a_folder_as_a_run_leaves_it_is_proved(job: Path, folder: Path) -> None:
    verdict = verify(job, folder)
    assert verdict["findings"] == {}
    assert (verdict["verdict"], verdict["exit_code"]) == ("proved", 0)
    assert verdict["request_counts"] == {"total": 8, "completed": 5, "failed": 3, "pending": 0, "invalid_lines": 2}
    assert verdict["checked"] == {"results": 5, "errors": 3, "attempts": 2, "schema": 5}


def put(key: str, value: Any) -> Callable[[Json], None]:
    return lambda record: record.update({key: value})


def put_fact(key: str, value: Any) -> Callable[[Json], None]:
    return lambda record: record["batchllm"].update({key: value})


REFUTATIONS = {
    "an answer is gone": ("results.jsonl", lambda lines: lines.pop(1), {"pending": 1, "totals": 6}),
    "a failure is gone": ("errors.jsonl", lambda lines: lines.pop(2), {"pending": 1, "totals": 2}),
    "a bad line's record is gone": ("errors.jsonl", lambda lines: lines.pop(0), {"pending": 1, "totals": 2}),
    "an answer stands twice": ("results.jsonl", lambda lines: lines.append(lines[0]), {"twice": 1}),
    "a failure stands twice": ("errors.jsonl", lambda lines: lines.append(lines[2]), {"twice": 1}),
    "a paid attempt is gone": ("attempts.jsonl", lambda lines: lines.pop(1), {"totals": 4}),
    "a line is no JSON": ("results.jsonl", lambda lines: lines.insert(1, b'{"custom\n'), {"damaged": 1}),
    "a line is no object": ("results.jsonl", lambda lines: lines.insert(1, b"[1]\n"), {"damaged": 1}),
    "a line holds NaN": ("results.jsonl", lambda lines: lines.insert(1, b'{"custom_id": NaN}\n'), {"damaged": 1}),
    "a line is not UTF-8": ("results.jsonl", lambda lines: lines.insert(0, b'{"a":"\xff"}\n'), {"damaged": 1}),
    "an attempt is no JSON": ("attempts.jsonl", lambda lines: lines.insert(1, b"nothing\n"), {"damaged": 1}),
    "a failure is no JSON": ("errors.jsonl", lambda lines: lines.insert(1, b"nothing\n"), {"malformed": 1}),
    "a line is torn": ("results.jsonl", lambda lines: lines.append(b'{"id":"batch'), {"torn": 1}),
    "a line feed is gone": ("results.jsonl", lambda lines: lines.append(lines.pop()[:-1]), {"torn": 1}),
    "a key of ours stands twice": (
        "results.jsonl", lambda lines: lines.append(lines.pop().replace(b'"error":null', b'"error":1,"error":null')),
        {"repeated_key": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUTATIONS)
def test_what_is_wrong_with_lines_is_refuted_by_name(what: str, job: Path, folder: Path) -> None:
    file, change, expected = REFUTATIONS[what]
    edit(folder / file, change)
    verdict = verify(job, folder)
    assert kinds(verdict) == expected
    assert verdict["exit_code"] == (65 if "damaged" in expected else 1)


RECORDS: dict[str, tuple[str, int, Callable[[Json], None], set[str]]] = {
    "another custom_id": (
        "results.jsonl", 0, put("custom_id", "doc-9"), {"malformed", "unknown_custom_id", "pending", "totals"},
    ),
    "another's custom_id": ("results.jsonl", 0, put("custom_id", "doc-2"), {"malformed", "twice", "pending"}),
    "another digest": ("results.jsonl", 0, put_fact("digest", "0" * 32), {"malformed", "changed", "totals"}),
    "no digest": ("results.jsonl", 0, put_fact("digest", "none"), {"damaged", "pending"}),
    "other settings": ("results.jsonl", 0, put_fact("settings", "00000000"), {"other_settings", "totals"}),
    "no answer": ("results.jsonl", 0, put("response", None), {"malformed"}),
    "an error among answers": ("results.jsonl", 0, put("error", {"code": "timeout", "message": ""}), {"malformed"}),
    "a key too many": ("results.jsonl", 0, put("more", 1), {"malformed"}),
    "no parsed": ("results.jsonl", 0, lambda record: record["batchllm"].pop("parsed"), {"not_parsed"}),
    "parsed is wrong": ("results.jsonl", 0, put_fact("parsed", {"n": "one"}), {"schema_invalid"}),
    "other tokens": ("results.jsonl", 0, put_fact("usage", usage_json(WASTED)), {"totals"}),
    "other cost": ("results.jsonl", 0, put_fact("cost_usd", 0.5), {"totals"}),
    "an unknown error code": (
        "errors.jsonl", 2, put("error", {"code": "bad luck", "message": ""}), {"malformed", "pending", "totals"},
    ),
    "a failure of a line that has none": ("errors.jsonl", 0, put_fact("line", 5), {"unknown_custom_id", "pending", "totals"}),
    "no word on trying again": (
        "errors.jsonl", 2, lambda record: record["batchllm"].pop("retryable"), {"malformed", "pending", "totals"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", RECORDS)
def test_what_is_wrong_within_a_record_is_refuted_by_name(what: str, job: Path, folder: Path) -> None:
    file, place, change, expected = RECORDS[what]
    edit_record(folder / file, place, change)
    verdict = verify(job, folder)
    assert set(kinds(verdict)) == expected
    first = next(iter(verdict["findings"].values()))["examples"][0]
    assert (first["file"], first["at"]) == (file, place + 1) or first["line"] or first["file"] == "summary.json"


def test_a_line_that_is_answered_and_failed_has_two_records(job: Path, folder: Path) -> None:
    request = next(one for one in job_file(SETTINGS, job) if one.line == FAILS)
    assert isinstance(request, Request)
    edit(folder / "results.jsonl", lambda lines: lines.append(record_of(request).to_json()))
    assert kinds(verify(job, folder))["twice"] == 1


def test_a_superseded_record_is_named_with_the_one_that_counts(job: Path, folder: Path) -> None:
    edit(folder / "results.jsonl", lambda lines: lines.append(lines[0]))
    [example] = verify(job, folder)["findings"]["twice"]["examples"]
    assert example["message"] == "record 1 is superseded by record 6"
    assert (example["line"], example["custom_id"]) == (1, "doc-1")


def test_a_line_changed_since_it_was_answered_is_refuted(job: Path, folder: Path) -> None:
    lines = job_lines()
    lines[1]["prompt"] = "Count backwards"
    write_lines(job, lines)
    verdict = verify(job, folder)
    assert kinds(verdict) == {"changed": 1}
    assert "not_checked" in verdict["findings"]


def test_lines_added_since_are_pending_and_listed_with_their_ids(job: Path, folder: Path) -> None:
    write_lines(job, [*job_lines(), *({"custom_id": f"new-{number}", "prompt": "?"} for number in range(30))])
    verdict = verify(job, folder)
    pending = verdict["findings"]["pending"]
    assert pending["count"] == 30
    assert [one["custom_id"] for one in pending["examples"]] == [f"new-{number}" for number in range(SHOWN)]
    assert "      … and 10 more" in verdict_lines(verdict)


def test_answers_to_removed_lines_refute_until_a_run_has_named_them(job: Path, folder: Path) -> None:
    write_lines(job, job_lines()[1:6])
    assert kinds(verify(job, folder))["unknown_custom_id"] == 3  # an answer and the two bad lines' failures
    (folder / "errors.jsonl").write_bytes((folder / "errors.jsonl").read_bytes().splitlines(keepends=True)[2])
    edited = loads((folder / "summary.json").read_bytes()) | {"removed_lines": 1}
    (folder / "summary.json").write_bytes(dumps(edited))
    verdict = verify(job, folder)
    assert kinds(verdict) == {}
    assert verdict["findings"]["removed"]["count"] == 1
    assert verdict["findings"]["moved"]["count"] == 4


def test_lines_beyond_the_limit_are_told_from_pending_ones(job: Path, folder: Path) -> None:
    manifest = loads((folder / "job.json").read_bytes())
    manifest["settings"]["limit"] = 4
    (folder / "job.json").write_bytes(dumps(manifest))
    edit(folder / "results.jsonl", lambda lines: lines.pop())
    edit(folder / "errors.jsonl", lambda lines: lines.__delitem__(slice(0, 2)))
    assert set(kinds(verify(job, folder))) == {"beyond_limit", "totals"}


def test_a_run_that_was_cut_off_leaves_pending_lines_and_unchecked_totals(job: Path, folder: Path) -> None:
    for name in ("summary.json", "errors.jsonl"):
        (folder / name).unlink()
    edit(folder / "results.jsonl", lambda lines: lines.pop())
    verdict = verify(job, folder)
    assert kinds(verdict) == {"pending": 4}
    assert "not_checked" in verdict["findings"]


def test_while_a_run_writes_its_last_line_may_be_unfinished(job: Path, folder: Path) -> None:
    edit(folder / "results.jsonl", lambda lines: lines.append(b'{"id":"batch'))
    verdict = verify_folder(job, folder, manifest_of(folder), "process 7")
    assert kinds(verdict) == {}
    assert "process 7" in verdict_lines(verdict)[-1]


def test_a_reply_in_which_the_server_repeats_a_key_is_flagged_and_refutes_nothing(job: Path, folder: Path) -> None:
    edit(folder / "results.jsonl", lambda lines: lines.insert(0, lines.pop(0).replace(b'"id":"c"', b'"id":"c","id":"c"')))
    verdict = verify(job, folder)
    assert kinds(verdict) == {}
    assert verdict["findings"]["reply_repeats_key"]["count"] == 1


@pytest.mark.parametrize("content", [None, b"[]", b'{"format": 1}'])
def test_what_is_no_output_folder_is_bad_data(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "job.json").write_bytes(content)
    with pytest.raises(JobError) as caught:
        manifest_of(tmp_path)
    assert caught.value.exit_code is ExitCode.BAD_DATA


# -- any single mutation ------------------------------------------------------------------------------------------

FILES = ("results.jsonl", "errors.jsonl")
_counter = itertools.count()


@pytest.fixture
def mutant(job: Path, folder: Path, tmp_path: Path) -> Iterator[Callable[[str, bytes], Json]]:
    """A copy of the sound folder with other content in one of its files, verified."""

    def make(name: str, content: bytes) -> Json:
        copy = tmp_path / f"mutant-{next(_counter)}"
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(content)
        verdict = verify(job, copy)
        shutil.rmtree(copy)
        return verdict

    return make


MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


@MANY
@given(data=st.data())
def test_a_dropped_or_doubled_line_is_refuted(data: st.DataObject, folder: Path, mutant: Callable[[str, bytes], Json]) -> None:
    name = data.draw(st.sampled_from(FILES))
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 1))
    if data.draw(st.booleans()):
        del lines[place]
    else:
        lines.insert(data.draw(st.integers(0, len(lines))), lines[place])
    assert mutant(name, b"".join(lines))["exit_code"] == 1


@MANY
@given(data=st.data())
def test_a_truncated_file_is_refuted(data: st.DataObject, folder: Path, mutant: Callable[[str, bytes], Json]) -> None:
    name = data.draw(st.sampled_from(FILES))
    content = (folder / name).read_bytes()
    assert mutant(name, content[: data.draw(st.integers(0, len(content) - 1))])["exit_code"] != 0


def bound(line: bytes) -> Any:
    """What of a record a flipped byte cannot touch without being refuted: its keys, and which request it belongs to.

    The rest stands in the folder once (a reply, a duration) or is bound by sums alone (tokens, money).
    """
    record = orjson.loads(line)
    facts = record["batchllm"]
    kept = {
        key for key in ("line", "digest", "settings", "usage", "attempts", "cost_usd", "provider", "parsed") if key in facts
    }
    error = record["error"] and sorted(record["error"])
    return sorted(record), record["id"], record["custom_id"], error, kept, facts.get("digest"), facts.get("settings")


@settings(parent=MANY, max_examples=200)
@given(data=st.data())
def test_a_flipped_byte_is_refuted_or_leaves_all_that_is_bound(
    data: st.DataObject, folder: Path, mutant: Callable[[str, bytes], Json]
) -> None:
    name = data.draw(st.sampled_from(FILES))
    content = bytearray((folder / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    if mutant(name, bytes(content))["exit_code"]:
        return
    before, after = (folder / name).read_bytes().splitlines(), bytes(content).splitlines()
    assert list(map(bound, before)) == list(map(bound, after))


@MANY
@given(data=st.data())
def test_a_flipped_high_bit_is_never_overlooked(
    data: st.DataObject, folder: Path, mutant: Callable[[str, bytes], Json]
) -> None:
    """No byte of these files may have it: what is left is not UTF-8."""
    name = data.draw(st.sampled_from(FILES))
    content = bytearray((folder / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 0x80
    assert mutant(name, bytes(content))["exit_code"] != 0


# -- keys that stand twice ----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text('ab":\\ é', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab":\\ é', max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(value=st.dictionaries(st.text(max_size=3), JSON, max_size=3), dump=st.sampled_from([
    orjson.dumps, lambda value: orjson.dumps(value, option=orjson.OPT_INDENT_2).replace(b"\n", b" "),
    lambda value: __import__("json").dumps(value).encode(),
]))  # fmt: skip
def test_keys_that_stand_once_are_never_called_repeated(value: Json, dump: Callable[[Json], bytes]) -> None:
    raw = dump(value)
    assert repeats_key(raw, loads(raw)) is None


@pytest.mark.parametrize(
    ("raw", "whose"),
    [
        (b'{"a":1,"a":1}', "ours"),
        (b'{"a" : 1, "a":2}', "ours"),
        (b'{"a\\\\":1,"a\\\\":2}', "ours"),
        (b'{"batchllm":{"line":1,"line":1}}', "ours"),
        (b'{"response":{"body":{"a":1,"a":2}}}', "theirs"),
        (b'{"response":{"body":{"a":1,"\\u0061":2}}}', "theirs"),
        (b'{"x":"\\u003a","response":{"body":{"a":1,"a":2}}}', "theirs"),
    ],
)
def test_a_key_that_stands_twice_is_found_however_it_is_written(raw: bytes, whose: str) -> None:
    assert repeats_key(raw, loads(raw)) == whose


# -- repair -------------------------------------------------------------------------------------------------------


def test_repair_moves_damaged_lines_aside_and_keeps_every_other_byte(job: Path, folder: Path) -> None:
    path = folder / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"rubbish\n", *lines[1:], b'{"custom_id":"doc-9"}\n', b'{"torn']))
    [said] = repair(Storage(), folder)
    assert path.read_bytes() == b"".join(lines)
    [aside] = folder.glob("results.jsonl.damaged-*")
    assert aside.read_bytes() == b'rubbish\n{"custom_id":"doc-9"}\n{"torn'
    assert said.startswith("results.jsonl: 3 damaged lines (36 bytes) were moved to results.jsonl.damaged-")
    assert "about 300 tokens, $0.0060" in said
    assert verify(job, folder)["exit_code"] == 0


def test_repair_keeps_a_last_line_that_lacks_only_its_line_feed(job: Path, folder: Path) -> None:
    path = folder / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert repair(Storage(), folder) == ["results.jsonl: the last line lacked its line feed; it was complete and is kept"]
    assert path.read_bytes() == whole


def test_repair_writes_nothing_where_nothing_is_damaged(folder: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert repair(Storage(), folder) == []
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


# -- results of other tools ---------------------------------------------------------------------------------------

OK = {"status_code": 200, "request_id": "r", "body": {"choices": []}}
OUTCOMES: list[tuple[Json, tuple[bool, str, str]]] = [
    ({"response": OK, "error": None}, (True, "", "")),
    ({"response": OK}, (True, "", "")),
    ({"response": {**OK, "status_code": 0}, "error": None}, (False, "no_response", "there is no answer and no reason")),
    ({"response": {**OK, "body": None}, "error": None}, (False, "status 200", "there is no answer and no reason")),
    ({"response": None, "error": {"code": "batch_expired", "message": "late"}}, (False, "batch_expired", "late")),
    (
        {"response": {"status_code": 400, "body": {"error": {"code": "bad", "message": "no", "type": "t"}}}, "error": None},
        (False, "bad", "no"),
    ),
    (
        {"response": {"status_code": 400, "request_id": "v", "body": None}, "error": "must not be sent in stream mode"},
        (False, "status 400", "must not be sent in stream mode"),
    ),
    (
        {
            "response": {"status_code": 404, "body": None},
            "error": {"error": {"message": "gone", "type": "NotFound", "code": 404}},
        },
        (False, "404", "gone"),
    ),
    ({"response": OK, "error": "yes and no"}, (False, "status 200", "yes and no")),
    ({}, (False, "no_response", "there is no answer and no reason")),
]


@pytest.mark.parametrize(("line", "expected"), OUTCOMES)
def test_every_shape_of_answer_and_error_is_read(line: Json, expected: tuple[bool, str, str]) -> None:
    said = outcome({"custom_id": "a", **line})
    assert (said.answered, said.code, said.message) == expected


def test_files_of_other_tools_are_held_against_the_job_by_custom_id(tmp_path: Path) -> None:
    job = write_lines(tmp_path / "job.jsonl", [{"custom_id": f"r{number}", "body": {}} for number in range(6)])
    done = write_lines(tmp_path / "out.jsonl", [
        {"custom_id": "r0", "response": OK, "error": None}, {"custom_id": "r1", "response": OK},
        {"custom_id": "r1", "response": OK}, {"custom_id": "stranger", "response": OK},
    ])  # fmt: skip
    failed = write_lines(tmp_path / "err.jsonl", [
        {"custom_id": "r2", "response": {"status_code": 429, "body": {"error": {"code": "rate_limit", "message": "no"}}}},
        {"custom_id": "r0", "response": None, "error": "twice"},
    ])  # fmt: skip
    found = ForeignVerification(job, [done, failed])
    found.run()
    assert {str(flaw): count for flaw, count in found.findings.counts.items() if count} == {
        "twice": 2, "unknown_custom_id": 1, "pending": 3,
    }  # fmt: skip
    shown = found.findings.as_json()["pending"]["examples"]
    assert [(one["line"], one["custom_id"]) for one in shown] == [(4, "r3"), (5, "r4"), (6, "r5")]
    assert (found.answered, found.failed, dict(found.failures)) == (2, 1, {"rate_limit": 1})


def test_a_job_line_that_nothing_can_answer_refutes_the_files_of_other_tools(tmp_path: Path) -> None:
    job = tmp_path / "job.jsonl"
    job.write_bytes(b'{"custom_id":"a"}\nnonsense\n{"custom_id":"a"}\n')
    done = write_lines(tmp_path / "out.jsonl", [{"custom_id": "a", "response": OK}])
    found = ForeignVerification(job, [done])
    found.run()
    assert {str(flaw): count for flaw, count in found.findings.counts.items() if count} == {"bad_job_line": 2}
    assert found.counts()["pending"] == 2

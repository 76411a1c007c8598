"""What goes in and out, without a network: records, lines, tokens, uploads' names, requests to make a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.gateway.api_error import ApiError
from batchllm.gateway.lines import BatchLine, findings
from batchllm.gateway.objects import new_batch, whole_number, window_s
from batchllm.gateway.outcome import batch_form
from batchllm.gateway.places import Places
from batchllm.gateway.tenants import add_token, everybody, hashed, read_tenants
from batchllm.gateway.upload import _filename
from batchllm.gateway_settings import Gateway
from batchllm.records import Record
from batchllm.sources.request_line import RequestLine
from batchllm.types import BadLine, Request

MEAN = ',"error":null,"batchllm":{"line":1}}'
FACTS: dict[str, dict[str, Any]] = {
    "plain": {"line": 1, "usage": {"prompt_tokens": 3}},
    "with the words that part them": {"line": 1, "parsed": {"text": MEAN}},
    "as fields of a schema": {"line": 1, "parsed": {"x": 1, "error": None, "batchllm": {"line": 2}}},
}


@pytest.mark.parametrize("reply", [{"text": "fine"}, {"text": MEAN}, {"x": 1, "error": None, "batchllm": {"line": 7}}])
@pytest.mark.parametrize("name", FACTS)
def test_a_record_goes_out_as_the_batch_api_writes_it(name: str, reply: dict[str, Any]) -> None:
    raw = Record(1, "doc-1", "d" * 32, 200, "req_1", orjson.dumps(reply), facts=FACTS[name]).to_json()
    whole = orjson.loads(raw)
    line = batch_form(raw.rstrip(b"\n"))
    assert line.endswith(b"\n")
    assert orjson.loads(line) == {key: whole[key] for key in ("id", "custom_id", "response", "error")}


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"custom_id":', b"null"])
def test_what_is_no_record_is_told(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever json says
        batch_form(raw)


LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"x"}]}}'
OTHER_LINES = {
    "no id": (LINE.replace(b'"custom_id":"a",', b""), "missing_required_parameter", "custom_id"),
    "another endpoint": (LINE.replace(b"/v1/chat/completions", b"/v1/embeddings").replace(b"messages", b"input"), "url_mismatch", "url"),
    "the short form": (b'{"custom_id":"a","model":"m","prompt":"x"}', "missing_required_parameter", "body"),
    "another method": (LINE.replace(b"POST", b"GET"), "invalid_request", None),
    "no JSON": (b"{", "invalid_json_line", None),
    "a key in the line": (LINE.replace(b'"model"', b'"api_key":"k","model"'), "invalid_request", None),
}  # fmt: skip


def test_a_line_of_the_batch_api_is_taken_as_it_is() -> None:
    one = BatchLine(RequestLine({}, "/v1/chat/completions"), "/v1/chat/completions").read(1, LINE)
    assert isinstance(one, Request)
    assert one.custom_id == "a"


@pytest.mark.parametrize("name", OTHER_LINES)
def test_any_other_line_is_a_finding_with_its_number_and_parameter(name: str) -> None:
    raw, code, param = OTHER_LINES[name]
    one = BatchLine(RequestLine({}, "/v1/chat/completions"), "/v1/chat/completions").read(7, raw)
    assert isinstance(one, BadLine)
    found = findings([one], 1)["data"]
    assert [(entry["code"], entry["param"], entry["line"]) for entry in found] == [(code, param, 7)]


def test_findings_that_are_not_shown_are_counted() -> None:
    bad = BadLine(1, "a", ErrorCode.DUPLICATE_CUSTOM_ID, "taken")
    assert [entry["code"] for entry in findings([bad], 5)["data"]] == ["duplicate_custom_id", "more_errors"]
    assert "4 more" in findings([bad], 5)["data"][1]["message"]


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("1h", 3600), ("7d", 604800), ("30d", 2592000)])
def test_a_window_is_hours_or_days(text: str, seconds: int) -> None:
    assert window_s(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "0h", "31d", "721h", "24H", "-1h", "1.5h", "٣h", "24h ", "9999999h"])
def test_any_other_window_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        window_s(text)
    assert (refused.value.status, refused.value.param) == (400, "completion_window")


@pytest.mark.parametrize("body", [None, [], "text", 7, {}, {"input_file_id": 7}])
def test_what_is_no_request_for_a_batch_is_refused(body: Any) -> None:
    with pytest.raises(ApiError) as refused:
        new_batch(body)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["0", "101", "x", "", "1e1", "-1", "٣", "1" * 10])
def test_a_number_in_a_query_is_within_its_bounds(text: str) -> None:
    with pytest.raises(ApiError):
        whole_number(text, "limit", 1, 100, 20)
    assert whole_number(None, "limit", 1, 100, 20) == 20


def test_a_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    alice, bob = add_token(path, "alice"), add_token(path, "bob.of-the_night")
    assert alice != bob
    text = path.read_text()
    assert hashed(alice) in text
    assert alice not in text
    tenants = read_tenants(path, Gateway(quota_batches=7))
    found = [tenants.of(header) for header in (f"Bearer {alice}", f"bearer {bob}", "Bearer x", alice, "", None)]
    assert [one and one.name for one in found] == ["alice", "bob.of-the_night", None, None, None, None]
    assert found[0] is not None
    assert found[0].quota.batches == 7


WRONG_TOKENS = {
    "none at all": "",
    "two of the same": '[a]\nsha256 = ["{h}"]\n[b]\nsha256 = ["{h}"]\n',
    "a token for a hash": '[a]\nsha256 = ["bl-secret-token"]\n',
    "a wrong name": '["a/b"]\nsha256 = ["{h}"]\n',
    "an unknown key": '[a]\nsha256 = ["{h}"]\ntokens = 1\n',
    "no table": "a = 1\n",
    "no hashes": "[a]\nsha256 = []\n",
}


@pytest.mark.parametrize("name", WRONG_TOKENS)
def test_a_file_of_tokens_with_a_mistake_is_refused_without_showing_any(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(WRONG_TOKENS[name].replace("{h}", hashed("x")))
    with pytest.raises(JobError) as refused:
        read_tenants(path, Gateway())
    assert refused.value.exit_code is ExitCode.USAGE
    assert "bl-secret-token" not in str(refused.value)


def test_a_tenant_may_have_quotas_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f'[a]\nsha256 = ["{hashed("t")}"]\nlines = 5\n')
    tenant = read_tenants(path, Gateway(quota_batches=3)).of("Bearer t")
    assert tenant is not None
    assert (tenant.quota.lines, tenant.quota.batches) == (5, 3)
    assert everybody(Gateway()).of(None) is not None


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a.jsonl", "a.jsonl"), ("../../etc/passwd", "passwd"), ("C:\\x\\job.jsonl", "job.jsonl"), (None, "upload.jsonl"),
     ("a\x00\nb", "ab"), ("/", "upload.jsonl"), ("é" * 300, "é" * 200)],
)  # fmt: skip
def test_an_uploads_name_is_no_path(given: str | None, kept: str) -> None:
    assert _filename(given) == kept


def test_a_start_removes_what_no_book_names_and_nothing_else(tmp_path: Path) -> None:
    places = Places(tmp_path / "data")
    places.take().close()
    for path in (places.file("file-known"), places.file("file-lost"), places.incoming / "half", places.job("batch_gone")):
        path.write_text("x")
    places.job("batch_open").write_text("x")
    for name in ("batch_open", "batch_gone"):
        places.journal(name).mkdir()
    assert places.sweep({"file-known"}, {"batch_open"}) == 3
    assert {path.name for path in places.files.iterdir()} == {"file-known"}
    assert {path.name for path in places.journals.iterdir()} == {"batch_open"}
    assert {path.name for path in places.jobs.iterdir()} == {"batch_open.jsonl"}
    assert list(places.incoming.iterdir()) == []
    places.check()
    (places.root / "thesis.docx").write_text("x")
    with pytest.raises(JobError) as other:
        places.check()
    assert other.value.exit_code is ExitCode.BAD_DATA

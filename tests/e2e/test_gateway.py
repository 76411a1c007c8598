"""The gateway as its clients see it: the official SDK and curl, against a fault server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from batchllm.gateway.tenants import Quota
from tests.e2e.gateways import ALICE, BOB, KEY, House, ended, house, job, lines, submit, until, upload
from tests.faultserver import (
    FaultServer,
    Gate,
    Request,
    Step,
    delayed,
    echo,
    error,
    error_body,
    ok_chat,
    redirect,
    run_in_thread,
    sse,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway before an endpoint that echoes what it is asked."""
    with run_in_thread(echo) as server, house(tmp_path_factory.mktemp("shared"), server.base_url) as one:
        yield one


def test_a_batch_of_the_sdk_comes_back_with_an_answer_to_every_line(shared: House) -> None:
    client = shared.client()
    made = submit(client, job("one", "two", "three"), metadata={"night": "7"})
    assert (made.object, made.request_counts.total, made.metadata) == ("batch", 0, {"night": "7"})
    batch = shared.ended(made.id)
    assert batch.status == "completed"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 3, 0)
    assert batch.error_file_id is None
    assert batch.usage is not None
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0
    found = lines(client, batch.output_file_id)
    said = {name: one["response"]["body"]["choices"][0]["message"]["content"] for name, one in found.items()}
    assert said.keys() == {"line-1", "line-2", "line-3"}
    assert all(text in said[name] for name, text in (("line-1", "one"), ("line-2", "two"), ("line-3", "three")))
    assert all(one.keys() == {"id", "custom_id", "response", "error"} for one in found.values())
    output = client.files.retrieve(str(batch.output_file_id))
    assert (output.purpose, output.bytes) == ("batch_output", len(client.files.content(output.id).content))


def test_a_batch_leaves_nothing_behind_but_its_files(shared: House) -> None:
    shared.ended(submit(shared.client(), job("once")).id)
    for name in ("jobs", "batches", "incoming"):
        until(lambda name=name: list((shared.folder / "gateway" / name).iterdir()), lambda left: not left)


def test_curl_gets_through_too(shared: House, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")
    path = tmp_path / "job.jsonl"
    path.write_bytes(job("by curl"))

    def ask(*more: str) -> dict[str, Any]:
        command = [curl, "-sS", "--max-time", "20", "-H", f"Authorization: Bearer {ALICE}", *more]
        value: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return value

    file = ask("-F", "purpose=batch", "-F", f"file=@{path}", f"{shared.base_url}/files")
    assert (file["filename"], file["bytes"]) == ("job.jsonl", path.stat().st_size)
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = ask("-H", "Content-Type: application/json", "-d", json.dumps(asked), f"{shared.base_url}/batches")
    assert shared.ended(made["id"]).status == "completed"


def test_lists_are_paged_newest_first_and_show_nobody_elses(shared: House) -> None:
    client, bob = shared.client(), shared.client(BOB)
    ids = [submit(client, job(f"page {number}")).id for number in range(3)]
    other = submit(bob, job("of bob")).id
    first = client.batches.list(limit=2)
    assert [one.id for one in first.data] == [ids[2], ids[1]]
    assert first.has_more
    assert client.batches.list(limit=1, after=ids[1]).data[0].id == ids[0]
    assert other not in {one.id for one in client.batches.list(limit=100)}
    assert [one.id for one in bob.batches.list()] == [other]
    files = client.files.list(limit=2, order="asc", purpose="batch").data
    assert files[0].created_at <= files[1].created_at
    for one in (*ids, other):
        ended(client if one != other else bob, one)


OTHERS: dict[str, Callable[[openai.OpenAI, str, str], Any]] = {
    "a file": lambda bob, file, batch: bob.files.retrieve(file),
    "its content": lambda bob, file, batch: bob.files.content(file),
    "its deletion": lambda bob, file, batch: bob.files.delete(file),
    "a batch": lambda bob, file, batch: bob.batches.retrieve(batch),
    "its end": lambda bob, file, batch: bob.batches.cancel(batch),
    "a batch of the file": lambda bob, file, batch: bob.batches.create(
        input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_tenants_id_is_as_unknown_as_one_that_was_never_made(what: str, shared: House) -> None:
    client, bob = shared.client(), shared.client(BOB)
    made = submit(client, job("secret"))
    file, batch = made.input_file_id, made.id
    with pytest.raises(openai.NotFoundError) as other:
        OTHERS[what](bob, file, batch)
    with pytest.raises(openai.NotFoundError) as never:
        OTHERS[what](bob, "file-never", "batch_never")
    told = str(other.value).replace(file, "ID").replace(batch, "ID")
    assert told == str(never.value).replace("file-never", "ID").replace("batch_never", "ID")
    assert client.files.retrieve(file).id == file
    assert shared.ended(batch).status == "completed"


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", f"Basic {ALICE}", f"Bearer {KEY}", ALICE])
def test_a_wrong_token_gets_the_apis_own_error(header: str | None, shared: House) -> None:
    headers = {} if header is None else {"Authorization": header}
    reply = httpx.get(f"{shared.base_url}/files", headers=headers)
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert "wrong" not in reply.text
    with pytest.raises(openai.AuthenticationError):
        shared.client("bl-nobody").batches.list()


REFUSED = {
    "no input": ({"input_file_id": None}, 400, "input_file_id"),
    "an unknown file": ({"input_file_id": "file-0"}, 404, "id"),
    "a path for a file": ({"input_file_id": "../gateway.sqlite3"}, 404, "id"),
    "another endpoint": ({"endpoint": "/v1/anything"}, 400, "endpoint"),
    "a host for an endpoint": ({"endpoint": "http://elsewhere/v1/chat/completions"}, 400, "endpoint"),
    "no window": ({"completion_window": "soon"}, 400, "completion_window"),
    "too long a window": ({"completion_window": "31d"}, 400, "completion_window"),
    "metadata of numbers": ({"metadata": {"a": 1}}, 400, "metadata.a"),
    "too much metadata": ({"metadata": {str(number): "" for number in range(17)}}, 400, "metadata"),
    "too short a life": ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, 400, "output_expires_after.seconds"),
    "another anchor": ({"output_expires_after": {"anchor": "now", "seconds": 3600}}, 400, "output_expires_after.anchor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_batch_that_cannot_be_made_is_refused_by_its_parameter(name: str, shared: House) -> None:
    change, status, param = REFUSED[name]
    client = shared.client()
    body = {"input_file_id": upload(client, job("x")), "endpoint": "/v1/chat/completions", "completion_window": "24h", **change}
    headers = {"Authorization": f"Bearer {ALICE}"}
    reply = httpx.post(f"{shared.base_url}/batches", headers=headers, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


BAD = {
    "no JSON": (b"{nonsense\n", "invalid_json_line", None),
    "another endpoint": (job("x").replace(b"chat/completions", b"embeddings"), "url_mismatch", "url"),
    "no custom_id": (job("x").replace(b'"custom_id": "line-1", ', b""), "missing_required_parameter", "custom_id"),
    "the short form": (b'{"custom_id": "a", "prompt": "x"}\n', "missing_required_parameter", "body"),
    "twice the same id": (job("x") + job("x"), "duplicate_custom_id", "custom_id"),
    "another host": (job("x", base_url="http://elsewhere"), "invalid_request", None),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_fails_the_batch_with_its_number_and_sends_nothing(name: str, tmp_path: Path) -> None:
    raw, code, param = BAD[name]
    with run_in_thread(echo) as server, house(tmp_path, server.base_url) as one:
        good = job("good").replace(b"line-1", b"good-1")
        batch = one.ended(submit(one.client(), good + b"\n" + raw).id)
        assert batch.status == "failed"
        assert batch.errors is not None
        assert batch.errors.data is not None
        found = batch.errors.data[0]
        assert (found.code, found.param, found.line) == (code, param, 4 if name == "twice the same id" else 3)
        assert (batch.output_file_id, batch.error_file_id, len(server.calls)) == (None, None, 0)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty_file"), (b"\n\n", "empty_file"), (b"\xff\xfe{\x00}\x00", "invalid_file"), (b"[]\n", "invalid_json_line")],
)
def test_a_file_without_a_single_line_fails_the_batch(content: bytes, code: str, shared: House) -> None:
    batch = shared.ended(submit(shared.client(), content).id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [found.code for found in batch.errors.data or ()] == [code]
    assert str(shared.folder) not in batch.model_dump_json()


def test_more_lines_than_a_batch_may_have_fail_it(tmp_path: Path) -> None:
    with run_in_thread(echo) as server, house(tmp_path, server.base_url, limits={"max_lines": 2}) as one:
        batch = one.ended(submit(one.client(), job("a", "b", "c")).id)
        assert batch.status == "failed"
        assert batch.errors is not None
        assert [found.code for found in batch.errors.data or ()] == ["too_many_tasks"]
        assert server.calls == []


def test_lines_that_fail_stand_in_the_error_file_and_the_others_are_answered(tmp_path: Path) -> None:
    """Also where the first lines are all refused alike: they may be of one tenant, and say nothing of the others'."""

    def answer(request: Request) -> Step:
        return error(404, error_body("no such model", "model_not_found")) if "bad" in request.text else ok_chat("fine")

    with run_in_thread(answer) as server, house(tmp_path, server.base_url) as one:
        client = one.client()
        batch = one.ended(submit(client, job(*["bad"] * 30, "good")).id)
        assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 1, 30)
        assert lines(client, batch.output_file_id).keys() == {"line-31"}
        failed = lines(client, batch.error_file_id)
        assert len(failed) == 30
        assert failed["line-1"]["response"]["status_code"] == 404
        assert failed["line-1"]["response"]["body"]["error"]["code"] == "model_not_found"
        assert failed["line-1"]["error"] is None


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[FaultServer, Gate, Path]]:
    """An endpoint that answers `slow` requests only once the gate is open, and any other at once."""
    gate = Gate()
    try:
        with run_in_thread(
            lambda request: delayed(echo(request), until=gate) if "slow" in request.text else echo(request)
        ) as server:
            yield server, gate, tmp_path
    finally:
        gate.open()


def test_a_cancelled_batch_keeps_what_was_in_flight_and_names_the_rest(held: tuple[FaultServer, Gate, Path]) -> None:
    server, gate, folder = held
    with house(folder, server.base_url, concurrency=2) as one:
        client = one.client()
        made = submit(client, job(*["slow"] * 5))
        server.wait_until(lambda: server.in_flight == 2)
        assert client.batches.cancel(made.id).status == "cancelling"
        gate.open()
        batch = one.ended(made.id)
        assert (batch.status, batch.request_counts.completed, len(server.calls)) == ("cancelled", 2, 2)
        answered, rest = lines(client, batch.output_file_id), lines(client, batch.error_file_id)
        assert answered.keys() | rest.keys() == {f"line-{number}" for number in range(1, 6)}
        assert {(record["error"]["code"], record["response"]) for record in rest.values()} == {("batch_cancelled", None)}
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(made.id)


def test_a_window_that_is_over_ends_the_batch_with_what_it_has(held: tuple[FaultServer, Gate, Path]) -> None:
    server, gate, folder = held
    with house(folder, server.base_url, concurrency=2) as one:
        client = one.client()
        made = submit(client, job(*["slow"] * 4), completion_window="1h")
        server.wait_until(lambda: server.in_flight == 2)
        keep = {"anchor": "created_at", "seconds": 3600}
        short = client.files.create(file=("a.jsonl", b"{}"), purpose="batch", expires_after=keep).id
        one.clock.now += 3601
        until(lambda: (folder / "gateway" / "files" / short).exists(), lambda there: not there)  # it has looked at the clock
        gate.open()
        batch = one.ended(made.id)
        assert (batch.status, batch.request_counts.completed, len(server.calls)) == ("expired", 2, 2)
        assert len(lines(client, batch.output_file_id)) == 2
        rest = lines(client, batch.error_file_id)
        assert [record["error"]["code"] for record in rest.values()] == ["batch_expired"] * 2


def test_files_go_when_their_time_is_over(tmp_path: Path) -> None:
    with run_in_thread(echo) as server, house(tmp_path, server.base_url) as one:
        client = one.client()
        keep = {"anchor": "created_at", "seconds": 3600}
        made = client.files.create(file=("a.jsonl", job("x")), purpose="batch", expires_after=keep)
        assert made.expires_at == made.created_at + 3600
        batch = one.ended(submit(client, job("x"), output_expires_after=keep).id)
        one.clock.now += 3600
        for name in (made.id, str(batch.output_file_id)):
            with pytest.raises(openai.NotFoundError):
                client.files.retrieve(name)
            until(lambda name=name: (tmp_path / "gateway" / "files" / name).exists(), lambda there: not there)


def test_more_batches_begin_where_a_few_do_not_fill_the_slots(held: tuple[FaultServer, Gate, Path]) -> None:
    server, gate, folder = held
    with house(folder, server.base_url, concurrency=8) as one:
        made = [submit(one.client(), job("slow")).id for _ in range(7)]
        server.wait_until(lambda: server.in_flight == 7)
        gate.open()
        assert {one.ended(name).status for name in made} == {"completed"}


def test_a_live_request_goes_before_every_line_of_a_batch(held: tuple[FaultServer, Gate, Path]) -> None:
    server, gate, folder = held
    with house(folder, server.base_url, concurrency=1) as one, ThreadPoolExecutor(1) as threads:
        made = submit(one.client(), job(*[f"slow {number}" for number in range(5)]))
        server.wait_until(lambda: server.in_flight == 1)
        live = threads.submit(one.client(BOB).chat.completions.create, **_chat("live"))
        until(lambda: _metric(one, "live_waiting"), lambda value: value == 1)
        gate.open()
        assert "live" in str(live.result().choices[0].message.content)
        assert one.ended(made.id).status == "completed"
        assert ["live" in call.text for call in server.calls] == [False, True, False, False, False, False]


def _chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def _metric(one: House, name: str) -> float:
    text = httpx.get(one.base_url.removesuffix("/v1") + "/metrics").text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"batchllm_gateway_{name} "))


def test_a_live_stream_comes_through_piece_by_piece(tmp_path: Path) -> None:
    with run_in_thread(lambda request: sse(["so", " it", " goes"])) as server, house(tmp_path, server.base_url) as one:
        stream = one.client().chat.completions.create(stream=True, **_chat("x"))
        assert "".join(event.choices[0].delta.content or "" for event in stream if event.choices) == "so it goes"
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


LIVE: dict[str, tuple[Step, int, str | None]] = {
    "a refusal": (error(400, error_body("too long", "context_length_exceeded")), 400, "context_length_exceeded"),
    "too many": (error(429, error_body("slowly", "rate_limit_exceeded"), ("Retry-After", "7")), 429, "rate_limit_exceeded"),
    "a wrong upstream key": (error(401, error_body("who?", "invalid_api_key")), 502, "upstream_authentication"),
    "a redirect": (redirect(307, "http://127.0.0.1:9/v1/chat/completions"), 502, "upstream_redirect"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", LIVE)
def test_what_the_endpoint_says_no_to_a_live_request_is_told_as_it_is(name: str, stream: bool, tmp_path: Path) -> None:
    step, status, code = LIVE[name]
    with run_in_thread(lambda request: step) as server, house(tmp_path, server.base_url) as one:
        headers = {"Authorization": f"Bearer {ALICE}"}
        reply = httpx.post(f"{one.base_url}/chat/completions", headers=headers, json=_chat("x", stream=stream), timeout=20)
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
        assert len(server.calls) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_upstream_key_is_never_handed_on(stream: bool, tmp_path: Path) -> None:
    def answer(request: Request) -> Step:
        told = f"your key is {KEY}"
        return sse([told]) if stream else ok_chat(told)

    with run_in_thread(answer) as server, house(tmp_path, server.base_url) as one:
        headers = {"Authorization": f"Bearer {ALICE}"}
        reply = httpx.post(f"{one.base_url}/chat/completions", headers=headers, json=_chat("x", stream=stream), timeout=20)
        assert reply.status_code == 200
        assert "[key]" in reply.text
        client = one.client()
        batch = one.ended(submit(client, job("x", stream=stream)).id)
        shown = client.files.content(str(batch.output_file_id)).text + reply.text
        assert KEY not in shown
        assert ALICE not in "".join(str(dict(call.headers)) for call in server.calls)


LIMITED = {
    "file bytes": (Quota(400, 10, 100), openai.PermissionDeniedError, "quota_exceeded"),
    "batches": (Quota(1 << 20, 1, 100), openai.RateLimitError, "batch_queue_full"),
    "lines": (Quota(1 << 20, 10, 3), openai.RateLimitError, "batch_queue_full"),
}


@pytest.mark.parametrize("name", LIMITED)
def test_a_quota_keeps_one_tenant_from_taking_everything(name: str, held: tuple[FaultServer, Gate, Path]) -> None:
    server, gate, folder = held
    quota, kind, code = LIMITED[name]
    with house(folder, server.base_url, quotas={"alice": quota}) as one:
        first = submit(one.client(), job("slow", "slow"))
        with pytest.raises(kind) as refused:
            submit(one.client(), job("slow", "slow"))
        assert refused.value.code == code
        other = submit(one.client(BOB), job("quick"))
        assert one.ended(other.id, BOB).status == "completed"
        gate.open()
        assert one.ended(first.id).status == "completed"


def test_the_same_idempotency_key_makes_one_batch(shared: House) -> None:
    client = shared.client()
    given = {"input_file_id": upload(client, job("once")), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    again = {"Idempotency-Key": "night-7"}
    first, second = (client.batches.create(**given, extra_headers=again) for _ in range(2))
    assert first.id == second.id
    with pytest.raises(openai.ConflictError):
        client.batches.create(**{**given, "completion_window": "7d"}, extra_headers=again)
    assert shared.ended(first.id).request_counts.total == 1


def test_a_refused_account_holds_a_batch_until_it_is_mended(tmp_path: Path) -> None:
    answers = iter([error(401, error_body("who?", "invalid_api_key"))])
    with run_in_thread(lambda request: next(answers, None) or echo(request)) as server:
        with house(tmp_path, server.base_url, concurrency=1) as one:
            made = submit(one.client(), job("a", "b"))
            server.wait_until(lambda: len(server.calls) == 1)
            until(lambda: one.client().batches.retrieve(made.id).status, lambda status: status == "in_progress")
        with house(tmp_path, server.base_url, concurrency=1) as one:
            assert one.ended(made.id).status == "completed"
            assert len(server.calls) == 3


MALFORMED: dict[str, tuple[str, bytes]] = {
    "no multipart": ("application/json", b"{}"),
    "no boundary": ("multipart/form-data", b"--x\r\n\r\n--x--\r\n"),
    "nothing": ("multipart/form-data; boundary=x", b""),
    "garbage": ("multipart/form-data; boundary=x", bytes(range(256)) * 2000),
    "one long line": ("multipart/form-data; boundary=x", b"a" * 3_000_000),
    "never ended": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"{}\n" * 1000,
    ),
    "no file": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n'),
    "no purpose": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}\r\n--x--\r\n',
    ),
    "a field without end": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"batch" * 100_000 + b"\r\n--x--\r\n",
    ),
    "a nested body": (
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n--y--\r\n--x--\r\n",
    ),
    "an odd encoding": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Encoding: nonsense\r\n\r\n{}\r\n--x--\r\n',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_upload_is_refused_and_leaves_nothing(name: str, shared: House) -> None:
    kind, body = MALFORMED[name]
    before = len(list((shared.folder / "gateway" / "files").iterdir()))
    headers = {"Authorization": f"Bearer {ALICE}", "Content-Type": kind}
    reply = httpx.post(f"{shared.base_url}/files", headers=headers, content=body, timeout=20)
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert len(list((shared.folder / "gateway" / "files").iterdir())) == before
    assert list((shared.folder / "gateway" / "incoming").iterdir()) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_above_the_limit_is_refused_however_it_is_sent(chunked: bool, tmp_path: Path) -> None:
    with run_in_thread(echo) as server, house(tmp_path, server.base_url, limits={"max_file": 10_000}) as one:
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        body = head + b"{}\n" * 1_000_000 + b"\r\n--x--\r\n"
        content: Any = iter([body[at : at + 65536] for at in range(0, len(body), 65536)]) if chunked else body
        headers = {"Authorization": f"Bearer {ALICE}", "Content-Type": "multipart/form-data; boundary=x"}
        reply = httpx.post(f"{one.base_url}/files", headers=headers, content=content, timeout=20)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "file_too_large")
        assert list((tmp_path / "gateway" / "incoming").iterdir()) == []


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("PUT", "/v1/files", 405)])
def test_what_there_is_not_is_said_in_the_apis_shape(method: str, path: str, status: int, shared: House) -> None:
    headers = {"Authorization": f"Bearer {ALICE}"}
    reply = httpx.request(method, shared.base_url.removesuffix("/v1") + path, headers=headers)
    assert reply.status_code == status
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}


def test_metrics_name_no_tenant_and_no_batch(shared: House) -> None:
    batch = shared.ended(submit(shared.client(), job("counted")).id)
    text = httpx.get(shared.base_url.removesuffix("/v1") + "/metrics").text
    assert 'batchllm_gateway_batches{status="completed"}' in text
    assert 'batchllm_gateway_lines_total{outcome="answered"}' in text
    assert batch.id not in text
    assert "alice" not in text

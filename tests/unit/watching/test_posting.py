"""Posts to those who are told of a run: tried again where that helps, never redirected, their URL told to nobody."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from batchllm.watching.notices import HealthCheck, Webhook
from batchllm.watching.posting import WAITS_S, Sender
from tests.unit.watching.listener import listening
from tests.unit.watching.looked_at import run_at, summary


def sender(waits: list[float] | None = None) -> Sender:
    return Sender(pause=(waits if waits is not None else []).append)


@pytest.mark.parametrize(
    ("answers", "tries", "problem"),
    [
        ((200,), 1, None),
        ((204,), 1, None),
        ((503, 200), 2, None),
        ((429, 500, 200), 3, None),
        ((500,), 3, "HTTP 500"),
        ((404,), 1, "HTTP 404"),
        ((302,), 1, "HTTP 302"),
        ((307,), 1, "HTTP 307"),
    ],
    ids=str,
)
def test_a_post_is_tried_again_where_that_may_help(answers: tuple[int, ...], tries: int, problem: str | None) -> None:
    waits: list[float] = []
    with listening(*answers) as listener:
        assert sender(waits).post(f"{listener.url}/T/secret", b"x", "text/plain") == problem
    assert [path for path, _ in listener.got] == ["/T/secret"] * tries
    assert waits == list(WAITS_S[: tries - 1])


def test_nobody_there_is_said_without_the_url() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    problem = sender().post(f"http://127.0.0.1:{port}/T/secret", b"x", "text/plain")
    assert problem == "ConnectionRefusedError"


def test_the_environments_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with listening(200) as listener:
        assert sender().post(listener.url, b"x", "text/plain") is None
    with listening(200) as proxy:
        assert Sender(proxy.url).post("http://somewhere.internal/x", b"x", "text/plain") is None
    assert proxy.got == [("http://somewhere.internal/x", b"x")]


def test_a_webhook_is_told_the_end_once_as_slack_reads_it() -> None:
    with listening(200) as listener:
        hook = Webhook(f"{listener.url}/T/secret", sender())
        hook.started(run_at())
        hook.finished(summary(), 1)
    ((path, body),) = listener.got
    told = json.loads(body)
    assert path == "/T/secret"
    assert told["text"].startswith("batchllm extract.jsonl: finished; some lines failed for good (exit 1)")
    assert told["batchllm"]["ended"]["exit_code"] == 1


@pytest.mark.parametrize(("code", "last"), [(0, "/ping/uuid"), (1, "/ping/uuid/1"), (75, "/ping/uuid/75")])
def test_a_health_check_hears_the_start_first_and_then_how_it_ended(code: int, last: str) -> None:
    with listening(200) as listener:
        check = HealthCheck(f"{listener.url}/ping/uuid", sender())
        check.started(run_at())
        check.finished(summary(), code)
    assert [path for path, _ in listener.got] == ["/ping/uuid/start", last]
    assert b"secret prompt" not in listener.got[-1][1]


def test_a_notice_that_fails_is_said_without_its_url(capsys: Any) -> None:
    with listening(404) as listener:
        Webhook(f"{listener.url}/T/secret", sender()).finished(summary(), 0)
        check = HealthCheck(f"{listener.url}/T/secret", sender())
        check.started(run_at())
        check.finished(summary(), 0)
    told = capsys.readouterr().err
    assert told.count("HTTP 404") == 3
    assert "secret" not in told

"""What a ping concludes from replies, and what it asks in another way: against scripted replies, without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from batchllm import assembly
from batchllm.cli.ping import Ping, lines, ping
from batchllm.configuration import Configuration
from batchllm.errors import ExitCode, Phase, TransportError
from batchllm.protocols import Feed
from batchllm.settings import checked
from batchllm.strictjson import dumps, loads
from batchllm.testing.fake_transport import as_stream, chat_reply, error_reply
from batchllm.types import Call, Json, Reply

Answers = Callable[[Json], Reply]
MODELS = Reply(200, {}, dumps({"data": [{"id": "first"}, {"id": "second"}]}), 0.01)


class Scripted:
    """A transport that answers GET with a list of models and POST from a script; `sent` are the bodies that came."""

    def __init__(self, answers: Answers, models: Reply | TransportError = MODELS) -> None:
        self.sent: list[Json] = []
        self._answers = answers
        self._models = models

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        if call.method == "GET":
            if isinstance(self._models, TransportError):
                raise self._models
            return self._models
        self.sent.append(loads(call.body))
        reply = self._answers(self.sent[-1])
        if feed is not None and reply.status == 200:
            reply = replace(as_stream(reply), ttft_s=0.01)
            feed(reply.body)
        return reply


def pinged(transport: Scripted, **settings: Any) -> Ping:
    configuration = Configuration(checked({"base_url": "http://localhost:8000/v1", **settings}, {}), {})
    made = assembly.parts(configuration, Path(), Path(), command="ping")
    return ping(replace(made, transport=lambda: transport))


def found(one: Ping) -> dict[str, bool | None]:
    return {check.name: check.ok for check in one.checks}


def words(one: Ping, name: str) -> str:
    return next(check.words for check in one.checks if check.name == name)


def good(body: Json) -> Reply:
    """An endpoint that keeps every promise."""
    return chat_reply('{"ok": true}' if "response_format" in body else "Hello.")


def test_the_first_listed_model_is_asked_unless_one_is_named() -> None:
    one = pinged(Scripted(good))
    assert (one.model, one.requests, one.exit_code) == ("first", 5, ExitCode.OK)
    assert all(ok is True for name, ok in found(one).items() if name != "reasoning")
    assert pinged(Scripted(good), model="second").model == "second"


def test_a_limit_by_another_name_is_used_from_then_on() -> None:
    def answers(body: Json) -> Reply:
        if "max_tokens" in body:
            return error_reply(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return good(body)

    transport = Scripted(answers)
    one = pinged(transport)
    assert "max_completion_tokens" in words(one, "chat")
    assert one.exit_code is ExitCode.OK
    assert ["max_tokens" in body for body in transport.sent] == [True, False, False, False, False]


def test_a_server_that_refuses_stream_options_still_streams() -> None:
    def answers(body: Json) -> Reply:
        return error_reply(400, "unknown field stream_options") if "stream_options" in body else good(body)

    one = pinged(Scripted(answers))
    assert found(one)["streaming"] is True
    assert found(one)["usage in streams"] is False
    assert "unknown field stream_options" in words(one, "usage in streams")


def test_a_format_that_is_taken_and_ignored_is_told_from_one_that_is_refused() -> None:
    def answers(body: Json) -> Reply:
        form = body.get("response_format", {}).get("type")
        return error_reply(400, "json_object is not supported") if form == "json_object" else chat_reply("Hello.")

    one = pinged(Scripted(answers))
    assert (found(one)["json_schema"], found(one)["json_object"]) == (False, False)
    assert "not kept" in words(one, "json_schema")
    assert "not supported" in words(one, "json_object")


@pytest.mark.parametrize(("text", "kept"), [('{"ok": tr', True), ("Hello, I", False)])
def test_an_answer_our_own_limit_cut_off_counts_by_its_beginning(text: str, kept: bool) -> None:
    one = pinged(Scripted(lambda body: chat_reply(text if "response_format" in body else "Hi", finish="length")))
    assert found(one)["json_schema"] is kept
    assert found(one)["chat"] is True


def test_thinking_in_the_text_is_told_as_such() -> None:
    one = pinged(Scripted(lambda body: chat_reply("<think>Hm.</think>Hello.")))
    assert "<think>" in words(one, "reasoning")


def test_an_endpoint_without_a_list_needs_a_model_by_name() -> None:
    transport = Scripted(good, error_reply(404, "no such path"))
    nameless = pinged(transport)
    assert (nameless.exit_code, transport.sent) == (ExitCode.USAGE, [])
    named = pinged(Scripted(good, error_reply(404, "no such path")), model="m")
    assert (named.exit_code, found(named)["models"]) == (ExitCode.OK, None)


@pytest.mark.parametrize("where", ["list", "chat"])
def test_a_refused_key_ends_the_ping(where: str) -> None:
    refusal = error_reply(401, "who are you?")
    one = pinged(Scripted(lambda body: refusal, refusal if where == "list" else MODELS))
    assert one.exit_code is ExitCode.ACCOUNT
    assert found(one)["key"] is False
    assert "who are you?" in words(one, "key")
    assert one.requests == (1 if where == "list" else 2)


def test_nobody_there_is_one_request_and_one_line() -> None:
    one = pinged(Scripted(good, TransportError(Phase.CONNECT, "the connection was refused or failed")))
    assert (one.exit_code, one.requests) == (ExitCode.UNAVAILABLE, 1)
    assert lines(one)[1:] == ["  ✗ reachable         the connection was refused or failed", "  1 request"]

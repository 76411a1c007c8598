"""`batchllm chat`: a conversation with the configured endpoint, to try a prompt before it is run ten thousand times."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from batchllm.chat import FIELDS, Command, CommandError, Conversation, Say, obey, parse
from batchllm.cli.ask_command import whole
from batchllm.cli.asking import Outcome, ask, configuration_of, connected
from batchllm.cli.live import Live, live_on
from batchllm.configuration import Configuration
from batchllm.endpoints import suffix
from batchllm.errors import ExitCode, JobError
from batchllm.parts import Parts
from batchllm.sources.request_line import RequestLine
from batchllm.strictjson import dumps
from batchllm.terminal import say
from batchllm.types import BadLine, Request

PROMPT = "> "


def main(args: Namespace) -> int:
    configuration = configuration_of(args)
    conversation = begun(configuration, args.system)
    with connected(configuration, "batchllm chat") as made:
        session = Session(made, conversation, live_on(sys.stdout))
        if sys.stdin.isatty():
            model = conversation.params.get("model", "no model")
            say(f"{made.facts.endpoint} ({model}); /help lists the commands, Ctrl-D ends")
            session.run(_typed())
            return int(ExitCode.OK)
        session.run(_piped())
        return int(session.first_failure)


def begun(configuration: Configuration, system: str | None) -> Conversation:
    """A conversation that starts from the settings. Raises `JobError` (2) for a path nobody can talk to."""
    settings = configuration.settings
    held_in = FIELDS.get(suffix(settings.url) or "")
    if held_in is None:
        known = " or ".join(f"/v1/{name}" for name in FIELDS)
        raise JobError(ExitCode.USAGE, f"a conversation needs the url {known}, not {settings.url}; `batchllm ask` asks others")
    model = {} if settings.model is None else {"model": settings.model}
    return Conversation(settings.url, held_in, {**model, **settings.body}, settings.stream is not False, system)


def _typed() -> Iterator[str | None]:
    """Lines as they are typed; None where Ctrl-C threw one away."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - input() then edits and remembers lines
    while True:
        try:
            if not sys.stdout.isatty():  # what is kept in a file are the answers
                print(PROMPT, end="", file=sys.stderr, flush=True)
            yield input(PROMPT if sys.stdout.isatty() else "")
        except KeyboardInterrupt:
            print()
            yield None
        except EOFError:
            print()
            return


def _piped() -> Iterator[str | None]:
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise JobError(ExitCode.USAGE, f"line {number} of the script is not valid UTF-8") from None


class Session:
    """A conversation in progress. `first_failure` is the exit code of the first line that came to nothing."""

    def __init__(self, made: Parts, conversation: Conversation, live: Live | None) -> None:
        self.conversation = conversation
        self.first_failure = ExitCode.OK
        self._made = made
        self._live = live
        self._reader = RequestLine({}, conversation.url)
        self._spoken = 0

    def run(self, lines: Iterator[str | None]) -> None:
        for line in lines:
            entry = None if line is None else parse(line)
            if entry == Command("exit") or entry == Command("quit"):
                return
            try:
                if isinstance(entry, Say):
                    self._say(entry.text)
                elif entry is not None:
                    self._obey(entry)
            except CommandError as error:
                self._failed(ExitCode.SOME_FAILED, str(error))
            except JobError as error:
                self._failed(error.exit_code, str(error))

    def _obey(self, command: Command) -> None:
        lines = [self._save(command.argument)] if command.name == "save" else obey(self.conversation, command)
        for line in lines:
            say(line)

    def _save(self, name: str) -> str:
        if not name:
            raise CommandError("say /save FILE.jsonl")
        custom_id = datetime.now(UTC).strftime("chat-%Y%m%dT%H%M%S.%fZ")
        line = dumps(self.conversation.saved(custom_id)) + b"\n"
        path = Path(name).expanduser()
        try:
            append_line(path, line)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from None
        return f"{path}: one line added, {custom_id}"

    def _say(self, text: str) -> None:
        self._spoken += 1
        request = self._reader.read(self._spoken, dumps(self.conversation.line(text)))
        if isinstance(request, BadLine):
            return self._failed(ExitCode.SOME_FAILED, request.message)
        if self._live is not None:
            self._live.restart()
        try:
            outcome = self._answer(request)
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            return self._stopped(text)
        return self._answered(text, outcome)

    def _answer(self, request: Request) -> Outcome:
        route = replace(self._made.route, stream=self.conversation.stream)
        with asyncio.Runner() as runner:
            return runner.run(ask(replace(self._made, route=route), request, self._live))

    def _answered(self, text: str, outcome: Outcome) -> None:
        record = outcome.record
        if self._live is not None:
            self._live.finish(record.facts.get("reasoning"), record.text)
        elif record.text is not None or record.ok:
            print(whole(record), flush=True)
        self.conversation.count(record.usage, record.facts.get("cost_usd"))
        self.conversation.keep(text, record.text)
        if not record.ok:
            self._failed(outcome.exit_code, record.message)

    def _stopped(self, text: str) -> None:
        """Ctrl-C: what was shown of the answer is what the conversation remembers."""
        shown = ""
        if self._live is not None:
            shown = self._live.text
            self._live.finish(None, shown)
        self.conversation.keep(text, shown)
        say("stopped" if shown.strip() else "stopped before an answer came; the question is forgotten")

    def _failed(self, code: ExitCode, message: str) -> None:
        say(message)
        if self.first_failure is ExitCode.OK:
            self.first_failure = code


def append_line(path: Path, line: bytes) -> None:
    """Add a line at the end of a file; a new file is its owner's alone, and a last line without its end gets it first."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "rb+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write(b"\n" + line if torn else line)

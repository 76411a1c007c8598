"""The jobs that are crashed: small, deterministic, and between them through every path that touches the output folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchllm.errors import TransportError
from batchllm.testing import Ledger, chat_reply, error_reply
from batchllm.testing.fake_transport import Script
from batchllm.types import Json, Reply

CONCURRENCY = 4
USELESS = {"doc 9": 1}


@dataclass(frozen=True)
class Scene:
    """One job and how it is run.

    `script` answers it; `earlier` lives the runs before the crash and gives their ledger. `changed` are custom_ids whose
    old records may go, `useless` how many paid answers a text gets in vain. `ends` is the exit code of a run that nothing
    disturbs.
    """

    name: str
    lines: tuple[bytes, ...]
    script: Script
    flags: dict[str, Any] = field(default_factory=dict)
    ends: int = 0
    earlier: Callable[[Scene, Path], Ledger] | None = None
    changed: frozenset[str] = frozenset()
    useless: dict[str, int] = field(default_factory=dict)

    def write_job(self, path: Path) -> Path:
        path.write_bytes(b"\n".join(self.lines) + b"\n")
        return path


def line(number: int, text: str | None = None, **more: Any) -> bytes:
    return json.dumps({"custom_id": f"doc-{number}", "prompt": text or f"doc {number}", **more}).encode()


def echo(text: str, nth: int, body: Json) -> Reply | TransportError:
    return chat_reply(f"« {text} » — ответ 回答 {'.' * (len(text) * 7 % 90)}")


def troubled(text: str, nth: int, body: Json) -> Reply | TransportError:
    """By the number in the prompt: refused once, broken once, refused for good, empty (paid, but of no use), or answered."""
    number = int(text.split()[-1])
    if number % 5 == 1 and not nth:
        return error_reply(429, "slow down", retry_after="2")
    if number % 5 == 2 and not nth:
        return error_reply(500)
    if number % 5 == 3:
        return error_reply(400, f"bad {number}")
    if number == 9 and not nth:
        return chat_reply("")
    return echo(text, nth, body)


def _plain() -> Scene:
    return Scene("plain", tuple(line(n) for n in range(1, 15)), echo, {"durability": "each"})


def _ungrouped() -> Scene:
    return Scene("ungrouped", tuple(line(n) for n in range(1, 15)), echo, {"durability": "none"})


def _troubled() -> Scene:
    lines = (*(line(n) for n in range(1, 13)), b'{"custom_id": "torn", "prompt', line(4), b"", line(14))
    return Scene("troubled", lines, troubled, {"durability": "each", "ordered": True}, ends=1, useless=USELESS)


def _resumed() -> Scene:
    """A run was killed in the midst of a line of each file; since then the job has changed, failed lines are asked again."""
    lines = tuple(line(n, f"doc {n}" if n % 4 else f"new doc {n}") for n in range(1, 15))
    return Scene(
        "resumed", lines, troubled, {"durability": "each", "retry_failed": True}, ends=1, earlier=_left_torn,
        changed=frozenset(f"doc-{n}" for n in range(4, 15, 4)), useless=USELESS,
    )  # fmt: skip


def _left_torn(scene: Scene, folder: Path) -> Ledger:
    from tests.crash.lives import Life

    before = Scene("before", tuple(line(n) for n in range(1, 11)), troubled, {"durability": "none"}, ends=1)
    life = Life(before, folder)
    assert life.run() == 1
    for name in ("results.jsonl", "attempts.jsonl"):
        with (folder / name).open("ab") as file:
            file.write('{"id": "batch_req_1", "custom_id": "doc-11", "response": {"body": "回'.encode()[:-1])
    return life.ledger


def _unended() -> Scene:
    """The last line of each file is whole but for its line feed: it was paid for."""
    lines = tuple(line(n) for n in range(1, 11))
    return Scene("unended", lines, troubled, {"durability": "none"}, ends=1, earlier=_left_unended, useless=USELESS)


def _left_unended(scene: Scene, folder: Path) -> Ledger:
    from tests.crash.lives import Life

    before = Scene("before", scene.lines[:6], troubled, {"durability": "none"}, ends=1)
    life = Life(before, folder)
    assert life.run() == 1
    for name in ("results.jsonl", "attempts.jsonl"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-1])
    return life.ledger


def _fresh() -> Scene:
    return Scene("fresh", tuple(line(n) for n in range(1, 7)), echo, {"durability": "each", "fresh": True}, earlier=_left_whole)


def _left_whole(scene: Scene, folder: Path) -> Ledger:
    from tests.crash.lives import Life

    life = Life(Scene("before", scene.lines, echo), folder)
    assert life.run() == 0
    return life.ledger


def _streamed() -> Scene:
    return Scene("streamed", tuple(line(n) for n in range(1, 9)), echo, {"durability": "each", "stream": True})


def _equal() -> Scene:
    """Most lines ask what another one asks, which is answered, refused, or fails for good; an earlier run has begun."""
    lines = tuple(line(n, f"doc {(n - 1) % 6 + 1}", temperature=0) for n in range(1, 19))
    return Scene("equal", lines, troubled, {"durability": "each"}, ends=1, earlier=_left_begun)


def _left_begun(scene: Scene, folder: Path) -> Ledger:
    from tests.crash.lives import Life

    life = Life(Scene("before", scene.lines[:2], troubled, {"durability": "none"}), folder)
    assert life.run() == 0
    return life.ledger


def _batched() -> Scene:
    """Enough lines for the thread that syncs to form groups of its own while the run goes on."""
    return Scene("batched", tuple(line(n) for n in range(1, 601)), echo, {"durability": "batch"})


SCENES = {one.name: one for one in (_plain(), _ungrouped(), _troubled(), _resumed(), _unended(), _streamed(), _equal())}
FRESH = _fresh()
GROUPED = _batched()

"""What an outsider knows of a folder: the job as it stands, what the endpoint answers, and what the files say.

Every answer says which text it answers and with which model, so that a record tells by itself what it is the answer to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchllm.errors import Phase, TransportError
from batchllm.testing import chat_reply, error_reply
from batchllm.testing.promises import strict
from batchllm.types import Json, Reply
from tests.crash.scenes import line

BAD_LINE = b'{"custom_id": "torn", "prompt'
KINDS = 11
"""One line in so many meets each kind of trouble; a refusal comes last, since it slows the others down."""
WRONG = 8
"""The kind that fails for good."""
_MARK = re.compile(rb"<<([^|>]*)\|([^>]*)>>")

Mark = tuple[str, str]
"""What an answer answers: the text and the model."""
Answers = Counter[tuple[str, Mark]]
"""Answers by `custom_id` and what they answer."""


def answer(text: str, nth: int, body: Json) -> Reply | TransportError:
    """By the number in the text: refused once, broken once, wrong for good, broken off once, empty once, or answered."""
    trouble = kind(text)
    said = f"<<{text}|{body['model']}>>"
    if trouble == 0 and not nth:
        return error_reply(429, "slow down", retry_after="2")
    if trouble == 7 and not nth:
        return error_reply(500)
    if trouble == WRONG:
        return error_reply(400, f"no: {said}")
    if trouble == 9 and not nth:
        return TransportError(Phase.READ, "broke off", status=200, partial=b'{"id": "cut')
    return chat_reply("" if trouble == 10 and not nth else said)


def kind(text: str) -> int:
    return int(text.split()[1]) % KINDS


@dataclass
class Job:
    """The lines as they stand now: a text for each `custom_id`, None for a line that was taken out, a bad one in between."""

    texts: dict[str, str | None] = field(default_factory=dict)
    bad: bool = False
    made: int = 0

    def append(self, count: int) -> None:
        for _ in range(count):
            self.made += 1
            self.texts[f"doc-{self.made}"] = f"doc {self.made} v0"

    def twin(self, at: int) -> None:
        """One more line that asks the same as another: a repeat that is meant."""
        text = self.texts[self._present(at)]
        self.made += 1
        self.texts[f"doc-{self.made}"] = text

    def insert(self) -> None:
        """A new line before all others."""
        self.made += 1
        self.texts = {f"doc-{self.made}": f"doc {self.made} v0", **self.texts}

    def edit(self, at: int) -> None:
        custom_id = self._present(at)
        self.made += 1
        self.texts[custom_id] = f"doc {custom_id.removeprefix('doc-')} v{self.made}"

    def remove(self, at: int) -> None:
        if len(self.present) > 1:
            self.texts[self._present(at)] = None

    def reverse(self) -> None:
        self.texts = dict(reversed(self.texts.items()))

    @property
    def present(self) -> dict[str, str]:
        return {custom_id: text for custom_id, text in self.texts.items() if text is not None}

    def _present(self, at: int) -> str:
        ids = list(self.present)
        return ids[at % len(ids)]

    @property
    def lines(self) -> tuple[bytes, ...]:
        made = [b"" if text is None else line(int(key.removeprefix("doc-")), text) for key, text in self.texts.items()]
        return (*made, BAD_LINE) if self.bad else tuple(made)

    @property
    def ends(self) -> int:
        """The exit code of a run that comes to its end."""
        return int(self.bad or any(kind(text) == WRONG for text in self.present.values()))


@dataclass(frozen=True)
class Standing:
    """What the files say: the last record of each `custom_id` with what it answers, and failures that are final."""

    lines: dict[str, bytes]
    answers: dict[str, Mark]
    every: Answers
    failed: frozenset[tuple[str, Mark]]


def lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [b""]


def documents(path: Path) -> Iterator[bytes]:
    """Whole documents, a last one that lacks only its line feed included."""
    return (raw for raw in lines(path) if whole(raw))


def rescued(folder: Path, prefix: bytes) -> Iterator[bytes]:
    """The lines of one file that a run could not force to disk, and put aside."""
    return (raw.removeprefix(prefix) for raw in lines(folder / ".rescue")[1:] if raw.startswith(prefix))


def files(folder: Path) -> Answers:
    return answers((*documents(folder / "results.jsonl"), *rescued(folder, b"results.jsonl ")))


def answers(raws: Iterable[bytes]) -> Answers:
    return Counter((strict(raw)["custom_id"], mark(raw)) for raw in raws if whole(raw))


def whole(raw: bytes) -> bool:
    try:
        return isinstance(strict(raw), dict)
    except ValueError:
        return False


def mark(raw: bytes) -> Mark:
    found = _MARK.search(raw)
    return (found[1].decode(), found[2].decode()) if found else ("", "")


def standing(folder: Path) -> Standing:
    last: dict[str, bytes] = {}
    marks: dict[str, Mark] = {}
    every: Answers = Counter()
    for raw in (*documents(folder / "results.jsonl"), *rescued(folder, b"results.jsonl ")):
        custom_id = strict(raw)["custom_id"]
        last[custom_id], marks[custom_id] = raw, mark(raw)
        every[custom_id, mark(raw)] += 1
    notes = (*documents(folder / "attempts.jsonl"), *rescued(folder, b"attempts.jsonl "))
    failed = frozenset((strict(raw)["custom_id"], mark(raw)) for raw in notes if b'"record"' in raw)
    return Standing(last, marks, every, failed)

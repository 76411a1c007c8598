"""Reading records to judge them: what can be read is handed on, what cannot is a finding, and reading goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from batchllm.findings import Finding, Findings, Flaw
from batchllm.journal.replay import MAX_RECORD
from batchllm.journal.soundness import parsed, repeats_key
from batchllm.sources.raw_lines import raw_lines
from batchllm.types import Json

Broken = Callable[[Json], str | None]
"""Why a JSON object is no record of its file; None if it is one."""


def sound_records(
    path: Path, broken: Broken | None, findings: Findings, *, flaw: Flaw = Flaw.DAMAGED, growing: bool = False
) -> Iterator[tuple[int, Json]]:
    """The records of a file with their line numbers, none if there is no file. Lines that are none count as `flaw`.

    With `growing` the file is being written: its last line may be unfinished.
    """
    if not path.is_file():
        return
    whole = ends_whole(path)
    bad: tuple[int, str] | None = None
    number = 0
    for number, raw in raw_lines(path, MAX_RECORD):
        if bad is not None:
            findings.add(flaw, Finding(bad[1], file=path.name, at=bad[0]))
            bad = None
        try:
            record = parsed(raw)
        except ValueError as error:
            bad = number, str(error)
            continue
        problem = broken(record) if broken else None
        if problem:
            bad = number, problem
            continue
        assert isinstance(raw, bytes)  # or it would not have parsed
        whose = repeats_key(raw, record)
        if whose:
            twice = Flaw.REPEATED_KEY if whose == "ours" else Flaw.REPLY_REPEATS_KEY
            findings.add(twice, Finding("a key stands twice", 0, str(record.get("custom_id")), path.name, number))
        yield number, record
    if not whole and not growing:
        findings.add(Flaw.TORN, Finding("there is no line feed at its end", file=path.name, at=number))
    elif bad is not None and whole:
        findings.add(flaw, Finding(bad[1], file=path.name, at=bad[0]))


def ends_whole(path: Path) -> bool:
    """Whether a file ends in a line feed, or is empty."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if not size:
            return True
        file.seek(-1, 2)
        return file.read(1) == b"\n"

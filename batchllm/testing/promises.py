"""What must hold of an output folder, checked from outside against what the endpoint answered, without our own readers."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

LINES = ("results.jsonl", "attempts.jsonl", "errors.jsonl")


@dataclass(frozen=True, slots=True)
class Findings:
    """`broken` names every promise that does not hold; `repeats` counts answers that were bought more than once."""

    broken: list[str] = field(default_factory=list)
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class JobLine:
    """A line of the job as an outsider reads it; `good` is false where no request can be made of it."""

    number: int
    custom_id: str
    text: str
    good: bool


def check_promises(
    folder: Path,
    job: Path,
    answers: Mapping[str, int],
    *,
    bound: int,
    kept: Mapping[str, bytes] | None = None,
) -> Findings:
    """Check a folder whose run has come to its end.

    `answers` counts what the endpoint answered, by last user text; `bound` is how many of those may be repeats; `kept`
    are the results that had been written (see `finished`) before whatever happened: they must still stand there, byte
    for byte. Every line of the job must have exactly one record, every file whole lines of strict JSON.
    """
    broken = [*_not_whole(folder), *_left_over(folder)]
    if broken:
        return Findings(broken)
    lines = list(job_lines(job))
    broken += _not_once(folder, lines)
    results = finished(folder)
    lost = [custom_id for custom_id, line in (kept or {}).items() if results.get(custom_id) != line]
    broken += [f"{custom_id}: its record was lost or changed" for custom_id in lost]
    broken += [f"line {one.number}: nobody was asked" for one in lines if one.good and not answers.get(one.text)]
    repeats = sum(count - 1 for count in answers.values() if count > 1)
    if repeats > bound:
        broken.append(f"{repeats} answers were bought again, the bound is {bound}")
    return Findings(broken, repeats)


def finished(folder: Path) -> dict[str, bytes]:
    """The last whole record of each custom_id in `results.jsonl`, as its bytes; torn and damaged lines are left out."""
    found = {}
    for line in _lines(folder / "results.jsonl"):
        if line.endswith(b"\n"):
            with contextlib.suppress(ValueError):
                found[strict(line)["custom_id"]] = line
    return found


def whole_lines(path: Path) -> list[Any]:
    """Every line of a file, parsed. Raises ValueError where one is torn or no strict JSON."""
    lines = _lines(path)
    if lines and not lines[-1].endswith(b"\n"):
        raise ValueError(f"{path.name}: the last line is torn")
    return [strict(line) for line in lines]


def strict(line: bytes) -> Any:
    """A JSON document as RFC 8259 has it: UTF-8, no NaN, no Infinity."""
    return json.loads(line.decode("utf-8"), parse_constant=_no_constant)


def job_lines(job: Path) -> Iterator[JobLine]:
    """The lines of a job that are not blank; the second of two with one custom_id is a bad one."""
    seen = set()
    for number, raw in enumerate(job.read_bytes().split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            value = strict(raw)
            text = value["prompt"] if "prompt" in value else value["messages"][-1]["content"]
        except (ValueError, KeyError, TypeError):
            yield JobLine(number, f"line-{number}", "", good=False)
            continue
        custom_id = value.get("custom_id", f"line-{number}")
        yield JobLine(number, custom_id, text, good=custom_id not in seen)
        seen.add(custom_id)


def _not_whole(folder: Path) -> Iterator[str]:
    for name in LINES:
        try:
            whole_lines(folder / name)
        except ValueError as error:
            yield f"{name}: {error}"
    for name in ("job.json", "summary.json"):
        try:
            strict((folder / name).read_bytes())
        except (OSError, ValueError) as error:
            yield f"{name}: {error}"


def _left_over(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if path.suffix == ".new" or path.name in (".reserve", ".rescue"):
            yield f"{path.name} was left behind"


def _not_once(folder: Path, lines: list[JobLine]) -> Iterator[str]:
    answered = Counter(record["custom_id"] for record in whole_lines(folder / "results.jsonl"))
    failed = Counter(record["batchllm"]["line"] for record in whole_lines(folder / "errors.jsonl"))
    for line in lines:
        count = failed[line.number] + (answered[line.custom_id] if line.good else 0)
        if count != 1:
            yield f"line {line.number} ({line.custom_id}) has {count} records"


def _lines(path: Path) -> list[bytes]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return [line + b"\n" for line in data.split(b"\n")[:-1]] + ([rest] if (rest := data.rpartition(b"\n")[2]) else [])


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

"""`batchllm jsonl`: one small function for each tool."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from batchllm.errors import ExitCode, JobError
from batchllm.jsonl.difference import Difference, differences
from batchllm.jsonl.fields import FieldError, changes
from batchllm.jsonl.openai_form import MOST_BYTES, MOST_LINES, FormError, ToOpenAI, from_openai
from batchllm.jsonl.parts import Cut, merge, split
from batchllm.jsonl.stats import Stats
from batchllm.jsonl.streams import lines, objects, refuse_two_pipes, shown
from batchllm.jsonl.validity import Validity, checks
from batchllm.prompting.sample import sample
from batchllm.sinks.pipe import STDOUT, target
from batchllm.strictjson import dumps
from batchllm.terminal import harmless, say
from batchllm.types import Json


def main(args: Namespace) -> int:
    return int(_TOOLS[args.tool](args))


def _print(text: str) -> None:
    print(harmless(text))


def _stats(args: Namespace) -> ExitCode:
    found, files = Stats(), args.files or [STDOUT]
    refuse_two_pipes(files)
    for file in files:
        found.add(lines(file))
    told = found.as_json()
    if args.json:
        print(orjson.dumps(told).decode())
    else:
        for name, value in _told(told):
            _print(f"{name:<13}{value}")
    return ExitCode.OK


def _told(told: Json) -> Iterator[tuple[str, str]]:
    """What is not empty, a line each."""
    for name, value in told.items():
        if name == "longest_line" and value["line"]:
            yield name.replace("_", " "), f"{value['bytes']:,} bytes (line {value['line']:,})"
        elif name == "first_bad" and value:
            yield "first bad", f"line {value['line']}: {value['message']}"
        elif isinstance(value, int) and (value or name in ("lines", "bytes")):
            yield name.replace("_", " "), f"{value:,}"
        elif isinstance(value, dict) and value and name not in ("longest_line", "first_bad"):
            yield name, ", ".join(f"{key} × {count:,}" for key, count in value.items())


def _validate(args: Namespace) -> ExitCode:
    found = Validity(checks(args.kind, args.model, args.schema, args.media_root))
    for number, raw in lines(args.file):
        found.add(number, raw)
    if args.json:
        print(orjson.dumps(found.as_json()).decode())
    else:
        for number, message in found.bad:
            _print(f"line {number}: {message}")
        if found.bad_count > len(found.bad):
            _print(f"… and {found.bad_count - len(found.bad):,} more")
        _print(f"{shown(args.file)}: {found.lines:,} lines, {found.bad_count:,} bad")
    return ExitCode.SOME_FAILED if found.bad_count else ExitCode.OK


def _split(args: Namespace) -> ExitCode:
    if args.parts is not None and (args.lines or args.bytes):
        raise JobError(ExitCode.USAGE, "--parts deals lines out; it does not go with --lines and --bytes")
    if args.parts is None and not args.lines and not args.bytes:
        raise JobError(ExitCode.USAGE, "say where to cut: --lines N, --bytes SIZE or --parts N")
    if args.output is None and args.file == STDOUT:
        raise JobError(ExitCode.USAGE, "what comes through a pipe has no name; give the parts one with -o STEM")
    stem = args.output or args.file.with_name(args.file.name.removesuffix(".gz"))
    for path in split(args.file, stem, Cut(args.lines, args.bytes, args.parts)):
        _print(str(path))
    return ExitCode.OK


def _merge(args: Namespace) -> ExitCode:
    refuse_two_pipes(args.files)
    with target(args.output) as file:
        done = merge(args.files, file, args.repeated)
    say(f"{done.lines:,} lines" + (f", {done.left_out:,} repeated ones left out" if done.left_out else ""))
    return ExitCode.OK


def _sample(args: Namespace) -> ExitCode:
    with target(args.output) as file:
        for _, raw in sample(lines(args.file), args.n, args.seed):
            file.write(raw + b"\n")
    return ExitCode.OK


def _diff(args: Namespace) -> ExitCode:
    found = Difference()
    if args.before == STDOUT:
        raise JobError(ExitCode.USAGE, "BEFORE is read twice, it has to be a file; AFTER may be - for stdin")
    if not args.before.is_file():
        raise JobError(ExitCode.BAD_DATA, f"{args.before}: there is no such file")
    for change in differences(args.before, args.after, found, ignore=frozenset(args.ignore)):
        if args.json:
            print(orjson.dumps(change.as_json()).decode())
        else:
            which = f" ({', '.join(change.fields[:8])})" if change.fields else ""
            _print(f"{change.what:<8} {change.custom_id}{which}")
    counts = ", ".join(f"{count:,} {what}" for what, count in found.counts.items())
    say(f"{counts}, {found.same:,} the same")
    return ExitCode.SOME_FAILED if found.any else ExitCode.OK


def _set(args: Namespace) -> ExitCode:
    words, file = list(args.words), STDOUT
    if words and "=" not in words[-1]:
        file = Path(words.pop())
    wanted = changes(words, args.delete)
    if not wanted:
        raise JobError(ExitCode.USAGE, "say what to set, FIELD=VALUE, or to --delete")

    def changed(_: int, values: Json) -> Json:
        for change in wanted:
            change.apply(values)
        return values

    return _mapped(file, args.output, changed)


def _from_openai(args: Namespace) -> ExitCode:
    return _mapped(args.file, args.output, lambda _, values: from_openai(values))


def _mapped(source: Path, output: Path, change: Callable[[int, Json], Json]) -> ExitCode:
    """Every object through a function. What it refuses ends the whole, naming the line; a file then stays as it was."""
    with target(output) as file:
        for number, values in objects(source):
            try:
                file.write(dumps(change(number, values)) + b"\n")
            except (FieldError, FormError) as error:
                raise JobError(ExitCode.BAD_DATA, f"{shown(source)}, line {number}: {error}") from None
    return ExitCode.OK


def _to_openai(args: Namespace) -> ExitCode:
    form = ToOpenAI(args.model, args.url)
    count = size = 0
    urls: set[str] = set()
    with target(args.output) as file:
        for number, raw in lines(args.file):
            try:
                line = form.line(number, raw)
            except FormError as error:
                raise JobError(ExitCode.BAD_DATA, f"{shown(args.file)}, line {number}: {error}") from None
            urls.add(line["url"])
            count += 1
            size += file.write(dumps(line) + b"\n")
    with contextlib.suppress(OSError):
        if count > MOST_LINES or size > MOST_BYTES:
            say(f"note: {count:,} lines, {size:,} bytes; the Batch API takes {MOST_LINES:,} lines and 200 MB a file: "
                "batchllm jsonl split --lines 50000 --bytes 200M")  # fmt: skip
        if len(urls) > 1:
            say(f"note: the Batch API takes one endpoint a file; here are {', '.join(sorted(urls))}")
    return ExitCode.OK


_TOOLS: dict[str, Callable[[Namespace], ExitCode]] = {
    "stats": _stats,
    "validate": _validate,
    "split": _split,
    "merge": _merge,
    "sample": _sample,
    "diff": _diff,
    "set": _set,
    "from-openai": _from_openai,
    "to-openai": _to_openai,
}

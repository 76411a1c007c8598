"""Arguments of `batchllm jsonl` and its tools."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

_EXAMPLES = """\
examples:
  batchllm jsonl stats reviews.jsonl
  batchllm jsonl validate reviews.jsonl --model m
  batchllm jsonl sample reviews.jsonl -n 2 --seed 1 -o some.jsonl
  batchllm jsonl set model=b temperature=0 reviews.jsonl -o changed.jsonl
  batchllm jsonl split reviews.jsonl --lines 2 -o part
  batchllm jsonl merge part-00001.jsonl part-00002.jsonl -o whole.jsonl
  batchllm jsonl to-openai reviews.jsonl --model m -o batch.jsonl
  batchllm jsonl from-openai batch.jsonl | batchllm jsonl stats -

FILE is a JSONL file, also .gz; - is stdin. What writes lines writes them to stdout, or whole to -o FILE.
exit codes: 0 done · 1 validate found bad lines, diff found changes · 2 bad usage · 65 a line is no JSON object"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    tools = parser.add_subparsers(title="tools", metavar="TOOL", required=True, dest="tool")
    for name, (about, arguments) in TOOLS.items():
        tool = tools.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        arguments(tool)


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", default=Path("-"), metavar="FILE", help="(default: stdin)")


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, default=Path("-"), metavar="FILE", help="(default: stdout)")


def _stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="(default: stdin)")
    parser.add_argument("--json", action="store_true", help="print it as one line of JSON")


def _validate(parser: argparse.ArgumentParser) -> None:
    _file(parser)
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("job", "openai", "json"),
        default="job",
        help="what each line has to be: a line of a job (default), one the Batch API takes, any JSON object",
    )
    parser.add_argument("--model", metavar="M", help="the model of lines that name none")
    parser.add_argument("--media-root", type=Path, metavar="DIR", help="lines may name images and sound in this folder")
    parser.add_argument("--schema", metavar="FILE.json", help="each line has to hold to this JSON Schema too")
    parser.add_argument("--json", action="store_true", help="print the findings as one line of JSON")


def _split(parser: argparse.ArgumentParser) -> None:
    _file(parser)
    parser.add_argument("--lines", type=_count, metavar="N", help="at most N lines a part")
    parser.add_argument("--bytes", type=_size, metavar="SIZE", help="at most so many bytes a part: 200M, 1G")
    parser.add_argument("--parts", type=_count, metavar="N", help="N parts, the lines dealt out in turn")
    parser.add_argument("-o", "--output", type=Path, metavar="STEM", help="writes STEM-00001.jsonl … (default: FILE's name)")


def _merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    _output(parser)
    parser.add_argument(
        "--repeated",
        choices=("refuse", "first", "keep"),
        default="refuse",
        help="what to do about a custom_id that stood before: refuse (default), keep the first, keep all",
    )


def _sample(parser: argparse.ArgumentParser) -> None:
    _file(parser)
    parser.add_argument("-n", type=_count, required=True, metavar="N", help="N lines, each as likely as any other, in order")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another sample (default: 0)")
    _output(parser)


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path, metavar="BEFORE")
    parser.add_argument("after", type=Path, metavar="AFTER", help="(- for stdin)")
    parser.add_argument("--ignore", action="append", default=[], metavar="FIELD", help="a field not to count; repeatable")
    parser.add_argument("--json", action="store_true", help="print each change as a line of JSON")


def _set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="FIELD=VALUE", help="fields by dotted names, then a file (default: stdin)")
    parser.add_argument("--delete", action="append", default=[], metavar="FIELD", help="take this field away; repeatable")
    _output(parser)


def _from_openai(parser: argparse.ArgumentParser) -> None:
    _file(parser)
    _output(parser)


def _to_openai(parser: argparse.ArgumentParser) -> None:
    _file(parser)
    _output(parser)
    parser.add_argument("--model", metavar="M", help="the model of lines that name none")
    parser.add_argument("--url", metavar="PATH", help="the endpoint of lines that name none (default: /v1/chat/completions)")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it has to be 1 or more")
    return value


def _size(text: str) -> int:
    factor = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:].upper(), 1)
    return _count(text if factor == 1 else text[:-1]) * factor


TOOLS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "stats": ("count what is in files: lines, ids, fields, models, outcomes, tokens", _stats),
    "validate": ("check every line, and say which are bad and why", _validate),
    "split": ("cut a file into several", _split),
    "merge": ("put files together, no custom_id twice", _merge),
    "sample": ("draw lines by chance", _sample),
    "diff": ("say which lines came, went and changed, by custom_id", _diff),
    "set": ("set or delete a field of every line", _set),
    "from-openai": ("make short lines out of OpenAI's Batch lines", _from_openai),
    "to-openai": ("make OpenAI's Batch lines out of a job", _to_openai),
}

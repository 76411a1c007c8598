"""Arguments of the commands that take a job: `run` and `check`."""

from __future__ import annotations

import argparse

from batchllm.cli import groups, table_arguments, watch_arguments
from batchllm.cli.groups import place

_RUN_EXAMPLES = """\
examples:
  the job that comes with the project, without a key or a network
      batchllm run jobs/extract.jsonl
  a job of your own against OpenAI (the key stands in OPENAI_API_KEY)
      batchllm run reviews.jsonl --provider openai --model gpt-4o-mini
  a vLLM of your own, answers checked against a pydantic model
      batchllm run reviews.jsonl --base-url http://localhost:8000/v1 --model qwen3 --schema schemas.py:Review
  the first ten lines only, then everything (finished lines are never asked twice)
      batchllm run reviews.jsonl --limit 10
      batchllm run reviews.jsonl
  ten lines first, then the rest if all of it is forecast to cost no more than 5 dollars
      batchllm run reviews.jsonl --model gpt-4o-mini --canary 10 --max-cost 5
  each row of a table, by a prompt template: the job is built first (`batchllm build --help` tells more)
      batchllm run reviews.csv --prompt 'Translate into English: {{ text }}' --model gpt-4o-mini
  at the batch price, answers within a day; and the same, but finished by six whatever happens
      batchllm run reviews.jsonl --provider openai --lane batch
      batchllm run reviews.jsonl --provider openai --lane auto --until 06:00
  after any stop, crash or deadline, go on where it stopped: the same command again

exit codes: 0 every line answered · 1 some failed for good · 2 bad usage, nothing sent · 65 no usable line, or the
  folder is another job's · 69 endpoint unavailable · 74 disk failed · 75 run again later · 77 account refused ·
  129/130/143 stopped by a signal. After 69, 74, 75, 77 and signals the same command goes on.
"""


def run(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _RUN_EXAMPLES
    groups.job(parser, place)
    about = "the output folder (default: outputs/<job's stem>); s3://, gs:// or az:// ships it there (docs/cloud.md)"
    parser.add_argument("-o", "--output", type=place, metavar="DIR", help=about)
    groups.endpoint(parser)
    groups.answers(parser)
    groups.media(parser)
    groups.pace(parser)
    groups.lane(parser)
    groups.scale(parser)
    group = parser.add_argument_group("what is done")
    group.add_argument("--limit", type=int, metavar="N", help="only the first N lines of the job")
    about = "ask N lines first, spread over the job; go on if the forecast fits the budget or you say so"
    group.add_argument("--canary", type=int, metavar="N", help=about)
    group.add_argument("--retry-failed", action="store_true", default=None, help="ask failed lines again too")
    group.add_argument("--on-change", choices=("refuse", "rerun", "keep"), help="if settings changed since the last run")
    group.add_argument(
        "--fresh", action="store_true", default=None, help="begin anew; the old folder is moved aside, never deleted"
    )
    group.add_argument("--strict", action="store_true", default=None, help="send nothing if any line is bad (exit 65)")
    group.add_argument(
        "--ordered", action="store_true", default=None, help="also write results.ordered.jsonl in the job's order"
    )
    group.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="leave report.html in the folder at the end (default: yes)",
    )
    group.add_argument("--dry-run", action="store_true", help="read, check and count everything; send nothing")
    groups.estimate(parser)
    table_arguments.run_table(parser)
    watch_arguments.notices(parser)
    groups.output(parser)


def check(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example:\n  batchllm check jobs/extract.jsonl\n\n"
        "exit codes: 0 every line is good · 1 some are bad · 2 bad settings · 65 none is usable"
    )
    groups.job(parser, place)
    groups.endpoint(parser)
    groups.answers(parser)
    groups.media(parser)
    groups.pace(parser)
    about = "the output folder, whose answers tell what others will use (default: outputs/<job's stem>)"
    parser.add_argument("-o", "--output", type=place, metavar="DIR", help=about)
    groups.estimate(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as one line of JSON on stdout")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N lines")

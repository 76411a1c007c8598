"""Arguments of the commands that take an output folder: `status`, `report`, `verify`."""

from __future__ import annotations

import argparse
from pathlib import Path

from batchllm.cli import groups
from batchllm.cli.groups import place

_FOLDER = "an output folder, also of a job that is running, or where one was shipped (s3://, gs://, az://)"


def status(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm status outputs/extract\n"
        "  batchllm status s3://bucket/out/reviews              (what was shipped so far; nothing is written there)"
    )
    parser.add_argument("folder", type=place, metavar="DIR", help=_FOLDER)
    parser.add_argument("--json", action="store_true", help="print it as one line of JSON on stdout")


def report(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm report outputs/extract                      (writes outputs/extract/report.html)\n"
        "  batchllm report outputs/extract -o /tmp/extract.html\n"
        "  batchllm report outputs/model-a outputs/model-b      (two runs side by side, in comparison.html)\n\n"
        "The page is one file, opens without a network and loads nothing. Its path is printed.\n\n"
        "exit codes: 0 written · 65 no run was made into this folder · 74 the page could not be written"
    )
    parser.add_argument("folder", type=place, metavar="DIR", help=_FOLDER)
    parser.add_argument(
        "other", type=place, nargs="?", metavar="DIR", help="another one, to compare: what changed from the first to this"
    )
    parser.add_argument("-o", "--output", type=place, metavar="FILE", help="where to write the page")


def verify(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm verify jobs/extract.jsonl outputs/extract\n"
        "  batchllm verify job.jsonl vllm-output.jsonl           (results of another tool, in the Batch API's form)\n"
        "  batchllm verify job.jsonl output.jsonl errors.jsonl   (files that belong together)\n\n"
        "exit codes: 0 proved · 1 refuted, with a list of what does not hold · 65 damaged or unreadable ·\n"
        "  75 --repair while a run is at work"
    )
    groups.job(parser, place)
    parser.add_argument(
        "results", type=place, nargs="+", metavar="DIR | FILE", help="an output folder, or Batch output files of any tool"
    )
    parser.add_argument("--repair", action="store_true", help="move damaged lines aside, so that a run asks for them again")
    parser.add_argument("--json", action="store_true", help="print the findings as one line of JSON on stdout")


def cancel(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm cancel outputs/extract\n"
        "  batchllm cancel outputs/extract --forget    (batches of an account that is gone: nothing is asked of it)\n\n"
        "What the batches have answered is kept and billed; other lines are pending again. The endpoint and the settings are\n"
        "those of the run, out of job.json; the key comes from the environment as ever.\n\n"
        "exit codes: 0 no batch is left · 2 bad settings · 65 no run was made into this folder · 69 endpoint unavailable ·\n"
        "  74 the disk failed · 75 another run holds the folder · 77 the account was refused"
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the output folder of a run with --lane batch or auto")
    about = "give unfinished batches up without asking the provider: their lines are paid for again"
    parser.add_argument("--forget", action="store_true", help=about)
    parser.add_argument("--quiet", action="store_true", help="no closing table; errors still show")

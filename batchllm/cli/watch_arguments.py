"""Arguments for whoever watches a run: `cron-example`, `diff`, `ctl`, `top`, and the notices of `run`."""

from __future__ import annotations

import argparse
from pathlib import Path

from batchllm.cli import groups


def notices(parser: argparse.ArgumentParser) -> None:
    """What `run` tells others. URLs are secrets: the environment is the better place for them."""
    group = parser.add_argument_group("who is told")
    group.add_argument("--on-finish", metavar="COMMAND", help="run this with the summary on its standard input at the end")
    group.add_argument("--webhook", metavar="URL", help="post the end of the run (Slack shows it; better: BATCHLLM_WEBHOOK)")
    group.add_argument("--health-url", metavar="URL", help="ping as healthchecks.io reads it (better: BATCHLLM_HEALTH_URL)")
    group.add_argument("--metrics-file", metavar="FILE.prom", help="write Prometheus metrics here, every 15 s and at the end")
    about = "send OpenTelemetry spans and metrics as OTEL_EXPORTER_OTLP_* say"
    group.add_argument("--otel", action="store_true", default=None, help=about)
    group.add_argument(
        "--ui", action="store_true", help="draw the live view instead of the bar (`batchllm top` does elsewhere)"
    )


def cron_example(parser: argparse.ArgumentParser) -> None:
    from batchllm.cli import job_arguments

    job_arguments.run(parser)
    parser.epilog = (
        "examples:\n"
        "  batchllm cron-example reviews.jsonl --at 01:30 --until 06:30 --model gpt-4o-mini\n"
        "  batchllm cron-example reviews.jsonl --every-hour --until 06:30 --mailto me@example.com\n\n"
        "Prints a crontab line, a systemd service and timer, and a logrotate snippet for this job in this folder, each with\n"
        "the options of `run` that are given here. Nothing is installed and nothing is sent. docs/cron.md tells the rest."
    )
    group = parser.add_argument_group("schedule")
    group.add_argument("--at", default="01:30", metavar="HH:MM", help="when the night's run begins (default 01:30)")
    group.add_argument("--every-hour", action="store_true", help="begin again each hour until --until, for what an outage left")
    group.add_argument("--mailto", metavar="ADDRESS", help="whom cron writes to when a person has to look")
    group.add_argument("--env-file", type=Path, metavar="FILE", help="where the key stands (default: .env in this folder)")


def diff(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n"
        "  batchllm diff reviews.jsonl outputs/reviews\n"
        "  batchllm diff reviews.jsonl outputs/reviews --model gpt-4o --json\n\n"
        "What `run` would find changed with the same options since the last run into DIR. Sends nothing, writes nothing.\n\n"
        "exit codes: 0 nothing to do · 1 something to do · 2 bad settings · 65 DIR or the job cannot be read"
    )
    groups.job(parser)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the output folder of an earlier run")
    groups.endpoint(parser)
    groups.answers(parser)
    groups.media(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N lines of the job")
    parser.add_argument("--retry-failed", action="store_true", default=None, help="count failed lines as to be asked")
    parser.add_argument("--json", action="store_true", help="print it as one line of JSON on stdout")


def ctl(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n"
        "  batchllm ctl outputs/extract status\n"
        "  batchllm ctl outputs/extract pause                    (nothing new is sent; what is in flight ends)\n"
        "  batchllm ctl outputs/extract resume\n"
        "  batchllm ctl outputs/extract set concurrency=8 rpm=120\n"
        "  batchllm ctl outputs/extract set rpm=none             (lifts that limit)\n"
        "  batchllm ctl outputs/extract stop                     (drains, as SIGTERM does; the same command goes on later)\n\n"
        "Works on a run of this machine and this user. The answer is one line of JSON: how the run stands after the order.\n\n"
        "exit codes: 0 done · 1 the run did not take the order · 2 bad usage · 69 no run is at work in DIR · 77 another user's"
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the output folder of a run that is at work")
    parser.add_argument("order", choices=("pause", "resume", "set", "status", "stop"), metavar="ORDER",
                        help="pause, resume, set, status or stop")  # fmt: skip
    parser.add_argument("values", nargs="*", metavar="NAME=VALUE", help="for set: concurrency, rpm, tpm")


def top(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example:\n  batchllm top outputs/extract\n\n"
        "Draws a run of this machine and this user until it ends; Ctrl-C ends the drawing only. Without a terminal it prints\n"
        "one picture. Needs the extra `ui`.\n\n"
        "exit codes: 0 · 2 the extra is missing · 69 no run is at work in DIR · 77 another user's"
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the output folder of a run that is at work")

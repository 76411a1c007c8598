"""Command-line flags as settings: what was not given does not override anything."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchllm.configuration import Configuration, load

_PLAIN = (
    "provider", "base_url", "serve", "serve_timeout", "api_key_env", "model", "proxy", "schema", "structured", "reask",
    "stream", "concurrency", "max_concurrency", "rpm", "tpm", "transport", "until", "max_runtime", "max_cost",
    "max_total_tokens", "canary", "tokenizer", "assume_max_tokens", "limit", "retry_failed", "on_change", "fresh",
    "strict", "ordered", "report", "on_finish", "webhook", "health_url", "metrics_file", "otel", "media_root",
    "image_max_px", "escalate", "pack", "dedupe", "prefix_order", "engine", "ray_address", "workers", "lane",
)  # fmt: skip
_SECRET = ("--webhook", "--health-url")


def flags_of(args: Namespace) -> dict[str, Any]:
    """The flags that were given, by the names of settings."""
    flags = {name: getattr(args, name) for name in _PLAIN if getattr(args, name, None) is not None}
    if getattr(args, "max_attempts", None) is not None:
        flags["retries"] = {"max_attempts": args.max_attempts}
    if getattr(args, "timeout", None) is not None:
        flags["timeouts"] = {"total": args.timeout, "first_byte": args.timeout}
    return flags


def configuration_for(args: Namespace) -> Configuration:
    """All settings of this command. Raises `JobError` (2)."""
    return load(args.job, flags_of(args))


def folder_for(args: Namespace) -> Path:
    """`-o`, or `outputs/<job's stem>`."""
    if args.output is not None:
        return Path(args.output)
    name = str(args.job.name).removesuffix(".gz").removesuffix(".jsonl")
    if getattr(args, "template", None) is not None or getattr(args, "prompt", None):  # a table, whatever its ending
        name = Path(name.partition("?")[0]).stem
    return Path("outputs") / name


def without_secrets(argv: Sequence[str]) -> list[str]:
    """A command line whose secret URLs are their names only: it is printed, and stands in files."""
    shown: list[str] = []
    hidden = ""
    for word in argv:
        name, equals, _ = word.partition("=")
        if hidden:
            shown.append(hidden)
            hidden = ""
        elif name in _SECRET:
            shown.append(f"{name}=URL" if equals else name)
            hidden = "" if equals else "URL"
        else:
            shown.append(word)
    return shown

"""`batchllm providers`."""

from __future__ import annotations

from argparse import Namespace

import orjson

from batchllm.errors import ExitCode, JobError
from batchllm.providers import Provider, names, provider


def main(args: Namespace) -> int:
    if args.name is not None and args.name not in names():
        raise JobError(ExitCode.USAGE, f"there is no provider '{args.name}'; known are: {', '.join(names())}")
    chosen = [provider(name) for name in ([args.name] if args.name else names())]
    if args.json:
        print(orjson.dumps([_json(one) for one in chosen]).decode())
    elif args.name:
        print(_full(chosen[0]))
    else:
        print(_table(chosen))
    return 0


def _table(rows: list[Provider]) -> str:
    lines = [f"{'name':<16}{'key in':<24}{'schema by':<13}base URL"]
    for one in rows:
        key = one.key_env[0] if one.key_env else "no key"
        lines.append(f"{one.name:<16}{key:<24}{one.structured:<13}{one.base_url or 'given by --base-url'}")
    lines.append("\n`batchllm providers NAME` tells a provider's quirks; any other server: --base-url URL [--api-key-env VAR]")
    return "\n".join(lines)


def _full(one: Provider) -> str:
    lines = [
        f"{one.name}: {one.title}",
        f"  base URL   {one.base_url or 'given by --base-url'}",
        f"  key        {' or '.join(one.key_env) or 'none'} ({one.auth})",
        f"  schema by  {one.structured}",
        f"  streams    usage {'in a last chunk' if one.stream_usage else 'not told'}",
    ]
    lines += [f"  note       {note}" for note in one.notes]
    return "\n".join(lines)


def _json(one: Provider) -> dict[str, object]:
    return {
        "name": one.name, "title": one.title, "base_url": one.base_url, "key_env": list(one.key_env), "auth": one.auth,
        "structured": one.structured, "stream_usage": one.stream_usage, "local": one.local, "notes": list(one.notes),
    }  # fmt: skip

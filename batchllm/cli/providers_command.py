"""`batchllm providers`: the endpoints known by name, built in and the user's own; with `--ping`, what of one works."""

from __future__ import annotations

import sys
from argparse import Namespace

import orjson

from batchllm.configuration import load
from batchllm.errors import ExitCode, JobError
from batchllm.providers import Provider, names, provider, provider_from
from batchllm.terminal import say

_LIMITS = {
    "x-ratelimit": "told in x-ratelimit-* headers: the run slows down before it is refused",
    "counts of a day": "told as counts of a day, in headers of its own",
    "none": "not told: refusals teach the rate",
    "unknown": "not known to be told; any header it sends is read",
}


def main(args: Namespace) -> int:
    if args.ping:
        return _ping(args)
    if args.base_url or args.model:
        raise JobError(ExitCode.USAGE, "--base-url and --model go with --ping")
    rows = {**{name: provider(name) for name in names()}, **_own()}
    if args.name is not None and args.name not in rows:
        raise JobError(ExitCode.USAGE, f"there is no provider '{args.name}'; known are: {', '.join(rows)}")
    chosen = [rows[args.name]] if args.name else list(rows.values())
    if args.json:
        print(orjson.dumps([_json(one) for one in chosen]).decode())
    elif args.name:
        print(_full(chosen[0]))
    else:
        print(_table(chosen))
    return 0


def _own() -> dict[str, Provider]:
    """The rows of `[providers.NAME]` in batchllm.toml. One that is wrong is told, and does not hide the others."""
    from batchllm.serving.plan import without_serve

    found: dict[str, Provider] = {}
    try:
        rows = load().settings.providers
    except JobError as error:
        say(f"batchllm: {error}")
        return found
    for name, row in rows.items():
        try:
            found[name] = provider_from(name, without_serve(row))
        except ValueError as error:
            say(f"batchllm: [providers.{name}]: {error}")
    return found


def _ping(args: Namespace) -> int:
    from batchllm.cli.asking import connected
    from batchllm.cli.flags import flags_of
    from batchllm.cli.ping import as_json, lines, ping

    named = {"provider": args.name} if args.name else {}
    bounds = {} if args.timeout else {"timeouts": {"total": 60.0, "first_byte": 60.0}}
    with connected(load(None, {**flags_of(args), **named, **bounds}), "batchllm providers --ping") as made:
        found = ping(made)
    if args.json:
        print(orjson.dumps(as_json(found)).decode())
    else:
        for line in lines(found):
            say(line, sys.stdout)
    return int(found.exit_code)


def _table(rows: list[Provider]) -> str:
    lines = [f"{'name':<16}{'key in':<24}{'schema by':<13}{'limits told':<17}base URL"]
    for one in rows:
        key = one.key_env[0] if one.key_env else "no key"
        lines.append(f"{one.name:<16}{key:<24}{one.structured:<13}{one.limits:<17}{one.base_url or 'given by --base-url'}")
    lines.append("\n`batchllm providers NAME` tells a provider's quirks; any other server: --base-url URL [--api-key-env VAR]")
    return "\n".join(lines)


def _full(one: Provider) -> str:
    lines = [
        f"{one.name}: {one.title}",
        f"  base URL   {one.base_url or 'given by --base-url'}",
        f"  key        {' or '.join(one.key_env) or 'none'} ({one.auth})",
        f"  schema by  {one.structured}",
        f"  streams    usage {'asked for' if one.stream_usage else 'not asked for; read where it is told unasked'}",
        f"  limits     {_LIMITS[one.limits]}",
    ]
    lines += [f"  note       {note}" for note in one.notes]
    return "\n".join(lines)


def _json(one: Provider) -> dict[str, object]:
    return {
        "name": one.name, "title": one.title, "base_url": one.base_url, "key_env": list(one.key_env), "auth": one.auth,
        "structured": one.structured, "stream_usage": one.stream_usage, "limits": one.limits, "local": one.local,
        "notes": list(one.notes),
    }  # fmt: skip

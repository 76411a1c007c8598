"""`batchllm serve`."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from argparse import Namespace
from pathlib import Path
from typing import Any

from batchllm.assembly import simulated_endpoint
from batchllm.cli.flags import flags_of
from batchllm.cli.run_command import log, log_without, within_descriptors
from batchllm.configuration import Configuration, load
from batchllm.errors import ExitCode, JobError
from batchllm.gateway.serving import Told, serve
from batchllm.gateway.tenants import Tenants, add_token, everybody, read_tenants
from batchllm.gateway.upstream import Upstream
from batchllm.gateway_settings import Gateway
from batchllm.settings import LOOPBACK
from batchllm.supervisor import event_loop
from batchllm.terminal import say

DESCRIPTORS = 1 << 16
_FLAGS = ("host", "port", "data", "tokens", "running")


def main(args: Namespace) -> int:
    log(args.log_level)
    _raise_descriptors()
    configuration = within_descriptors(load(None, {**flags_of(args), **_gateway_flags(args)}))
    limits = configuration.settings.gateway
    if args.new_token is not None:
        return _new_token(limits, args.new_token)
    tenants = _tenants(limits, open_to_all=args.no_tokens)
    with simulated_endpoint(configuration) as address:
        upstream = Upstream.of(configuration, address)
        log_without(upstream.shared.route.redactor)
        _introduce(upstream, configuration)
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(serve(Told(upstream, limits, tenants, ready=lambda url: print(url, flush=True))))
    return int(ExitCode.OK)


def _raise_descriptors() -> None:
    """Every client has one beside every request and every journal: as many as the system gives."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _gateway_flags(args: Namespace) -> dict[str, Any]:
    given = {name: value for name in _FLAGS if (value := getattr(args, name)) is not None}
    return {"gateway": given} if given else {}


def _new_token(limits: Gateway, name: str) -> int:
    if limits.tokens is None:
        raise JobError(ExitCode.USAGE, "--new-token needs --tokens FILE, the file it is added to")
    token = add_token(Path(limits.tokens), name)
    say(f"{limits.tokens}: the hash of a token for {name} was added; the token is shown this once:")
    print(token, flush=True)
    return int(ExitCode.OK)


def _tenants(limits: Gateway, *, open_to_all: bool) -> Tenants:
    if limits.tokens is not None:
        if open_to_all:
            raise JobError(ExitCode.USAGE, "--tokens and --no-tokens: keep one")
        return read_tenants(Path(limits.tokens), limits)
    if not open_to_all:
        message = "who may come in? name the tokens with --tokens FILE, or say --no-tokens on a machine of your own"
        raise JobError(ExitCode.USAGE, message)
    if limits.host not in LOOPBACK:
        raise JobError(ExitCode.USAGE, f"--no-tokens is for loopback only, and {limits.host} can be reached from elsewhere")
    return everybody(limits)


def _introduce(upstream: Upstream, configuration: Configuration) -> None:
    facts = upstream.shared.facts
    if facts.simulated:
        say("SIMULATED: the answers come from the embedded endpoint; nothing is sent anywhere and nothing is billed")
    limits = configuration.settings.gateway
    say(f"a Batch API in front of {facts.endpoint}, at most {upstream.shared.settings.most_in_flight} requests in flight; "
        f"files and batches in {limits.data}")  # fmt: skip

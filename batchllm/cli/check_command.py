"""`batchllm check`, and `run --dry-run`: every line read and checked, nothing sent."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from batchllm.admission import preflight_for
from batchllm.assembly import check_values, job_file, schemas_of, target
from batchllm.cli.flags import configuration_for
from batchllm.configuration import Configuration
from batchllm.endpoints import endpoint_for
from batchllm.errors import ExitCode
from batchllm.sources.raw_lines import open_job
from batchllm.strictjson import dumps
from batchllm.survey import survey
from batchllm.terminal import say
from batchllm.types import Request

BYTES_PER_TOKEN = 4


def main(args: Namespace) -> int:
    return report(args, configuration_for(args))


def report(args: Namespace, configuration: Configuration) -> int:
    """Print what a run would do. Raises `JobError` for settings or a file that cannot work."""
    findings = examine(args, configuration)
    if args.json:
        print(dumps(findings).decode())
    else:
        _print(findings)
    if not findings["requests"]:
        return int(ExitCode.BAD_DATA)
    return int(ExitCode.SOME_FAILED if findings["bad_lines"] else ExitCode.OK)


def examine(args: Namespace, configuration: Configuration) -> dict[str, Any]:
    settings = configuration.settings
    chosen = target(configuration)
    schemas = schemas_of(settings)
    mode = settings.structured if settings.structured != "auto" else chosen.provider.structured
    preflight = preflight_for(settings, chosen.provider, mode, default_schema=None in schemas)
    open_job(args.job).close()
    estimate = _Estimate()
    found = survey(job_file(settings, args.job, preflight.fault), settings.limit, estimate.add)
    return {
        "job": str(args.job),
        "lines": found.total,
        "requests": found.requests,
        "bad_lines": found.bad_count,
        "bad": [{"line": one.line, "custom_id": one.custom_id, "code": str(one.code), "message": one.message} for one in found.bad],
        "warnings": preflight.sentences(),
        "provider": chosen.provider.name,
        "endpoint": chosen.name,
        "urls": dict(found.urls),
        "models": dict(found.models),
        "estimate": {"prompt_tokens": round(estimate.prompt), "max_completion_tokens": estimate.completion,
                     "method": f"{BYTES_PER_TOKEN} bytes a token"},
        "settings": check_values(settings),
    }  # fmt: skip


class _Estimate:
    """Adds up what a job may use. Without an answer limit on some line, the completion is unknown."""

    def __init__(self) -> None:
        self.prompt = 0.0
        self.completion: int | None = 0

    def add(self, request: Request) -> None:
        body = request.body
        turns = request.extras.turns if request.extras is not None else ()
        rounds = len(turns) or 1
        self.prompt += rounds * _tokens(endpoint_for(request.url).prompt_text(body))
        # Each later question stands in every request from its own on; what will be answered is not known yet.
        self.prompt += sum((rounds - turn) * _tokens(question) for turn, question in enumerate(turns) if turn)
        ceiling = body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens")
        if isinstance(ceiling, int) and self.completion is not None:
            self.completion += ceiling * rounds
        else:
            self.completion = None


def _tokens(text: str) -> float:
    return len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN


def _print(findings: dict[str, Any]) -> None:
    say(f"{findings['job']}: {findings['requests']} requests, {findings['bad_lines']} bad lines → {findings['endpoint']}")
    for one in findings["bad"]:
        say(f"  line {one['line']}: {one['message']}")
    hidden = findings["bad_lines"] - len(findings["bad"])
    if hidden > 0:
        say(f"  … and {hidden} more")
    for sentence in findings["warnings"]:
        say(f"  warning: {sentence}")
    for name in ("urls", "models"):
        say(f"  {name:<9} " + (", ".join(f"{key} × {count}" for key, count in findings[name].items()) or "none named"))
    estimate = findings["estimate"]
    ceiling = estimate["max_completion_tokens"]
    most = f"at most {ceiling:,} completion" if ceiling is not None else "completion unbounded (no max_tokens)"
    say(f"  tokens    about {estimate['prompt_tokens']:,} prompt ({estimate['method']}), {most}")
    say("  nothing was sent")

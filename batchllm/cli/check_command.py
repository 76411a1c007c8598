"""`batchllm check`, and `run --dry-run`: every line read and checked, nothing sent."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from batchllm.admission import preflight_for
from batchllm.assembly import borne, check_values, formed, job_file, price_list, schemas_of
from batchllm.cli.estimate import estimate_lines
from batchllm.cli.flags import configuration_for, folder_for
from batchllm.cli.remote import local_job, shipment_of
from batchllm.configuration import Configuration
from batchllm.errors import ExitCode
from batchllm.estimate.counters import counter_for
from batchllm.estimate.earlier import earlier_answers
from batchllm.estimate.job import Estimate
from batchllm.estimate.pace import Limits
from batchllm.sources.raw_lines import open_job
from batchllm.strictjson import dumps
from batchllm.survey import survey
from batchllm.target import target
from batchllm.terminal import say


def main(args: Namespace) -> int:
    shipment_of(args)
    args.job = local_job(args.job)
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
    prices = price_list(settings, chosen.base_url)
    bounded = borne(settings, chosen)
    estimate = Estimate(
        prices,
        settings.assume_max_tokens,
        counter=counter_for(settings.tokenizer, settings.model),
        earlier=earlier_answers(folder_for(args), settings.model),
        form=formed(schemas, mode),
    )
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
        "estimate": estimate.as_json(Limits(bounded.most_in_flight, bounded.rpm, bounded.tpm)),
        "settings": check_values(settings),
    }  # fmt: skip


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
    for line in estimate_lines(findings["estimate"], findings["settings"].get("max_cost")):
        say(line)
    say("  nothing was sent")

"""The command line of `batchllm simulate`. Imports nothing that serves, so that `--help` stays quick."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import fields

from batchllm.simulator.batch_orders import BatchOrders
from batchllm.simulator.dialects import DIALECTS
from batchllm.simulator.faults import ALIASES, Faults
from batchllm.simulator.latency import Latency
from batchllm.simulator.limits import Limits
from batchllm.simulator.options import ACCOUNT, REASONING, SimulatorOptions

EXAMPLES = """\
examples:
  a plain endpoint; the address it prints is the base URL
      batchllm simulate --port 8080
  one that begins to answer after about a second and streams 50 tokens a second
      batchllm simulate --latency 1 --sigma 0.6 --per-token 0.02
  600 requests and 100,000 tokens a minute, enforced
      batchllm simulate --rpm 600 --tpm 100000
  a bad night: some refused, failing, cut off, never answered; each prompt succeeds at its third attempt
      batchllm simulate --fault 429=0.05 --fault 503=0.02 --fault truncated=0.01 --fault hang=0.01 \\
          --fault-attempts 2
  a Batch API whose batches take a minute, lose one line in fifty and expire now and then
      batchllm simulate --batch running_s=60 --batch missing=0.02 --batch expires=0.1
  credit that runs out after a hundred answers, the way DeepSeek says it
      batchllm simulate --dialect deepseek --account no_credit --account-after 100
"""


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `batchllm simulate`, without --host and --port, and examples for an epilog.

    The examples keep their lines with `formatter_class=RawDescriptionHelpFormatter`.
    """
    parser.epilog = parser.epilog or EXAMPLES
    _answer_arguments(parser)
    _latency_arguments(parser)
    _limit_arguments(parser)
    _fault_arguments(parser)
    _batch_arguments(parser)


def _answer_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("answers").add_argument
    add(
        "--seed",
        type=int,
        default=0,
        help="same seed and same request: same answer, same faults (default: 0)",
    )
    add(
        "--dialect",
        choices=sorted(DIALECTS),
        default="openai",
        metavar="NAME",
        help=f"whose errors, headers and quirks: {', '.join(DIALECTS)} (default: openai)",
    )
    add(
        "--model",
        action="append",
        metavar="NAME",
        help="a model to list; may be repeated (default: simulated-1)",
    )
    add("--strict-models", action="store_true", help="refuse models that are not listed")
    add("--answer-words", type=int, default=40, metavar="N", help="words of a free answer (default: 40)")
    add("--reasoning", choices=REASONING, default="off", help="where thoughts are shown (default: off)")
    add("--context-tokens", type=int, metavar="N", help="refuse longer prompts (default: no bound)")
    add("--prefix-cache", type=int, metavar="TOKENS", help="tell cached tokens by a cache of prompts this large")
    add("--ledger", metavar="FILE", help="append one line for every answer that was made and billed")


def _latency_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("latency (seconds; lognormal)").add_argument
    add("--latency", type=float, default=0.0, metavar="S", help="median time of a reply (default: 0)")
    add(
        "--sigma",
        type=float,
        default=0.0,
        metavar="X",
        help="spread: 0 none, 0.5 moderate, 1 heavy (default: 0)",
    )
    add("--first-token", type=float, default=0.0, metavar="S", help="more until the first token (default: 0)")
    add(
        "--per-token",
        type=float,
        default=0.0,
        metavar="S",
        help="more for each token; paces streams (default: 0)",
    )


def _limit_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("limits (429 with Retry-After)").add_argument
    add("--rpm", type=float, metavar="N", help="requests a minute (default: no limit)")
    add("--tpm", type=float, metavar="N", help="tokens a minute (default: no limit)")
    add(
        "--burst",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds of the rate let through at once (default: 10)",
    )
    add("--max-in-flight", type=int, metavar="N", help="requests answered at once (default: no limit)")


def _fault_arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("faults", "drawn from the seed, the request and the number of its attempt")
    names = ", ".join(sorted({*(name.name for name in fields(Faults)), *ALIASES}))
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_rate,
        metavar="NAME=RATE",
        help=f"share of requests, 0 to 1, that meet it; may be repeated. One of: {names}",
    )
    group.add_argument("--fault-attempts", type=int, metavar="N", help="only the first N attempts of a prompt")
    group.add_argument(
        "--retry-after",
        type=float,
        default=1.0,
        metavar="S",
        help="wait that ordered 429 and 503 ask for (default: 1)",
    )
    group.add_argument("--account", choices=ACCOUNT, default="good", help="refuse every request (default: good)")
    group.add_argument("--account-after", type=int, default=0, metavar="N", help="... after N answers (default: 0)")


def _batch_arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("the Batch API (/v1/files, /v1/batches)")
    names = ", ".join(one.name for one in fields(BatchOrders))
    group.add_argument(
        "--batch",
        action="append",
        default=[],
        type=_order,
        metavar="NAME=VALUE",
        help=f"how batches go and what goes wrong with them; may be repeated. One of: {names}",
    )


def _order(text: str) -> tuple[str, object]:
    """One order for the batches, its value read as its field wants it."""
    name, _, value = text.partition("=")
    known = {one.name: one for one in fields(BatchOrders)}
    if name not in known:
        raise ArgumentTypeError(f"there is no order {name!r} for batches")
    kind = str(known[name].type)
    try:
        if "bool" in kind:
            return name, {"true": True, "false": False}[value]
        return name, value if "str" in kind else float(value) if "float" in kind else int(value)
    except (ValueError, KeyError):
        raise ArgumentTypeError(f"{text!r}: a value of {kind} is wanted") from None


def _rate(text: str) -> tuple[str, float]:
    name, _, rate = text.partition("=")
    name = ALIASES.get(name, name)
    if name not in {field.name for field in fields(Faults)}:
        raise ArgumentTypeError(f"there is no fault {name!r}")
    try:
        return name, float(rate)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not NAME=RATE, like 429=0.05") from None


def options_from(args: Namespace) -> SimulatorOptions:
    """The options in parsed arguments. The key comes from elsewhere: it never stands on a command line."""
    return SimulatorOptions(
        seed=args.seed,
        dialect=args.dialect,
        models=tuple(args.model or ("simulated-1",)),
        strict_models=args.strict_models,
        account=args.account,
        account_after=args.account_after,
        answer_words=args.answer_words,
        reasoning=args.reasoning,
        context_tokens=args.context_tokens,
        prefix_cache=args.prefix_cache,
        latency=Latency(args.latency, args.sigma, args.first_token, args.per_token),
        limits=Limits(args.rpm, args.tpm, args.burst, args.max_in_flight),
        faults=Faults(**dict(args.fault)),
        batches=BatchOrders(**dict(args.batch)),
        fault_attempts=args.fault_attempts,
        retry_after_s=args.retry_after,
        ledger=args.ledger,
    )

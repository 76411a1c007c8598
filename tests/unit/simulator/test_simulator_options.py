"""Options: what is refused, the command line, the settings table; asking for them loads no server."""

import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

import pytest

import batchllm.simulator as simulator
from batchllm.simulator.arguments import add_arguments, options_from
from batchllm.simulator.batch_orders import BatchOrders
from batchllm.simulator.faults import Faults
from batchllm.simulator.latency import Latency
from batchllm.simulator.limits import Limits
from batchllm.simulator.options import SimulatorOptions, options_from_table, table_from


def parsed(*arguments: str) -> SimulatorOptions:
    parser = ArgumentParser(formatter_class=RawDescriptionHelpFormatter)
    add_arguments(parser)
    return options_from(parser.parse_args(arguments))


def test_no_flags_are_the_defaults() -> None:
    assert parsed() == SimulatorOptions()


def test_flags_become_options() -> None:
    options = parsed(
        "--seed",
        "7",
        "--dialect",
        "azure",
        "--model",
        "a",
        "--model",
        "b",
        "--rpm",
        "60",
        "--latency",
        "0.5",
        "--sigma",
        "0.3",
        "--fault",
        "429=0.1",
        "--fault",
        "hang=0.02",
        "--max-in-flight",
        "4",
        "--batch",
        "running_s=60",
        "--batch",
        "wrong_counts=true",
        "--batch",
        "queued_tokens=500",
    )
    assert options == SimulatorOptions(
        seed=7,
        dialect="azure",
        models=("a", "b"),
        limits=Limits(rpm=60, max_in_flight=4),
        latency=Latency(0.5, 0.3),
        faults=Faults(rate_limit=0.1, hang=0.02),
        batches=BatchOrders(running_s=60.0, wrong_counts=True, queued_tokens=500),
    )


@pytest.mark.parametrize("arguments", [("--fault", "nonsense=1"), ("--fault", "429"), ("--dialect", "none")])
def test_flags_nobody_knows_are_refused(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(*arguments)
    assert "error" in capsys.readouterr().err


def test_help_has_groups_and_examples() -> None:
    parser = ArgumentParser(prog="batchllm simulate", formatter_class=RawDescriptionHelpFormatter)
    add_arguments(parser)
    text = parser.format_help()
    assert "batchllm simulate --latency 1" in text
    assert "limits (429 with Retry-After)" in text


def test_options_survive_the_way_through_a_table() -> None:
    options = SimulatorOptions(seed=3, models=("x",), faults=Faults(empty=0.5), latency=Latency(1, 0.5), api_key="k")
    assert options_from_table(table_from(options)) == options
    assert options_from_table({"faults": {"429": 0.5}}).faults == Faults(rate_limit=0.5)
    assert options_from_table({}) == SimulatorOptions()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"sed": 1}, "did you mean 'seed'"),
        ({"faults": {"hangs": 1}}, "did you mean 'hang'"),
        ({"dialect": "klingon"}, "klingon"),
        ({"models": []}, "models"),
        ({"cached_share": 2}, "cached_share"),
        ({"reasoning": "loud"}, "loud"),
        ({"latency": {"sigma": None}}, "sigma"),
        ({"account": "rich"}, "rich"),
        ({"limits": 5}, "limits"),
        ({"limits": {"rpm": "many"}}, "limits"),
        ({"seed": "x"}, "seed"),
        ({"seed": True}, "seed"),
    ],
)
def test_tables_nobody_understands_are_refused_with_the_nearest_name(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options_from_table(table)


def test_asking_for_the_options_loads_no_server() -> None:
    code = (
        "import sys; from batchllm.simulator import SimulatorOptions, add_arguments;"
        "heavy = {'aiohttp', 'orjson', 'asyncio'} & set(sys.modules); print(sorted(heavy)); sys.exit(bool(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_offers_what_it_lists() -> None:
    for name in simulator.__all__:
        assert getattr(simulator, name) is not None
    with pytest.raises(AttributeError):
        _ = simulator.nonsense


@pytest.mark.parametrize("order", ["running=60", "running_s=soon", "wrong_counts=1", "max_lines=1.5"])
def test_an_order_for_batches_that_cannot_be_understood_is_refused(order: str) -> None:
    with pytest.raises(SystemExit):
        parsed("--batch", order)


@pytest.mark.parametrize(
    "wrong", [{"missing": 1.5}, {"missing": 0.6, "status_zero": 0.6}, {"running_s": -1}, {"expires": 0.7, "fails": 0.7}]
)
def test_orders_for_batches_that_cannot_be_carried_out_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="batches"):
        BatchOrders(**wrong)  # type: ignore[arg-type]

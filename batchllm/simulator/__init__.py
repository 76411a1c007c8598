"""An OpenAI-compatible endpoint on loopback that makes its answers up: for trials, tests and measurements.

    async with Simulator(SimulatorOptions(seed=1)) as simulator:
        ...  # simulator.base_url is "http://127.0.0.1:<port>/v1"

Three ways to run it, by what they disturb: `Simulator` shares the caller's loop (tests), `run_in_thread` the
caller's interpreter (blocking code), `run_in_process` nothing but the machine (a job: the client's CPU stays
its own). It needs only the standard library, aiohttp and orjson, and nothing of the rest of batchllm. Names
are loaded when first used, so that asking for the options does not load a web server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchllm.simulator.arguments import add_arguments, options_from
    from batchllm.simulator.batch_orders import BatchOrders
    from batchllm.simulator.faults import Faults
    from batchllm.simulator.hosting import run_in_process, run_in_thread
    from batchllm.simulator.latency import Latency
    from batchllm.simulator.limits import Limits
    from batchllm.simulator.options import SimulatorOptions, options_from_table
    from batchllm.simulator.server import Simulator, serve

__all__ = [
    "BatchOrders",
    "Faults",
    "Latency",
    "Limits",
    "Simulator",
    "SimulatorOptions",
    "add_arguments",
    "options_from",
    "options_from_table",
    "run_in_process",
    "run_in_thread",
    "serve",
]

_HOMES = {
    "BatchOrders": "batch_orders",
    "Faults": "faults",
    "Latency": "latency",
    "Limits": "limits",
    "Simulator": "server",
    "SimulatorOptions": "options",
    "add_arguments": "arguments",
    "options_from": "arguments",
    "options_from_table": "options",
    "run_in_process": "hosting",
    "run_in_thread": "hosting",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

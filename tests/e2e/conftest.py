"""What the end-to-end tests share: object stores on loopback, started when a test asks for one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchllm.simulator import SimulatorOptions, run_in_thread
from batchllm.simulator.latency import Latency
from tests.e2e.cloud_door import Door
from tests.e2e.clouds import CLOUDS, Running, Store


@pytest.fixture(scope="session", params=list(CLOUDS))
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server of each service in turn."""
    running = Running(CLOUDS[request.param], tmp_path_factory.mktemp(request.param))
    yield running
    running.stop()


@pytest.fixture
def store(cloud: Running) -> Store:
    return Store(cloud)


@pytest.fixture
def door(cloud: Running) -> Iterator[Door]:
    made = Door(cloud.port, generations=cloud.cloud.scheme == "gs")
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A simulator's address, and the ledger of what it was asked."""
    ledger = tmp_path / "ledger.jsonl"
    options = SimulatorOptions(seed=1, latency=Latency(median_s=0.1), answer_words=8, ledger=str(ledger))
    with run_in_thread(options) as hosted:
        yield hosted.base_url, ledger

"""A Ray cluster of several nodes on this machine, and ways to break it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 4,
}
MEMORY = 160 << 20


class Nodes:
    """The head, on which the driver lives, and as many others as wanted. Each bears `cpus` workers."""

    def __init__(self, others: int, cpus: int) -> None:
        from ray.cluster_utils import Cluster

        self._cpus = cpus
        how = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": MEMORY, "_system_config": QUICK}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=how)
        self.others: list[Any] = []
        for _ in range(others):
            self.add()

    def add(self) -> None:
        self.others.append(self._cluster.add_node(num_cpus=self._cpus, object_store_memory=MEMORY))

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    @property
    def logs(self) -> Path:
        return Path(self._cluster.head_node.get_session_dir_path())

    def kill_node(self) -> None:
        """The last node, its raylet and all its workers, without a word."""
        self._cluster.remove_node(self.others.pop(), allow_graceful=False)

    def kill_head(self) -> None:
        """The process that knows the cluster; its nodes live on for a while."""
        for one in self._cluster.head_node.all_processes["gcs_server"]:
            one.process.kill()

    def workers(self) -> list[int]:
        """Process ids of our workers on the nodes of this cluster, idle ones of Ray's own left out."""
        nodes = [self._cluster.head_node, *self.others]
        parents = {one.process.pid for node in nodes for one in node.all_processes["raylet"]}
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    title, stat = (entry / "cmdline").read_bytes(), (entry / "stat").read_text()
                except OSError:
                    continue
                if title.startswith(b"ray::Actor") and int(stat.rpartition(")")[2].split()[1]) in parents:
                    found.append(int(entry.name))
        return sorted(found)

    def close(self) -> None:
        self._cluster.shutdown()


@contextmanager
def nodes(others: int = 2, cpus: int = 4) -> Iterator[Nodes]:
    made = Nodes(others, cpus)
    try:
        yield made
    finally:
        made.close()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_for(what: Any, seconds: float = 60.0) -> None:
    """Until `what()` is true. Raises AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)

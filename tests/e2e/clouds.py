"""Three object stores on loopback, each a real server that is not ours: what the tests of `s3://`, `gs://` and `az://` share.

moto's server stands for S3, gcp-storage-emulator for Google Cloud Storage, Azurite for Azure (docs/cloud.md says how to get them).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Command, records
from tests.e2e.cloud_door import Door

LINES = 400
SECRET = base64.b64encode(b"s3cr3t-of-the-test").decode()
_ACCOUNT = "tests"


@dataclass(frozen=True)
class Cloud:
    """One service: how its server is started, and what leads a command, or a test, to a port of it."""

    scheme: str
    words: Callable[[int], list[str]]
    variables: Callable[[int], dict[str, str]]
    filesystem: Callable[[int], Any]


def _s3_words(port: int) -> list[str]:
    _need("moto", "pip install 'moto[server]'")
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


def _s3_variables(port: int) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }


def _s3_filesystem(port: int) -> Any:
    from s3fs import S3FileSystem

    return S3FileSystem(key="x", secret="y", endpoint_url=f"http://127.0.0.1:{port}", **_FRESH)


def _gs_words(port: int) -> list[str]:
    _need("gcp_storage_emulator", "pip install gcp-storage-emulator")
    return [sys.executable, "-m", "gcp_storage_emulator", "start", "-H", "127.0.0.1", "--port", str(port), "--in-memory", "-q"]


def _gs_variables(port: int) -> dict[str, str]:
    return {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", "NO_GCE_CHECK": "true"}


def _gs_filesystem(port: int) -> Any:
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(token="anon", project="tests", endpoint_url=f"http://127.0.0.1:{port}", **_FRESH)


def _az_words(port: int) -> list[str]:
    found = shutil.which("azurite-blob")
    if found is None:
        pytest.fail("azurite-blob is not on the PATH: npm install azurite, and add its node_modules/.bin", pytrace=False)
    options = ("--inMemoryPersistence", "--skipApiVersionCheck", "--loose", "--silent", "--disableTelemetry")
    return [found, "--blobHost", "127.0.0.1", "--blobPort", str(port), *options]


def _az_variables(port: int) -> dict[str, str]:
    terms = {
        "DefaultEndpointsProtocol": "http",
        "AccountName": _ACCOUNT,
        "AccountKey": SECRET,
        "BlobEndpoint": f"http://127.0.0.1:{port}/{_ACCOUNT}",
    }
    return {"AZURE_STORAGE_CONNECTION_STRING": ";".join(f"{name}={value}" for name, value in terms.items())}


def _az_filesystem(port: int) -> Any:
    from adlfs import AzureBlobFileSystem

    return AzureBlobFileSystem(connection_string=_az_variables(port)["AZURE_STORAGE_CONNECTION_STRING"], **_FRESH)


_FRESH = {"use_listings_cache": False, "skip_instance_cache": True}

CLOUDS = {
    "s3": Cloud("s3", _s3_words, _s3_variables, _s3_filesystem),
    "gs": Cloud("gs", _gs_words, _gs_variables, _gs_filesystem),
    "az": Cloud("az", _az_words, _az_variables, _az_filesystem),
}


def _need(module: str, how: str) -> None:
    if find_spec(module) is None:
        pytest.fail(f"{module} is not installed: {how}", pytrace=False)


class Running:
    """The server of a service, in a process of its own."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = os.environ | {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{SECRET}"}
        silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(cloud.words(self.port), cwd=folder, env=environment, **silent)
        for _ in range(600):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        self.stop()
        pytest.fail(f"the server of {cloud.scheme}:// did not come up within a minute", pytrace=False)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(20)


class Store:
    """A bucket of its own, as the test sees it: by the server's own door. It holds a job of `LINES` lines."""

    def __init__(self, running: Running) -> None:
        self.cloud = running.cloud
        self.fs: Any = running.cloud.filesystem(running.port)
        self.bucket = f"bucket-{uuid4().hex[:8]}"
        self.fs.mkdir(self.bucket)
        lines = (json.dumps({"custom_id": f"doc-{number}", "prompt": f"Tell about {number}"}) for number in range(LINES))
        self.write("jobs/reviews.jsonl", "".join(f"{one}\n" for one in lines).encode())
        self.job, self.out = self.at("jobs/reviews.jsonl"), self.at("out/reviews")

    def at(self, name: str) -> str:
        return f"{self.cloud.scheme}://{self.bucket}/{name}"

    def write(self, name: str, data: bytes) -> None:
        self.fs.pipe_file(f"{self.bucket}/{name}", data)

    def read(self, name: str) -> bytes:
        found: bytes = self.fs.cat_file(f"{self.bucket}/{name}")
        return found

    def names(self) -> dict[str, int]:
        """Every object there is, and its size."""
        return {name: one["size"] for name, one in self.fs.find(self.bucket, detail=True).items()}

    def results(self) -> list[dict[str, Any]]:
        listing = json.loads(self.read("out/reviews/run.json"))
        data = b"".join(self.read(f"out/reviews/{one['name']}") for one in listing["files"].get("results.jsonl", ()))
        return [json.loads(line) for line in data.splitlines()]

    def shipped(self) -> int:
        """Results that are listed; 0 where nothing is."""
        return len(self.results()) if self.exists("out/reviews/run.json") else 0

    def exists(self, name: str) -> bool:
        return bool(self.fs.exists(f"{self.bucket}/{name}"))


class Machine:
    """A machine: a folder with its settings, and commands run in it."""

    def __init__(self, folder: Path, store: Store, door: Door, base_url: str, **cloud: float) -> None:
        folder.mkdir()
        self.command = Command(folder)
        self.command.environment |= {**store.cloud.variables(door.server_address[1]), "OPENAI_API_KEY": "sk-test"}
        self._base_url = base_url
        self.set(**cloud)

    def set(self, **cloud: float) -> None:
        """Settings of its shipping, from now on."""
        terms = "".join(f"{name} = {value}\n" for name, value in ({"segment": 8192, "every": 0.5} | cloud).items())
        settings = f'base_url = "{self._base_url}"\nmodel = "simulated-1"\nconcurrency = 8\n[cloud]\n{terms}'
        (self.command.folder / "batchllm.toml").write_text(settings)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "batchllm", *words],
            cwd=self.command.folder,
            env=self.command.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def folder(self) -> Path:
        (found,) = self.command.folder.glob("outputs/reviews-????????")
        return found


def asked(ledger: Path) -> Counter[str]:
    return Counter(one["prompt"] for one in records(ledger))


def until(true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to it within a minute")

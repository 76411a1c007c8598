"""What every object store owes a run, against a real server of each service: whole objects, and writes on conditions.

Opt-in: `pytest -m cloud`; docs/cloud.md says what it needs.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from batchllm.cloud.address import Remote
from batchllm.cloud.bucket import Bucket, TakenError
from batchllm.cloud.copies import fetched, written
from batchllm.cloud.lease import BEAT_S, Lease
from batchllm.cloud.view import view
from batchllm.errors import ExitCode, JobError
from tests.e2e.cloud_door import Door
from tests.e2e.clouds import SECRET, Running, Store

pytestmark = pytest.mark.cloud


@pytest.fixture
def at(store: Store, door: Door, cloud: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Remote:
    """An address without objects, which the libraries find by the environment as a user's do."""
    for name, value in cloud.cloud.variables(door.server_address[1]).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Remote(store.at("out/contract"))


@pytest.fixture
def bucket(at: Remote) -> Bucket:
    return Bucket(at)


def test_what_was_written_is_read_as_a_whole_and_what_was_removed_is_gone(bucket: Bucket, tmp_path: Path) -> None:
    assert bucket.read_marked("run.json") is None
    bucket.write("run.json", b"one")
    bucket.write("run.json", b"two\n\xff")
    assert bucket.read("run.json") == b"two\n\xff"
    (tmp_path / "report.html").write_bytes(b"x" * 1_000_000)
    bucket.put("report.html", tmp_path / "report.html")
    assert bucket.read("report.html") == b"x" * 1_000_000
    bucket.remove("run.json")
    bucket.remove("run.json")
    assert bucket.read_marked("run.json") is None
    with pytest.raises(FileNotFoundError):
        bucket.read("run.json")


def test_what_begins_with_a_name_is_not_the_object(bucket: Bucket) -> None:
    bucket.write("run.json/inner", b"1")
    assert bucket.read_marked("run.json") is None


def test_an_object_is_created_once(bucket: Bucket) -> None:
    bucket.create("lease.json", b"first")
    with pytest.raises(TakenError):
        bucket.create("lease.json", b"second")
    assert bucket.read("lease.json") == b"first"


def test_an_object_is_replaced_only_by_who_knows_its_version(bucket: Bucket) -> None:
    bucket.create("run.json", b"1")
    _, mark = bucket.read_marked("run.json") or (b"", None)
    assert mark is not None
    newer = bucket.replace("run.json", b"2", mark)
    assert newer not in (None, mark)
    with pytest.raises(TakenError):
        bucket.replace("run.json", b"3", mark)
    assert bucket.read_marked("run.json") == (b"2", newer)
    bucket.replace("run.json", b"4", newer)
    bucket.replace("run.json", b"5", None)
    assert bucket.read("run.json") == b"5"


@pytest.mark.parametrize("cloud", ["gs"], indirect=True)
def test_where_a_service_does_not_know_conditions_the_last_one_wins(bucket: Bucket, door: Door) -> None:
    """The emulator by itself, without the door that knows `ifGenerationMatch` as Google's service does."""
    door.generations = False
    bucket.create("run.json", b"1")
    bucket.create("run.json", b"2")
    _, mark = bucket.read_marked("run.json") or (b"", None)
    bucket.replace("run.json", b"3", mark)
    bucket.replace("run.json", b"4", mark)
    assert bucket.read("run.json") == b"4"


@pytest.mark.parametrize("cloud", ["az"], indirect=True)
@pytest.mark.parametrize("text", [None, "no such thing"])
def test_no_account_wants_a_person(at: Remote, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    if text is not None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    with pytest.raises(JobError, match="nothing was sent") as caught:
        Bucket(at)
    assert caught.value.exit_code is ExitCode.ACCOUNT


@pytest.mark.parametrize("cloud", ["az"], indirect=True)
def test_a_key_that_is_refused_wants_a_person(at: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the three servers that looks at keys."""
    terms = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    other = base64.b64encode(b"another key").decode()
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", terms.replace(SECRET, other))
    with pytest.raises(JobError) as caught:
        view(Bucket(at))
    assert caught.value.exit_code is ExitCode.ACCOUNT
    assert other not in str(caught.value)


def test_a_version_that_is_gone_is_not_replaced(bucket: Bucket) -> None:
    bucket.create("run.json", b"1")
    _, mark = bucket.read_marked("run.json") or (b"", None)
    bucket.remove("run.json")
    with pytest.raises((TakenError, FileNotFoundError)):
        bucket.replace("run.json", b"2", mark)
    assert bucket.read_marked("run.json") is None


def test_a_write_whose_answer_was_lost_is_not_taken_for_anothers(bucket: Bucket, door: Door) -> None:
    """The libraries send it again, and meet the condition that their own first try no longer meets."""
    now = 0.0
    lease = Lease(bucket, "mine", clock=lambda: now)
    to_lose: list[str] = []

    def loses(method: str, path: str) -> bool:
        return method in ("PUT", "POST") and bool(to_lose) and to_lose.pop() == "one answer"

    door.loses = loses
    for keep in (lease.take, lease.renew, lease.renew):
        to_lose.append("one answer")
        keep()
        assert not to_lose, "it was lost"
        now += 2 * BEAT_S
    assert b'"owner":"mine"' in bucket.read("lease.json")


def test_a_copy_is_fetched_anew_when_the_object_has_changed(store: Store, at: Remote) -> None:
    address = Remote(store.at("tables/words.csv"))
    store.write("tables/words.csv", b"id\n1\n")
    copy = fetched(address)
    assert copy.read_bytes() == b"id\n1\n"
    before = copy.stat().st_ino
    assert fetched(address).stat().st_ino == before, "the same version is not fetched again"
    store.write("tables/words.csv", b"id\n2\n")
    assert fetched(address).read_bytes() == b"id\n2\n"


def test_what_is_written_locally_is_there_at_the_end(store: Store, at: Remote) -> None:
    with written(Remote(store.at("tables/answers.csv"))) as local:
        local.write_bytes(b"a,b\n" * 100_000)
    assert store.read("tables/answers.csv") == b"a,b\n" * 100_000


def test_no_object_is_no_copy(store: Store, at: Remote) -> None:
    for name in ("none.jsonl", "jobs"):
        with pytest.raises(JobError, match="there is no such object") as caught:
            fetched(Remote(store.at(name)))
        assert caught.value.exit_code is ExitCode.BAD_DATA

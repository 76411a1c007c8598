"""A shipped run that is looked at: what is listed is here, whatever happens meanwhile, and nothing there has changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import orjson
import pytest

from batchllm.cloud.address import Remote
from batchllm.cloud.bucket import Bucket
from batchllm.cloud.copies import CACHE
from batchllm.cloud.lease import DEAD_S, Lease, at_work
from batchllm.cloud.listing import Listing, Segment, digest
from batchllm.cloud.view import NOTE, view
from batchllm.errors import ExitCode, JobError
from batchllm.journal.lock import FolderLock
from batchllm.journal.storage import Storage
from tests.unit.cloud.objects import Objects

AT = Remote("s3://bucket/out/job")
FOLDER = CACHE / AT.mark / "job"
WRITES = {"pipe_file", "put_file", "rm_file"}


class Run:
    """What a run has shipped, without a run."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.bucket = Bucket(AT, self.objects)
        self.listing = Listing("owner", "owner", "there", "2026-01-02T03:04:05+00:00", job='{"format": 1}\n')
        self.list()

    def add(self, *lines: bytes, file: str = "results.jsonl", series: str | None = None) -> None:
        name, data = self.listing.next_name(file), b"".join(lines)
        name = name.replace("/owner/", f"/{series or 'owner'}/")
        self.objects.store[f"{AT.path}/{name}"] = data
        self.listing = self.listing.with_segment(file, Segment(name, len(data), digest(data)))
        self.list()

    def list(self, *, complete: bool = False) -> None:
        self.listing = Listing(**{**vars_of(self.listing), "complete": complete})
        self.objects.store[f"{AT.path}/run.json"] = self.listing.to_bytes()

    def rewrite(self, *lines: bytes) -> None:
        """What a run does that leaves out lines: other segments in the place of the old ones."""
        old = [one.name for one in self.listing.files.get("results.jsonl", ())]
        self.listing = Listing(**{**vars_of(self.listing), "files": {}})
        self.add(*lines, series="owner-2")
        for name in old:
            del self.objects.store[f"{AT.path}/{name}"]

    def fetched(self) -> list[str]:
        """Names of the objects that were read since it was asked last."""
        names, self.objects.read = [path.removeprefix(f"{AT.path}/") for path in self.objects.read], []
        return names


def vars_of(listing: Listing) -> dict[str, object]:
    return {name: getattr(listing, name) for name in Listing.__slots__}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run()


def results() -> bytes:
    return (FOLDER / "results.jsonl").read_bytes()


def test_what_is_listed_is_here_and_only_new_segments_are_fetched(run: Run) -> None:
    run.add(b"1\n", b"2\n")
    run.add(b"note\n", file="attempts.jsonl")
    seen = view(run.bucket)
    assert (seen.folder, seen.at_work, results()) == (FOLDER, None, b"1\n2\n")
    assert (FOLDER / "attempts.jsonl").read_bytes() == b"note\n"
    assert (FOLDER / "job.json").read_text() == '{"format": 1}\n'
    run.fetched()
    run.add(b"3\n")
    view(run.bucket)
    assert results() == b"1\n2\n3\n"
    assert [name for name in run.fetched() if "segments" in name] == ["segments/owner/results-000002.jsonl"]
    view(run.bucket)
    assert not [name for name in run.fetched() if "segments" in name]
    assert not WRITES & set(run.objects.calls)


def test_results_that_were_rewritten_are_fetched_as_a_whole(run: Run) -> None:
    run.add(b"1\n", b"2\n")
    view(run.bucket)
    run.rewrite(b"2\n")
    view(run.bucket)
    assert results() == b"2\n"
    run.listing = Listing("other", "other", "there", "2026-01-03T00:00:00+00:00")
    run.list()
    view(run.bucket)
    assert results() == b"", "a run that was begun anew has none yet"


def test_results_that_are_rewritten_meanwhile_are_fetched_by_the_new_listing(run: Run) -> None:
    run.add(b"1\n")
    run.add(b"2\n")
    run.objects.before_read = lambda path: run.rewrite(b"1\n2\n") if path.endswith("results-000002.jsonl") else None
    view(run.bucket)
    assert results() == b"1\n2\n"


@pytest.mark.parametrize("how", ["cut", "longer", "no note", "no listing in the note"])
def test_a_copy_that_was_interrupted_is_made_whole(run: Run, how: str) -> None:
    run.add(b"1\n", b"2\n")
    view(run.bucket)
    if how == "cut":
        os.truncate(FOLDER / "results.jsonl", 1)
    elif how == "longer":  # the end of an earlier look, which did not come to its note
        with (FOLDER / "results.jsonl").open("ab") as file:
            file.write(b'{"half')
    elif how == "no note":
        (FOLDER / NOTE).unlink()
    else:
        (FOLDER / NOTE).write_bytes(b"{")
    run.add(b"3\n")
    view(run.bucket)
    assert results() == b"1\n2\n3\n"


def test_the_end_of_a_run_is_there_while_nothing_came_after_it(run: Run) -> None:
    run.objects.store[f"{AT.path}/summary.json"] = b"{}"
    run.add(b"1\n")
    view(run.bucket)
    assert not (FOLDER / "summary.json").exists(), "it is of an earlier run: this one has not ended"
    run.list(complete=True)
    view(run.bucket)
    assert (FOLDER / "summary.json").read_bytes() == b"{}"
    assert not (FOLDER / "errors.jsonl").exists()
    run.list()
    view(run.bucket)
    assert not (FOLDER / "summary.json").exists()


def test_the_last_answer_is_as_old_as_the_listing(run: Run) -> None:
    run.add(b"1\n")
    view(run.bucket)
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime((FOLDER / "results.jsonl").stat().st_mtime)) == "2026-01-02T03:04:05"


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (lambda store: store.pop(f"{AT.path}/run.json"), ExitCode.BAD_DATA, "no run was shipped there"),
        (lambda store: store.update({f"{AT.path}/run.json": b"{"}), ExitCode.BAD_DATA, "no listing of a run"),
        (lambda store: store.pop(f"{AT.path}/segments/owner/results-000001.jsonl"), ExitCode.BAD_DATA, "is not there"),
        (
            lambda store: store.update({f"{AT.path}/segments/owner/results-000001.jsonl": b"2\n"}),
            ExitCode.BAD_DATA,
            "is not what was shipped",
        ),
    ],
)
def test_half_a_run_is_never_shown_as_whole(run: Run, damage: object, code: ExitCode, message: str) -> None:
    run.add(b"1\n")
    damage(run.objects.store)  # type: ignore[operator]
    with pytest.raises(JobError, match=message) as caught:
        view(run.bucket)
    assert caught.value.exit_code is code
    assert not (FOLDER / NOTE).exists()


def test_whatever_call_fails_the_next_look_has_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[ExitCode] = []
    for number in range(1, 12):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        run = Run()
        run.add(b"1\n")
        view(run.bucket)
        run.add(b"2\n")
        run.list(complete=True)
        run.objects.store[f"{AT.path}/summary.json"] = b"{}"
        at = len(run.objects.calls) + number
        run.objects.fails = lambda name, count, at=at: count == at
        try:
            view(run.bucket)
        except JobError as error:
            failed.append(error.exit_code)
            view(run.bucket)
        assert (results(), (FOLDER / "summary.json").read_bytes()) == (b"1\n2\n", b"{}")
    assert len(failed) >= 5
    assert set(failed) == {ExitCode.UNAVAILABLE}


def test_two_looks_at_once_do_not_mix(run: Run) -> None:
    view(run.bucket)
    held = FolderLock(Storage(), FOLDER.parent)
    try:
        with pytest.raises(JobError, match="is being fetched by another command") as caught:
            view(run.bucket)
    finally:
        held.close()
    assert caught.value.exit_code is ExitCode.TRY_LATER


def test_who_ships_is_said_while_its_lease_is_renewed(run: Run) -> None:
    lease = Lease(run.bucket, "owner", wall=lambda: 1000.0)
    assert at_work(run.bucket, 1000.0) is None
    lease.take()
    assert f"process {os.getpid()} on" in str(at_work(run.bucket, 1012.0))
    assert "seen 12 s ago" in str(at_work(run.bucket, 1012.0))
    assert at_work(run.bucket, 1000.0 + DEAD_S + 1) is None
    run.objects.store[f"{AT.path}/lease.json"] = orjson.dumps(["no lease"])
    assert at_work(run.bucket, 1000.0) is None

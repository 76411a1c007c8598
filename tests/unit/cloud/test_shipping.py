"""A journal that is shipped while it grows, and made whole elsewhere: whatever fails, what is listed is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from batchllm.cloud.address import Remote, is_remote
from batchllm.cloud.bucket import Bucket, TakenError, filesystem_of
from batchllm.cloud.copies import CACHE, fetched, written
from batchllm.cloud.courier import Courier
from batchllm.cloud.lease import DEAD_S, Lease
from batchllm.cloud.listing import Listing, Segment, digest, listing_of
from batchllm.cloud.restore import Known, settled
from batchllm.errors import ExitCode, JobError
from batchllm.journal.storage import Storage
from batchllm.settings import Cloud
from tests.unit.cloud.objects import AwayError, Objects

AT = Remote("s3://bucket/out/job")
TERMS = Cloud(segment=1024, every=1000.0, patience=20.0)


def line(number: int, size: int = 100) -> bytes:
    return json.dumps({"custom_id": f"doc-{number}", "text": "x" * size}).encode() + b"\n"


def journal(folder: Path, count: int, *, first: int = 0) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text('{"format": 1}\n')
    with (folder / "results.jsonl").open("ab") as file:
        file.writelines(line(number) for number in range(first, first + count))
    (folder / "attempts.jsonl").touch()
    return (folder / "results.jsonl").read_bytes()


class Machine:
    """One machine's folder, and its way to the bucket."""

    def __init__(self, folder: Path, objects: Objects) -> None:
        self.folder, self.objects = folder, objects
        self.bucket = Bucket(AT, objects)
        self.told: list[str] = []
        self.lost: list[JobError] = []

    def settled(self, *, fresh: bool = False) -> Known:
        return settled(self.bucket, self.folder, Storage(), fresh=fresh, tell=self.told.append)

    def courier(self, known: Known | None = None, terms: Cloud = TERMS) -> Courier:
        known = known or self.settled()
        lease = Lease(self.bucket, known.owner)
        made = Courier(self.bucket, self.folder, Storage(), known, lease, terms, self.told.append, lambda seconds: None)
        made.on_lost = self.lost.append
        return made

    def ship(self, **more: Any) -> dict[str, Any]:
        """All there is, from start to end."""
        courier = self.courier(**more)
        courier.start()
        return courier.finish()

    @property
    def results(self) -> bytes:
        return (self.folder / "results.jsonl").read_bytes()


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def here(tmp_path: Path, objects: Objects) -> Machine:
    return Machine(tmp_path / "here" / "job", objects)


@pytest.fixture
def elsewhere(tmp_path: Path, objects: Objects) -> Machine:
    return Machine(tmp_path / "elsewhere" / "job", objects)


def listed(objects: Objects) -> bytes:
    """The results that the listing names; every segment has to be there, and what it was."""
    listing = listing_of(objects.store[f"{AT.path}/run.json"])
    parts = [(one, objects.store[f"{AT.path}/{one.name}"]) for one in listing.files.get("results.jsonl", ())]
    assert all(len(data) == one.bytes and digest(data) == one.sha256 for one, data in parts)
    return b"".join(data for _, data in parts)


def test_what_was_shipped_is_whole_again_elsewhere_and_goes_on_from_there(
    here: Machine, elsewhere: Machine, objects: Objects
) -> None:
    written_here = journal(here.folder, 100)
    done = here.ship()
    assert (done["complete"], done["bytes"], done["bytes_left"], done["error"]) == (True, len(written_here), 0, None)
    known = elsewhere.settled()
    assert (elsewhere.results, (elsewhere.folder / "job.json").read_text()) == (written_here, '{"format": 1}\n')
    assert "shipped to s3://bucket/out/job until" in elsewhere.told[0]
    more = journal(elsewhere.folder, 30, first=100)
    assert elsewhere.ship(known=known)["bytes"] == len(more)
    assert listed(objects) == more
    assert not any(path.endswith("lease.json") for path in objects.store)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after its work"])
def test_whatever_call_fails_all_is_shipped_and_at_every_moment_what_is_listed_is_there(tmp_path: Path, late: bool) -> None:
    for number in range(1, 40):
        objects = Objects()
        machine = Machine(tmp_path / str(number), objects)
        content = journal(machine.folder, 40)
        courier = machine.courier()
        courier.start()

        def whole(path: str, objects: Objects = objects, content: bytes = content) -> None:
            assert content.startswith(listed(objects))

        objects.after_write, objects.late = whole, late
        begun = len(objects.calls)
        objects.fails = lambda name, count, at=begun + number: count == at
        done = courier.finish()
        assert done["complete"], done
        assert listed(objects) == content


def test_a_service_that_stays_away_is_told_once_and_at_the_end_and_another_run_ships_the_rest(
    here: Machine, objects: Objects
) -> None:
    content = journal(here.folder, 50)
    courier = here.courier(terms=Cloud(segment=1024, every=1000.0, patience=0.2))
    courier.start()
    objects.fails = lambda name, number: True
    done = courier.finish()
    assert (done["complete"], done["bytes_left"]) == (False, len(content))
    assert "the service is away" in done["error"]
    assert [one for one in here.told if "tried again" in one] == here.told[:1]
    objects.fails = lambda name, number: False
    assert here.ship()["complete"]
    assert listed(objects) == content


def test_a_line_that_has_not_ended_waits_and_one_longer_than_a_segment_is_not_cut(here: Machine, objects: Objects) -> None:
    journal(here.folder, 0)
    long = line(1, size=5000)
    (here.folder / "results.jsonl").write_bytes(long + line(2) + b'{"custom_id": "torn')
    done = here.ship()
    assert (done["complete"], done["segments"], done["bytes_left"]) == (True, 1, 19)
    assert listed(objects) == long + line(2)


def test_a_file_that_was_rewritten_is_shipped_anew_and_the_old_counts_until_then(here: Machine, objects: Objects) -> None:
    old = journal(here.folder, 60)
    here.ship()
    new = b"".join(line(number) for number in range(60) if number % 3)
    replacement = here.folder / "new"
    replacement.write_bytes(new)
    replacement.replace(here.folder / "results.jsonl")

    def either(path: str) -> None:
        assert listed(objects) in (old, new)

    objects.after_write = either
    assert here.ship()["complete"]
    assert listed(objects) == new
    names = {one.name for one in listing_of(objects.store[f"{AT.path}/run.json"]).files["results.jsonl"]}
    assert {path.removeprefix(f"{AT.path}/") for path in objects.store if "/segments/" in path} == names


def test_who_comes_back_after_another_went_on_has_what_both_paid_for(
    here: Machine, elsewhere: Machine, objects: Objects
) -> None:
    journal(here.folder, 20)
    here.ship()
    journal(here.folder, 5, first=20)  # the machine is gone before these are shipped
    known = elsewhere.settled()
    continued = journal(elsewhere.folder, 30, first=25)
    elsewhere.ship(known=known)
    known = here.settled()
    assert here.results == continued + b"".join(line(number) for number in range(20, 25))
    assert len(list(here.folder.parent.glob("job.*"))) == 1, "the old folder is kept"
    assert here.ship(known=known)["complete"]
    assert listed(objects) == here.results


def test_a_folder_with_another_run_is_not_mixed_with_it(here: Machine, elsewhere: Machine) -> None:
    journal(elsewhere.folder, 20)
    elsewhere.ship()
    journal(here.folder, 3)
    with pytest.raises(JobError, match="holds a run that never was at") as caught:
        here.settled()
    assert caught.value.exit_code is ExitCode.BAD_DATA


def test_a_fresh_run_keeps_the_listing_of_the_old_one(here: Machine, objects: Objects) -> None:
    old = journal(here.folder, 20)
    here.ship()
    owner = listing_of(objects.store[f"{AT.path}/run.json"]).owner
    (here.folder / "results.jsonl").write_bytes(line(7))
    assert here.ship(known=here.settled(fresh=True))["complete"]
    assert listed(objects) == line(7)
    kept = listing_of(objects.store[f"{AT.path}/run-{owner}.json"])
    assert b"".join(objects.store[f"{AT.path}/{one.name}"] for one in kept.files["results.jsonl"]) == old


def test_a_run_whose_address_was_taken_stops_and_writes_no_more(here: Machine, elsewhere: Machine, objects: Objects) -> None:
    journal(here.folder, 20)
    courier = here.courier()
    courier.start()
    theirs = Listing("other", "other", "there", "now").to_bytes()
    objects.store[f"{AT.path}/run.json"] = theirs
    done = courier.finish()
    assert (done["complete"], done["error"]) == (False, "another run took it")
    assert [one.exit_code for one in here.lost] == [ExitCode.TRY_LATER]
    assert objects.store[f"{AT.path}/run.json"] == theirs


def test_an_address_that_cannot_be_written_is_refused_before_anything_is_sent(here: Machine, objects: Objects) -> None:
    journal(here.folder, 1)
    courier = here.courier()
    objects.fails = lambda name, number: name == "pipe_file"
    with pytest.raises(JobError, match="the service is away; nothing was sent") as caught:
        courier.start()
    assert caught.value.exit_code is ExitCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda store, name: store.pop(name), "is not there"),
        (lambda store, name: store.update({name: store[name][:-5]}), "is not what was shipped"),
        (lambda store, name: store.update({name: b"x" + store[name][1:]}), "is not what was shipped"),
        (lambda store, name: store.update({f"{AT.path}/run.json": b"{"}), "no listing of a run"),
        (lambda store, name: store.update({f"{AT.path}/run.json": b'{"version": 2}'}), "version 2, this batchllm knows 1"),
    ],
    ids=["gone", "short", "other", "no listing", "later version"],
)
def test_half_a_run_is_never_taken_for_whole(
    here: Machine, elsewhere: Machine, objects: Objects, damage: Any, message: str
) -> None:
    journal(here.folder, 50)
    here.ship()
    damage(objects.store, next(path for path in objects.store if path.endswith("results-000003.jsonl")))
    with pytest.raises(JobError, match=message) as caught:
        elsewhere.settled()
    assert caught.value.exit_code is ExitCode.BAD_DATA
    assert not elsewhere.folder.exists()
    assert not list(elsewhere.folder.parent.glob(".*"))


def test_a_fetch_that_fails_anywhere_leaves_nothing_and_the_next_gets_all(tmp_path: Path) -> None:
    objects = Objects()
    here = Machine(tmp_path / "here" / "job", objects)
    content = journal(here.folder, 40)
    here.ship()
    failed: list[ExitCode] = []
    for number in range(1, 12):
        elsewhere = Machine(tmp_path / str(number) / "job", objects)
        at = len(objects.calls) + number
        objects.fails = lambda name, count, at=at: count == at
        try:
            elsewhere.settled()
        except JobError as error:
            failed.append(error.exit_code)
            assert not elsewhere.folder.exists()
            assert not list(elsewhere.folder.parent.glob(".*"))
            elsewhere.settled()
        assert elsewhere.results == content
    assert len(failed) >= 6
    assert set(failed) == {ExitCode.UNAVAILABLE}


class Watch:
    """A clock that goes on only where somebody sleeps; `at_each` happens meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at_each: Any = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at_each()

    def lease(self, objects: Objects, owner: str, wall: float = 1e9) -> Lease:
        return Lease(Bucket(AT, objects), owner, sleep=self.sleep, clock=lambda: self.now, wall=lambda: wall)


def test_a_lease_is_waited_for_until_its_owner_shows_itself_or_is_given_up(objects: Objects) -> None:
    watch, told = Watch(), list[str]()
    theirs = watch.lease(objects, "other")
    theirs.take()
    theirs.renewed_at = -1000.0
    watch.at_each = lambda: theirs.renew() if watch.now == 20.0 else None
    later = watch.lease(objects, "mine", wall=1e9 + 30)
    objects.store[f"{AT.path}/lease.json"] = objects.store[f"{AT.path}/lease.json"].replace(b"000000", b"000001")
    with pytest.raises(JobError, match=r"is in use by process \d+ on") as caught:
        later.await_free(told.append)
    assert (caught.value.exit_code, watch.now, len(told)) == (ExitCode.TRY_LATER, 20.0, 1)
    watch.at_each, begun = lambda: None, watch.now
    later.await_free(told.append)
    assert watch.now - begun >= DEAD_S
    later.take()
    theirs.renewed_at = -1000.0
    with pytest.raises(TakenError):
        theirs.renew()


@pytest.mark.parametrize("state", ["none", "mine", "long ago"])
def test_a_lease_of_nobody_is_not_waited_for(objects: Objects, state: str) -> None:
    watch = Watch()
    if state != "none":
        watch.lease(objects, "mine" if state == "mine" else "other").take()
    watch.lease(objects, "mine", wall=1e9 + (10_000 if state == "long ago" else 5)).await_free(pytest.fail)
    assert watch.now == 0.0


def test_a_copy_is_fetched_once_for_each_version(tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    at = Remote("s3://bucket/jobs/reviews.jsonl")
    objects.store[at.path] = line(1)
    assert fetched(at, objects) == CACHE / at.mark / "reviews.jsonl"
    assert fetched(at, objects).read_bytes() == line(1)
    assert objects.calls.count("get_file") == 1
    objects.store[at.path] = line(2)
    assert fetched(at, objects).read_bytes() == line(2)
    objects.fails = lambda name, number: True
    with pytest.raises(JobError, match="the service is away"):
        fetched(at, objects)
    objects.fails = lambda name, number: False
    with pytest.raises(JobError, match="there is no such object") as caught:
        fetched(Remote("s3://bucket/jobs/other.jsonl"), objects)
    assert caught.value.exit_code is ExitCode.BAD_DATA


def test_what_cannot_be_uploaded_is_kept(tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects.fails = lambda name, number: True
    with (
        pytest.raises(JobError, match=f"what was written is in {tmp_path}/table.csv"),
        written(Remote("s3://bucket/x/table.csv"), objects) as local,
    ):
        local.write_text("a,b\n")
    assert (tmp_path / "table.csv").read_text() == "a,b\n"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://bucket", "names no object"),
        ("s3://bucket/", "names no object"),
        ("gs:///key", "names no object"),
        ("s3://KEY:secret@bucket/key", "carries no key"),
    ],
)
def test_an_address_names_an_object_and_carries_no_key(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Remote(url)
    assert "secret" not in str(caught.value)


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(JobError, match=r"gs:// needs gcsfs: pip install 'batchllm\[cloud\]'") as caught:
        filesystem_of(Remote("gs://bucket/key"))
    assert caught.value.exit_code is ExitCode.USAGE


def test_addresses_are_told_from_paths() -> None:
    assert [is_remote(text) for text in ("s3://b/k", "gs://b/k", "az://b/k", "s3:/b/k", "jobs/s3.jsonl", "http://x/y")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert Remote("s3://b/out/x/").mark == Remote("s3://b/out/x").mark != Remote("s3://c/out/x").mark


def test_names_in_a_listing_lead_nowhere_else() -> None:
    evil = Listing("o", "o", "h", "t", files={"../../x": (Segment("a", 1, "x"),)})
    with pytest.raises(ValueError, match="none of a journal"):
        listing_of(evil.to_bytes())


def test_the_fake_refuses_what_the_service_refuses(objects: Objects) -> None:
    bucket = Bucket(AT, objects)
    bucket.create("a", b"1")
    with pytest.raises(TakenError):
        bucket.create("a", b"2")
    mark = bucket.replace("a", b"3", (bucket.read_marked("a") or (b"", None))[1])
    bucket.replace("a", b"4", mark)
    with pytest.raises(TakenError):
        bucket.replace("a", b"5", mark)
    assert bucket.read("a") == b"4"
    objects.fails = lambda name, number: True
    with pytest.raises(AwayError):
        bucket.read("a")


class WithoutThird(Objects):
    """Never takes the third segment."""

    def pipe_file(self, path: str, *args: Any, **options: Any) -> dict[str, Any]:
        if path.endswith("results-000003.jsonl"):
            raise AwayError(f"{path}: the service is away")
        return super().pipe_file(path, *args, **options)


def test_what_was_uploaded_is_listed_also_where_the_next_upload_fails(tmp_path: Path) -> None:
    objects = WithoutThird()
    here = Machine(tmp_path / "job", objects)
    content = journal(here.folder, 40)
    assert here.ship(terms=Cloud(segment=1024, every=1000.0, patience=0.2))["complete"] is False
    assert len(listing_of(objects.store[f"{AT.path}/run.json"]).files["results.jsonl"]) == 2
    assert content.startswith(listed(objects))

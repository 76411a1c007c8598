"""`status`, `report`, `verify` and `export` of a run at an address: from a machine that has nothing else, and only to read.

Opt-in: `pytest -m cloud`; docs/cloud.md says what it needs.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.conftest import records
from tests.e2e.cloud_door import Door
from tests.e2e.clouds import LINES, Machine, Store, until

pytestmark = pytest.mark.cloud


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_a_run_is_read_from_elsewhere_while_it_goes_after_its_machine_is_gone_and_at_its_end(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    here = Machine(tmp_path / "here", store, door, endpoint[0])
    there = Machine(tmp_path / "there", store, door, endpoint[0])
    running = here.start("run", store.job, "-o", store.out, "--quiet", "--rpm", "600")
    until(lambda: store.shipped() > 20)

    going = there.command("status", store.out, "--json")
    assert going.code == 0, going.err
    assert (going.summary["state"], going.summary["folder"]) == ("running", store.out)
    assert f"process {running.pid} on" in going.summary["at_work"]
    assert 20 < going.summary["request_counts"]["completed"] <= store.shipped()
    assert going.summary["request_counts"]["total"] == LINES
    assert "and the run has not ended" in going.err

    until(lambda: store.shipped() > 100)
    running.kill()
    running.communicate(timeout=20)
    lease = json.loads(store.read("out/reviews/lease.json"))
    store.write("out/reviews/lease.json", json.dumps(lease | {"at": lease["at"] - 3600}).encode())
    shipped, objects = store.results(), store.names()

    gone = there.command("status", store.out)
    assert (gone.code, "the last one was cut off before its end" in gone.out) == (0, True), gone.out
    assert f"{LINES}: {len(shipped)} answered, 0 failed, {LINES - len(shipped)} pending" in gone.out
    done = there.command("export", store.out, "-o", "answers.csv")
    assert done.code == 0, done.err
    assert [row["custom_id"] for row in rows((tmp_path / "there/answers.csv").read_text())] == [
        one["custom_id"] for one in sorted(shipped, key=lambda one: one["batchllm"]["line"])
    ]
    whole = there.command("export", store.out, "-o", "all.csv", "--all", "--job", store.job)
    assert (whole.code, len(rows((tmp_path / "there/all.csv").read_text()))) == (0, LINES), whole.err
    verified = there.command("verify", store.job, store.out, "--json")
    assert (verified.code, verified.summary["request_counts"]["pending"]) == (1, LINES - len(shipped)), verified.out
    page = there.command("report", store.out)
    assert (page.code, page.out.strip()) == (0, "reviews.html"), page.err
    assert "<html" in (tmp_path / "there/reviews.html").read_text()
    assert store.names() == objects, "reading writes nothing there"
    assert not list((tmp_path / "there").glob("outputs/reviews-*")), "nor does it begin a run here"

    went_on = there.command("run", store.job, "-o", store.out, "--json", timeout=150)
    assert (went_on.code, went_on.summary["this_run"]["skipped"]) == (0, len(shipped)), went_on.err
    third = Machine(tmp_path / "third", store, door, endpoint[0])
    for machine in (there, third):
        ended = machine.command("status", store.out, "--json")
        assert (ended.summary["state"], ended.summary["ended"]["exit_code"]) == ("ended", 0)
        assert ended.summary["request_counts"]["completed"] == LINES
        assert machine.command("verify", store.job, store.out).code == 0
    answers = store.at("tables/answers.csv")
    assert third.command("export", store.out, "-o", answers, "--job", store.job).code == 0
    assert [row["custom_id"] for row in rows(store.read("tables/answers.csv").decode())] == [
        f"doc-{number}" for number in range(LINES)
    ]
    assert third.command("report", store.out, "-o", store.at("pages/reviews.html")).out.strip() == store.at(
        "pages/reviews.html"
    )
    assert b"<html" in store.read("pages/reviews.html")
    assert records(third.command.folder / _view(third) / "results.jsonl") == store.results()


def _view(machine: Machine) -> Path:
    (found,) = machine.command.folder.glob("outputs/.cloud/*/reviews")
    return found


@pytest.mark.parametrize("where", ["{scheme}://{bucket}/out/none", "{scheme}://nowhere/out/none"])
def test_an_address_without_a_run_is_one_sentence(tmp_path: Path, door: Door, store: Store, where: str) -> None:
    address = where.format(scheme=store.cloud.scheme, bucket=store.bucket)
    done = Machine(tmp_path / "here", store, door, "http://127.0.0.1:9/v1").command("status", address)
    assert (done.code, done.err) == (65, f"batchllm: {address}: no run was shipped there: there is no run.json\n")


@pytest.mark.parametrize("cloud", ["s3"], indirect=True)
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("export", "{out}", "-o", "answers.csv"), 65, "no run was shipped there"),
        (("report", "{out}"), 65, "no run was shipped there"),
        (("verify", "{job}", "{out}"), 65, "no run was shipped there"),
        (("verify", "{job}", "{out}", "--repair"), 2, "nothing is written to"),
        (("verify", "{none}", "{out}"), 65, "there is no such object"),
        (("verify", "{job}", "{none}"), 65, "there is no such object"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    tmp_path: Path, door: Door, store: Store, words: tuple[str, ...], code: int, message: str
) -> None:
    names = {"none": store.at("none.jsonl"), "job": store.job, "out": store.out}
    done = Machine(tmp_path / "here", store, door, "http://127.0.0.1:9/v1").command(*(word.format(**names) for word in words))
    assert (done.code, message in done.err) == (code, True), done.err
    assert len(done.err.splitlines()) == 1, done.err


def test_a_service_that_stays_away_is_one_sentence(tmp_path: Path, door: Door, store: Store) -> None:
    door.closed = lambda method, path: True
    done = Machine(tmp_path / "here", store, door, "http://127.0.0.1:9/v1").command("status", store.out, timeout=200)
    assert (done.code, len(done.err.splitlines())) == (69, 1), done.err
    assert store.out in done.err

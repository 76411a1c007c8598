"""Job, tables and results in object storage, against a real server of each service: processes killed, uploads refused.

Opt-in: `pytest -m cloud`; docs/cloud.md says what it needs.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.conftest import records
from tests.e2e.cloud_door import Door
from tests.e2e.clouds import LINES, SECRET, Machine, Store, asked, until

pytestmark = pytest.mark.cloud


def test_a_run_goes_on_from_another_machine_after_this_one_is_gone(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    base_url, ledger = endpoint
    here = Machine(tmp_path / "here", store, door, base_url)
    running = here.start("run", store.job, "-o", store.out, "--quiet", "--rpm", "1200")
    until(lambda: store.shipped() > 100)
    running.kill()
    running.communicate(timeout=20)
    shipped, local = len(store.results()), len(records(here.folder / "results.jsonl"))
    there = Machine(tmp_path / "there", store, door, base_url)
    done = there.command("run", store.job, "-o", store.out, "--json", timeout=150)
    assert done.code == 0, done.err
    assert "waiting up to 50 s to see whether it still is" in done.err
    assert done.summary["this_run"]["skipped"] >= shipped
    assert json.loads((there.folder / "summary.json").read_bytes())["shipping"]["complete"] is True
    assert done.summary["shipping"]["complete"] is True
    answered = store.results()
    assert sorted(one["custom_id"] for one in answered) == sorted(f"doc-{number}" for number in range(LINES))
    # Asked twice: what the first machine had not shipped yet, and what it had in flight.
    assert sum(asked(ledger).values()) - LINES <= local - shipped + 8
    assert json.loads(store.read("out/reviews/summary.json"))["request_counts"]["completed"] == LINES
    assert store.exists("out/reviews/report.html")
    assert not store.exists("out/reviews/lease.json")
    back = here.command("run", store.job, "-o", store.out, "--json", timeout=90)
    assert (back.code, back.summary["this_run"]["completed"]) == (0, 0), back.err
    assert len({one["custom_id"] for one in store.results()}) == len(store.results()) == LINES


def test_uploads_that_fail_neither_stop_nor_slow_the_run(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    base_url, _ = endpoint
    here = Machine(tmp_path / "here", store, door, base_url, segment=32768)
    seen: list[str] = []

    def closed(method: str, path: str) -> bool:
        if method in ("PUT", "POST") and "segments" in path:
            seen.append(path)
            return len(seen) % 2 == 1
        return False

    door.closed = closed
    done = here.command("run", store.job, "-o", store.out, "--json", timeout=120)
    assert done.code == 0, done.err
    assert door.refused > 0
    assert done.summary["wall_s"] < 4 * LINES * 0.1 / 8
    assert len(store.results()) == LINES
    assert store.read("out/reviews/job.json") == (here.folder / "job.json").read_bytes()


def test_what_could_not_be_shipped_is_said_and_the_same_command_ships_it(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    base_url, ledger = endpoint
    here = Machine(tmp_path / "here", store, door, base_url, patience=2.0)
    running = here.start("run", store.job, "-o", store.out, "--json")
    until(lambda: store.shipped() > 0)
    door.closed = lambda method, path: True
    out, err = running.communicate(timeout=120)
    assert running.returncode == 75, err
    assert json.loads(out)["request_counts"]["completed"] == LINES
    assert json.loads(out)["shipping"]["complete"] is False
    assert "NOT SHIPPED" in err
    assert SECRET not in out + err
    door.closed = lambda method, path: False
    here.set(patience=60.0)
    done = here.command("run", store.job, "-o", store.out, "--json", timeout=90)
    assert (done.code, done.summary["this_run"]["completed"]) == (0, 0), done.err
    assert len(store.results()) == LINES
    assert sum(asked(ledger).values()) == LINES


def test_two_machines_at_once_are_one_and_the_other_is_told_so(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    base_url, ledger = endpoint
    here, there = Machine(tmp_path / "here", store, door, base_url), Machine(tmp_path / "there", store, door, base_url)
    running = here.start("run", store.job, "-o", store.out, "--quiet", "--rpm", "600")
    until(lambda: store.exists("out/reviews/lease.json"))
    late = there.command("run", store.job, "-o", store.out, timeout=90)
    assert (late.code, "is in use by process" in late.err) == (75, True), late.err
    running.terminate()
    running.communicate(timeout=90)
    assert running.returncode == 143
    assert max(asked(ledger).values()) == 1


def test_a_machine_that_was_taken_for_dead_notices_and_overwrites_nothing(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    here, there = (Machine(tmp_path / name, store, door, endpoint[0]) for name in ("here", "there"))
    sleeping = here.start("run", store.job, "-o", store.out, "--quiet", "--rpm", "600")
    until(lambda: store.shipped() > 20)
    sleeping.send_signal(signal.SIGSTOP)
    lease = json.loads(store.read("out/reviews/lease.json"))
    store.write("out/reviews/lease.json", json.dumps(lease | {"at": lease["at"] - 3600}).encode())
    other = there.command("run", store.job, "-o", store.out, "--quiet", timeout=120)
    assert other.code == 0, other.err
    theirs = store.read("out/reviews/run.json")
    sleeping.send_signal(signal.SIGCONT)
    _, err = sleeping.communicate(timeout=120)
    assert (sleeping.returncode, "was taken by another run" in err) == (75, True), err
    assert store.read("out/reviews/run.json") == theirs
    assert sorted(one["custom_id"] for one in store.results()) == sorted(f"doc-{number}" for number in range(LINES))
    back = here.command("run", store.job, "-o", store.out, "--json", timeout=120)
    assert (back.code, back.summary["this_run"]["completed"]) == (0, 0), back.err
    assert "waiting up to" not in back.err


def test_tables_come_from_there_and_go_there(tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]) -> None:
    base_url, _ = endpoint
    here = Machine(tmp_path / "here", store, door, base_url)
    table, job, answers = store.at("tables/words.csv"), store.at("jobs/w.jsonl"), store.at("tables/answers.csv")
    store.write("tables/words.csv", b"id,word\n1,one\n2,two\n")
    built = here.command("build", table, "-o", job, "--prompt", "Say {{ word }}", "--id-column", "id")
    assert (built.code, f"→ {job}: 2 lines" in built.err) == (0, True), built.err
    assert here.command("check", job).code == 0
    assert here.command("run", job, "-o", "local").code == 0
    done = here.command("run", table, "--prompt", "Say {{ word }}", "-o", store.at("out/words"))
    assert (done.code, store.exists("out/words/summary.json")) == (0, True), done.err
    done = here.command("export", "local", "-o", answers, "--input", table, "--on", "id")
    assert done.code == 0, done.err
    assert [row.split(",")[2] for row in store.read("tables/answers.csv").decode().splitlines()[1:]] == ["1", "2"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("run", "{none}"), 65, "there is no such object"),
        (("run", "{scheme}://nowhere/none.jsonl"), 65, "there is no such object"),
        (("run", "{job}", "-o", "{scheme}://nowhere/out"), 69, "nothing was sent"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path], words: tuple[str, ...], code: int, message: str
) -> None:
    names = {"none": store.at("none.jsonl"), "scheme": store.cloud.scheme, "job": store.job}
    done = Machine(tmp_path / "here", store, door, endpoint[0]).command(*(word.format(**names) for word in words))
    assert (done.code, message in done.err) == (code, True), done.err
    assert len(done.err.splitlines()) == 1, done.err
    assert not (endpoint[1].exists() and endpoint[1].stat().st_size)


@pytest.mark.parametrize("cloud", ["s3"], indirect=True)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "s3://bucket"), "names no object"),
        (("run", "{job}", "-o", "{out}", "--lane", "batch", "--provider", "openai"), "works with lane live only"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path], words: tuple[str, ...], message: str
) -> None:
    names = {"job": store.job, "out": store.out}
    done = Machine(tmp_path / "here", store, door, endpoint[0]).command(*(word.format(**names) for word in words))
    assert (done.code, message in done.err, "Traceback" in done.err) == (2, True, False), done.err
    assert not (endpoint[1].exists() and endpoint[1].stat().st_size)

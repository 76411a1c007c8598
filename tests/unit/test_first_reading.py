"""A job's first reading is kept, and used again only where it says exactly what reading the job anew would say."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchllm import first_reading
from batchllm.first_reading import NAME, FirstReading, extent_of
from batchllm.journal.index import State
from batchllm.journal.storage import Storage
from batchllm.preflight import Preflight, Terms
from batchllm.providers import provider
from batchllm.sources.job_file import JobFile
from batchllm.sources.request_line import RequestLine
from batchllm.survey import Survey, survey
from batchllm.unbounded import Unbounded

GOOD = b'{"custom_id":"%s","prompt":"p %s","max_tokens":5}'
LINES = st.sampled_from(
    [
        *(GOOD % (name, name) for name in (b"a", b"b", b"c", b"d", b"e", b"f")),
        b'{"prompt":"no id, no end"}',
        b'{"custom_id":"\\ud800","prompt":"half a pair"}',
        b'{"custom_id":"a","prompt":"taken"}',
        b"not JSON",
        b"",
        b"\xfa\xfe",
        b'{"custom_id":"n","prompt":"x","n":3,"response_format":{"type":"json_object"}}',
    ]
)


class Reads:
    """A job's reading with its watchers, as a run makes it; counts the lines that were really read."""

    def __init__(
        self, folder: Path, job: Path, settings: dict[str, object] | None = None, storage: Storage | None = None
    ) -> None:
        self.preflight = Preflight(Terms(provider("openai")))
        self.unbounded = Unbounded()
        self.lines = 0
        reader = RequestLine({"model": "m"}, "/v1/chat/completions", fault=self.preflight.fault)
        counting = reader.read

        def read(number: int, raw: object, *, again: bool = False) -> object:
            self.lines += 1
            return counting(number, raw, again=again)  # type: ignore[arg-type]

        reader.read = read  # type: ignore[method-assign, assignment]
        self.job = JobFile(job, reader, 1 << 20)
        self.reading = FirstReading(self.job, folder, storage or Storage(), settings or {}, {"model": "m"}, least=1)

    def read(self, limit: int | None = None) -> Survey:
        return self.reading.read(limit, {"preflight": self.preflight, "unbounded": self.unbounded}, self.unbounded)


def facts(found: Survey) -> object:
    index = found.index
    states = [index.state(line) for line in range(index.last_line + 1)]
    digests = list(index._digests)
    return (
        states, digests, found.requests, found.bad_count, found.bad, found.urls, found.models, found.last_line, len(index),
        [index.find(name) for name in ("a", "b", "c", "n", "line-1", "line-2", "\ud800", "absent")],
    )  # fmt: skip


def written(tmp_path: Path, *lines: bytes) -> Path:
    job = tmp_path / "job.jsonl"
    job.write_bytes(b"".join(line + b"\n" for line in lines))
    return job


@given(first=st.lists(LINES, max_size=12), more=st.lists(LINES, max_size=12), torn=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_job_that_grew_reads_as_if_it_were_read_anew(
    first: list[bytes], more: list[bytes], torn: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("out")
    job = folder / "job.jsonl"
    job.write_bytes(b"\n".join(first) + (b"" if torn else b"\n"))
    Reads(folder, job).read()
    with job.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in more))
    resumed, anew = Reads(folder, job), Reads(folder / "elsewhere", job)
    anew_found = survey(anew.job, None, anew.unbounded)
    assert facts(resumed.read()) == facts(anew_found)
    assert resumed.preflight.told() == anew.preflight.told()
    assert resumed.unbounded.told() == anew.unbounded.told()


def test_an_unchanged_job_is_not_read_again_and_a_grown_one_from_where_it_grew(tmp_path: Path) -> None:
    job = written(tmp_path, *(GOOD % (b"%d" % n, b"x") for n in range(50)))
    first, second, third = (Reads(tmp_path, job) for _ in range(3))
    first.read()
    second.read()
    with job.open("ab") as file:
        file.write(GOOD % (b"new", b"x") + b"\n")
    assert third.read().requests == 51
    assert (first.lines, second.lines, third.lines) == (50, 0, 1)


def test_states_of_a_run_are_not_kept_with_the_reading(tmp_path: Path) -> None:
    job = written(tmp_path, GOOD % (b"a", b"x"))
    Reads(tmp_path, job).read().index.set(1, State.DONE)
    assert Reads(tmp_path, job).read().index.state(1) is State.PENDING


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda job, kept: job.write_bytes(job.read_bytes().replace(b"p 7", b"p 8")), id="a line was edited"),
        pytest.param(lambda job, kept: job.write_bytes(job.read_bytes()[:-40]), id="the job shrank"),
        pytest.param(lambda job, kept: kept.write_bytes(kept.read_bytes()[:-1]), id="the kept reading is torn"),
        pytest.param(lambda job, kept: kept.write_bytes(kept.read_bytes()[:-9] + b"\1" * 9), id="a byte of it is wrong"),
        pytest.param(lambda job, kept: kept.write_bytes(b"{}\n"), id="it is something else"),
        pytest.param(lambda job, kept: kept.write_bytes(b""), id="it is empty"),
        pytest.param(lambda job, kept: (kept.unlink(), kept.mkdir()), id="it is a folder"),
    ],
)
def test_in_doubt_the_whole_job_is_read(spoil: object, tmp_path: Path) -> None:
    job = written(tmp_path, *(GOOD % (b"%d" % n, b"%d" % n) for n in range(9)))
    Reads(tmp_path, job).read()
    spoil(job, tmp_path / NAME)  # type: ignore[operator]
    again = Reads(tmp_path, job)
    found = again.read()
    assert again.lines == len(job.read_bytes().splitlines())
    assert facts(found) == facts(survey(Reads(tmp_path / "x", job).job))


def test_other_settings_read_again_another_pace_does_not(tmp_path: Path) -> None:
    job = written(tmp_path, GOOD % (b"a", b"x"))
    Reads(tmp_path, job, {"body": {}, "concurrency": 4}).read()
    faster = Reads(tmp_path, job, {"body": {}, "concurrency": 8})
    hotter = Reads(tmp_path, job, {"body": {"temperature": 1}, "concurrency": 8})
    faster.read()
    hotter.read()
    assert (faster.lines, hotter.lines) == (0, 1)


def test_another_version_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = written(tmp_path, GOOD % (b"a", b"x"))
    Reads(tmp_path, job).read()
    monkeypatch.setattr(first_reading, "__version__", "another")
    newer = Reads(tmp_path, job)
    newer.read()
    assert newer.lines == 1


def test_a_run_of_the_first_lines_only_keeps_nothing_and_uses_nothing(tmp_path: Path) -> None:
    job = written(tmp_path, *(GOOD % (b"%d" % n, b"x") for n in range(9)))
    assert Reads(tmp_path, job).read(limit=3).total == 3
    assert not (tmp_path / NAME).exists()
    Reads(tmp_path, job).read()
    assert Reads(tmp_path, job).read(limit=3).total == 3


class Full(Storage):
    def write(self, fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_refuses_costs_a_sentence_and_not_the_run(tmp_path: Path) -> None:
    job = written(tmp_path, GOOD % (b"a", b"x"))
    full = Reads(tmp_path, job, storage=Full())
    assert full.read().requests == 1
    assert full.reading.notices == [
        f"{tmp_path / NAME} could not be written (No space left on device): the next run reads the whole job again"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["job.jsonl"]


@pytest.mark.parametrize("at", [0, 1, 6, 11])
def test_an_extent_hashes_its_first_bytes_too(at: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"line1\nline2")
    (tmp_path / "start").write_bytes(b"line1\nline2"[:at])
    extent, start = extent_of(path, at)
    assert (extent.size, extent.lines, extent.whole) == (11, 1, False)
    assert start == (extent_of(tmp_path / "start")[0].sha256 if at else "")

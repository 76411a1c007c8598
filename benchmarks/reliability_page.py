"""The page of reliability, out of what was counted. Nothing here measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchllm.testing.trace import CHECKS
from benchmarks.survival import Count
from tests.faultserver.catalogue import CATALOGUE, NOT_FROM_A_SERVER
from tests.fuzz.targets import TARGETS

HEAD = """\
# Reliability

<!-- Written by `python -m benchmarks.reliability`. -->
"""

MEANS = """
Requests are sent at least once, records are written exactly once, and the gap between the two is bounded, counted and
shown. `batchllm verify JOB.jsonl DIR` proves it of one folder; this page says what the code as a whole was put through.

A point counts as survived if the same command, run again until it is done, leaves one record for each line of the job,
every record that had been written is still there byte for byte, nothing that was finished is asked for again, no file
holds a torn or fused line, and no more answers were bought in vain than were in flight. What was bought is counted by
the endpoint, not by us.

What the other ways through were put through stands with them: [the provider's Batch API](batch-lane.md),
[a Batch API of one's own](gateway.md), [a cluster](scale.md), [object storage](cloud.md), [shared limits](sharing.md),
[several endpoints](fleet.md), [budgets](budget.md).
"""

TABLE_HEAD = """
| what was tried | survived | how it is measured |
|---|---|---|
"""

CANNOT = """
## What cannot be promised

* **That a request is sent exactly once.** No public endpoint takes an idempotency key that can be relied on. A
  time-out, a cut connection or a `kill -9` leaves requests whose outcome nobody knows; they are counted
  (`outcome_unknown`), and sent again. The most that one death of the process can cost is what was in flight:
  `--concurrency`.
* **That a power cut costs no more than that.** Records are forced to disk in groups, at the latest a tenth of a second
  or 256 records after they were written, so a power cut costs at most one group more. `--durability each` forces every
  record and makes that none; `--durability none` leaves it to the system: safe against `kill -9`, not against a power
  cut.
* **Anything on a disk that lies.** Where fsync returns before the data is safe (some consumer drives, some virtual
  disks, some settings of network storage), what it confirmed may be gone after a power cut.
* **One run per folder on a network file system without locks.** The lock is the kernel's (`flock`). On NFS mounted with
  `nolock`, and on some others, a second machine is not kept out; a run on a network file system says so at its start.
* **That `--max-cost` is kept to the cent.** What nobody tells is counted at the most it can have been; where usage is told too
  low, or a price is wrong, no count helps, and what is in flight at a `kill -9` is still paid for ([budgets](budget.md)).
* **That the answers are right.** What a model says is checked for being whole and, with `--schema`, for its form.
"""

LIMITS = """
## What these numbers do not say

Faults of the disk are injected in the process, at every call to the operating system through which the output folder is
written, against real files; the power cut is a model (what was not synced is lost in part or wholly, names included),
not a plug that was pulled. Endpoint faults come over real sockets from a server of ours that follows public reports;
hosted endpoints were not asked. The simulated hours are those of the pool's own decisions in virtual time.
"""


@dataclass(frozen=True)
class Row:
    what: str
    held: str
    how: str

    def __str__(self) -> str:
        return f"| {self.what} | {self.held} | {self.how} |\n"


def page(counts: Mapping[str, Count], seconds: float, machine: str, share: float, errors: float) -> str:
    """`share` of what is listed exhaustively and of the disk's errors was tried, by a seeded choice."""
    rows = "".join(map(str, _rows(counts)))
    chosen = f"of the points of a kind {share:.0%} were tried, of the disk's errors a seeded {errors:.0%}"
    measured = f"\nMeasured in {seconds / 60:.0f} minutes ({machine}); {chosen}.\n"
    return f"{HEAD}\n{line(counts)}\n{MEANS}{TABLE_HEAD}{rows}{measured}{_broken(counts)}{CANNOT}{LIMITS}"


def line(counts: Mapping[str, Count]) -> str:
    """The numbers in one sentence."""
    dead = _sum(counts, "kills", "tears", "double kills", "cancels")
    torn, power, disk = counts["tears"], counts["power cuts"], _disk(counts)
    simulated, mutants, canary = counts["simulations"], counts["mutants"], counts["catalogue"]
    worst = max(counts[name].figures.get("worst repeats", 0) for name in ("kills", "tears", "kill -9"))
    over = max(count.figures.get("worst over bound", 0) for count in counts.values())
    return (
        f"crash points survived {_held(dead)} (of which torn writes {torn.tried:,}) · "
        f"real `kill -9` {_held(counts['kill -9'])} · "
        f"power cuts {_held(power)} · storage faults {_held(disk)} · endpoint faults {_held(canary)} in {_kinds()} kinds, "
        f"{canary.figures['injections']:,.0f} injections · "
        f"answers bought again after one death at most {worst:.0f} of 16 in flight, over the bound {over:.0f} · "
        f"replies cut at {counts['cuts'].tried:,} places, {counts['cuts'].figures['false successes']:.0f} taken for whole · "
        f"simulated hours {simulated.figures['hours']:,.0f}, {len(simulated.broken)} violations · "
        f"stateful steps {counts['histories'].tried:,}, {len(counts['histories'].broken)} broken promises · "
        f"inputs fuzzed {counts['inputs'].tried:,}, {len(counts['inputs'].broken)} crashes · "
        f"key canary {canary.figures['canary hits']:.0f} leaks in {canary.figures['canary scenarios'] + counts['key'].tried:.0f} scenarios · "
        f"{_memory(counts['memory'])} · mutants killed {_held(mutants)}"
    )


def _rows(counts: Mapping[str, Count]) -> list[Row]:
    figures = {name: count.figures for name, count in counts.items()}
    simulated, lives = figures["simulations"], figures["histories"]
    return [
        Row("process dies at the entry of a storage call", _held(counts["kills"]),
            "every call of eight kinds of job, `tests/crash/sweeps.py`"),
        Row("process dies in the midst of a write", _held(counts["tears"]),
            "each write after 0 bytes, 1 byte, 50 % and 99.9 % of it"),
        Row("process dies, and again while it recovers", _held(counts["double kills"]), "random pairs of calls, torn or not"),
        Row("run is cancelled at once (a second signal)", _held(counts["cancels"]),
            "at each of 120 turns of its loop; every request is accounted for"),
        Row("`kill -9` of the real process", f"{_held(counts['kill -9'])}, worst {_worst(counts['kill -9'])} of 16 in flight",
            "over sockets, at random moments of start, work and recovery, `tests/crash/processes.py`"),
        Row("answers bought again after one death", f"worst {_worst(_sum(counts, 'kills', 'tears'))} of 4 in flight",
            "the endpoint's ledger against the records"),
        Row("power cut", _held(counts["power cuts"]), "what no fsync covered is lost at random: bytes, creations, renames"),
        Row("disk says no", _held(counts["errors"]),
            "each call, five errors, once and from then on; exit 74 and nothing more is sent"),
        Row("write comes up short", _held(counts["short writes"]), "each write, then on, or onto a full disk"),
        Row("fsync fails and drops its pages", _held(counts["lost pages"]),
            "each fsync of a record file; nothing is bought again"),
        Row("disk too small", _held(counts["small disks"]), "disks of random size; nothing is bought again"),
        Row("kernel refuses to let a file grow", _held(counts["file limits"]), "real processes under RLIMIT_FSIZE"),
        Row("eight processes started on one folder", f"{_held(counts['starts'])}, {len(counts['starts'].broken)} double owners",
            f"{figures['starts']['processes']:.0f} processes; seven exit 75 having sent nothing"),
        Row("faults of an endpoint", f"{_held(counts['catalogue'])} in {_kinds()} kinds",
            f"the whole pipeline over sockets, {figures['catalogue']['injections']:,.0f} requests, "
            "`tests/faultserver/catalogue.py`"),
        Row("the key in a file, on a screen or at another host",
            f"{figures['catalogue']['canary hits']:.0f} of {figures['catalogue']['canary scenarios'] + counts['key'].tried:.0f}",
            "a canary key in six forms: sent to every fault above, echoed, thrown, logged, redirected"),
        Row("replies cut short", f"{_held(counts['cuts'])}, {figures['cuts']['false successes']:.0f} taken for whole",
            "every recorded reply and stream at every byte, closed quietly and broken off"),
        Row("pool against a simulated endpoint",
            f"{_held(counts['simulations'])} runs, {simulated['hours']:,.0f} hours",
            f"{simulated['requests']:,.0f} requests for {simulated['items']:,.0f} lines, {simulated['hints']:,.0f} waits "
            f"asked for and kept; {len(CHECKS)} promises on each run, `batchllm/testing/trace.py`"),
        Row("whole lives of a folder", f"{_held(counts['histories'])} steps",
            f"{lives.get('histories', 0):,.0f} histories of runs, deaths, power cuts, full disks, signals, second runs, "
            "edited and grown jobs and changed settings; every promise after every step, `tests/crash/test_stateful.py`"),
        Row("foreign bytes", f"{_held(counts['inputs'])}",
            f"recorded input bent at random, {len(TARGETS)} readers, slowest {figures['inputs']['worst seconds']:.2f} s, `tests/fuzz`"),
        Row("memory", _memory(counts["memory"]), "the real command at two sizes of job, `benchmarks/memory.py`"),
        Row("known mistakes put in on purpose", f"{_held(counts['mutants'])} noticed",
            "a copy of the package with each, `tests/mutants`"),
    ]  # fmt: skip


def _sum(counts: Mapping[str, Count], *names: str) -> Count:
    made = Count()
    for name in names:
        made += counts[name]
    return made


def _disk(counts: Mapping[str, Count]) -> Count:
    return _sum(counts, "errors", "short writes", "lost pages", "small disks", "file limits")


def _held(count: Count) -> str:
    places = {one.partition(": ")[0] if count.tried < 100 else one for one in count.broken}
    return f"{max(0, count.tried - len(places)):,}/{count.tried:,}"


def _worst(count: Count) -> str:
    return f"{count.figures.get('worst repeats', 0):.0f}"


def _kinds() -> str:
    """Rows of the catalogue of endpoint faults that are covered here."""
    covered = {fault.id for fault in CATALOGUE}
    return f"{len(covered)}/{len(covered | set(NOT_FROM_A_SERVER))}"


def _memory(count: Count) -> str:
    made = count.figures
    peaks = (f"{made[f'{size} peak'] / 2**20:.0f} MiB at {made[size]:,.0f} lines" for size in ("small", "large"))
    return f"peak memory {', '.join(peaks)}"


def _broken(counts: Mapping[str, Count]) -> str:
    found = [f"* {name}: `{one}`" for name, count in counts.items() for one in count.broken]
    return "\n## What did not hold\n\n" + "\n".join(found[:50]) + "\n" if found else ""

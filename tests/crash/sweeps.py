"""Every fault at every storage call of a scene; after each, the run again until it is done, and the promises checked.

Each sweep is a plain callable that returns `Counts`; `share` takes a seeded part of the points.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from batchllm.testing import Fault, FaultyStorage, PowerLossDisk, QuickDisk, SmallDisk
from batchllm.testing.promises import strict
from tests.crash.lives import DIED, counted, job_of
from tests.crash.scenes import CONCURRENCY, Scene
from tests.crash.trial import Disk, Trial, stage

TEARS = ((0.0, 0), (0.0, 1), (0.5, 0), (0.999, 0))
"""Torn writes: share of the bytes that got through, and the least number of them."""
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EINTR)
HARMLESS = frozenset({"unlink", "close", "rmdir"})
"""Calls whose failure costs nothing that was promised: the run may go on."""


@dataclass
class Counts:
    """What a sweep survived: `points` tried, `broken` promises in words, the worst number of repeats against its bound."""

    points: int = 0
    broken: list[str] = field(default_factory=list)
    repeats: int = 0
    bound: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, repeats: int, bound: int, broken: Iterable[str], where: str) -> None:
        self.points += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if repeats > self.repeats:
            self.repeats, self.bound = repeats, bound
        self.bound = self.bound or bound
        self.broken += [f"{where}: {one}" for one in broken]

    def __add__(self, other: Counts) -> Counts:
        worst = max((self, other), key=lambda one: one.repeats)
        kinds = {name: self.kinds.get(name, 0) + other.kinds.get(name, 0) for name in self.kinds | other.kinds}
        return Counts(self.points + other.points, self.broken + other.broken, worst.repeats, worst.bound, kinds)

    def __str__(self) -> str:
        worst = f"at most {self.repeats} repeats (bound {self.bound})"
        return f"{self.points} points, {len(self.broken)} broken, {worst}; {self.kinds}"


def points(total: int, share: float, seed: int) -> list[int]:
    """A seeded share of the calls 1 … total, at least one."""
    if share >= 1:
        return list(range(1, total + 1))
    return sorted(random.Random(seed).sample(range(1, total + 1), max(1, round(total * share))))


def calls_of(scene: Scene) -> list[str]:
    with stage(scene) as trial:
        return counted(scene, trial.folder)


def kills(scene: Scene, share: float = 1.0, seed: int = 1, disk: Disk = QuickDisk) -> Counts:
    """The process dies at the entry of each storage call."""
    return _deaths(scene, "kill", (Fault(at) for at in points(len(calls_of(scene)), share, seed)), disk)


def tears(scene: Scene, share: float = 1.0, seed: int = 2, disk: Disk = QuickDisk) -> Counts:
    """The process dies in the midst of each write, after 0 bytes, 1 byte, 50 % and 99.9 % of it."""
    writes = [at for at, call in enumerate(calls_of(scene), 1) if call.startswith("write ")]
    faults = [Fault(at, "torn", share=part, least=least) for at in writes for part, least in TEARS]
    return _deaths(scene, "torn", _some(faults, share, seed), disk)


def _deaths(scene: Scene, kind: str, faults: Iterable[Fault], disk: Disk) -> Counts:
    counts = Counts()
    for fault in faults:
        with stage(scene, disk) as trial:
            _die(trial, fault)
            trial.bound = CONCURRENCY
            counts.add(kind, trial.end(), trial.bound, trial.broken, f"{scene.name}: {fault}")
    return counts


def _die(trial: Trial, fault: Fault) -> bool:
    """One life that ends at `fault`; whether the fault came to pass at all."""
    storage = FaultyStorage(fault, trial.disk())
    code = trial.live(storage)
    if storage.struck and code != DIED:
        trial.broken.append(f"ended with {code} though it was killed")
    trial.keep()
    return storage.struck


def double_kills(scene: Scene, count: int, seed: int = 3) -> Counts:
    """The process dies, and dies again while it recovers."""
    rng, total, counts = random.Random(seed), len(calls_of(scene)), Counts()
    for _ in range(count):
        kinds = [rng.choice(("kill", "torn")) for _ in range(2)]
        ats = rng.randint(1, total), rng.randint(1, max(2, total // 2))
        with stage(scene) as trial:
            for at, kind in zip(ats, kinds, strict=True):
                fault = Fault(at, "torn", share=rng.random()) if kind == "torn" else Fault(at)
                trial.bound += CONCURRENCY * _die(trial, fault)
            counts.add("double", trial.end(), trial.bound, trial.broken, f"{scene.name}: {ats} {kinds}")
    return counts


def power_cuts(scene: Scene, count: int, seed: int = 4, disk: Callable[[], PowerLossDisk] = PowerLossDisk) -> Counts:
    """The power goes at a random call: what was not synced is lost, in part or wholly."""
    rng, total, counts = random.Random(seed), len(calls_of(scene)), Counts()
    for number in range(count):
        fault = Fault(rng.randint(1, total), "torn", share=rng.random())
        with stage(scene) as trial:
            trial.bound = CONCURRENCY + _cut_power(trial, fault, disk(), random.Random(f"{seed}-{number}"))
            counts.add("power", trial.end(), trial.bound, trial.broken, f"{scene.name}: {number} {fault}")
    return counts


def _cut_power(trial: Trial, fault: Fault, disk: PowerLossDisk, rng: random.Random) -> int:
    """One life that ends in the dark; how many answers were written but not yet synced."""
    storage = FaultyStorage(fault, disk)
    trial.live(storage)
    written = trial.written()
    synced = disk.synced(trial.folder / "results.jsonl")
    attempts = disk.synced(trial.folder / "attempts.jsonl")
    unsynced = [line for line in written.values() if line not in synced]
    behind = (trial.folder / "attempts.jsonl").read_bytes()[len(attempts) :].count(b"\n") if attempts else 0
    if storage.struck:
        disk.lose(rng)
    trial.keep()
    for custom_id, line in written.items():
        if line in synced and custom_id not in trial._kept:
            trial.broken.append(f"{custom_id} was synced and is lost")
    if trial.scene.flags.get("durability") == "each" and len(unsynced) + behind > 1:
        trial.broken.append(f"{len(unsynced) + behind} records were not synced")
    return len(unsynced) + behind


def lost_pages(scene: Scene, share: float = 1.0, seed: int = 9) -> Counts:
    """Each fsync of a journal file fails once, and the disk keeps a random part of what it should have covered."""
    calls, counts = calls_of(scene), Counts()
    syncs = [at for at, call in enumerate(calls, 1) if call in ("fsync results.jsonl", "fsync attempts.jsonl")]
    for fault in _some([Fault(at, "error", number=errno.EIO) for at in syncs], share, seed):
        with stage(scene) as trial:
            disk = PowerLossDisk()
            code = trial.live(FaultyStorage(fault, disk))
            if code != 74 or trial.unwritten:
                trial.broken.append(f"ended with {code}, {trial.unwritten} unwritten")
            disk.lose(random.Random(f"{seed}-{fault.at}"))
            trial.keep()
            counts.add("lost pages", trial.end(), 0, trial.broken, f"{scene.name}: {fault}")
    return counts


def errors(scene: Scene, share: float = 1.0, seed: int = 5) -> Counts:
    """Each call fails with each errno, once and from then on."""
    total = len(calls_of(scene))
    faults = [
        Fault(at, "error", number=number, lasting=lasting)
        for at in range(1, total + 1)
        for number in ERRORS
        for lasting in (False, True)
    ]
    return _failures(scene, "errno", _some(faults, share, seed))


def short_writes(scene: Scene, share: float = 1.0, seed: int = 6, disk: Disk = QuickDisk) -> Counts:
    """Each write comes up short: then goes on, or meets a full disk once, or one that stays full."""
    writes = [at for at, call in enumerate(calls_of(scene), 1) if call.startswith("write ")]
    faults = [
        Fault(at, "short", number=number, lasting=lasting, share=part, least=1)
        for at in writes
        for part in (0.0, 0.5, 0.999)
        for number, lasting in ((0, False), (errno.ENOSPC, False), (errno.ENOSPC, True))
    ]
    return _failures(scene, "short", _some(faults, share, seed), disk)


def _failures(scene: Scene, kind: str, faults: Iterable[Fault], disk: Disk = QuickDisk) -> Counts:
    calls, counts = calls_of(scene), Counts()
    for fault in faults:
        with stage(scene, disk) as trial:
            _fail(trial, fault, calls[fault.at - 1])
            counts.add(kind, trial.end(), trial.bound, trial.broken, f"{scene.name}: {fault} at {calls[fault.at - 1]}")
    return counts


def _fail(trial: Trial, fault: Fault, call: str) -> None:
    """One life on a failing disk: it must stop with 74 and admit nothing more, unless the fault costs nothing."""
    sent = [0]
    storage = FaultyStorage(fault, trial.disk(), lambda: sent.__setitem__(0, len(trial.ledger)))
    code = trial.live(storage)
    call = call or storage.trace[min(fault.at, storage.calls) - 1]
    # What the thread reports, the loop hears at its next turn.
    slack = 2 * CONCURRENCY if trial.scene.flags.get("durability") == "batch" else 0
    if code not in (74, trial.scene.ends) or (code != 74 and not _costs_nothing(fault, call)):
        trial.broken.append(f"ended with {code}, not 74")
    if code == 74 and len(trial.ledger) > sent[0] + slack:
        trial.broken.append(f"{len(trial.ledger) - sent[0]} requests were admitted after the fault")
    trial.bound = trial.unwritten
    if trial.unwritten > CONCURRENCY or (trial.unwritten and not fault.lasting):
        trial.broken.append(f"{trial.unwritten} answers were not written")
    trial.keep()


def _costs_nothing(fault: Fault, call: str) -> bool:
    name, file = call.split(" ", 1)
    note = file == ".lock" and name in ("write", "ftruncate")
    return name in HARMLESS or note or (fault.kind == "short" and not fault.number)


def cancels(scene: Scene, share: float = 1.0, seed: int = 10) -> Counts:
    """The run is cancelled after each number of turns of its loop: every request it sent stands in a record or a note."""
    counts = Counts()
    for turns in points(120, share, seed):
        with stage(scene) as trial:
            noted = 0 if scene.flags.get("fresh") else _noted(trial.folder)
            code = trial.live(cancel_after=turns)
            if code not in (130, scene.ends):
                trial.broken.append(f"ended with {code}")
            if len(trial.ledger) != _noted(trial.folder) - noted:
                trial.broken.append(f"of {len(trial.ledger)} requests {_noted(trial.folder) - noted} are accounted for")
            trial.keep()
            trial.bound = CONCURRENCY
            counts.add("cancel", trial.end(), trial.bound, trial.broken, f"{scene.name}: after {turns} turns")
    return counts


def _noted(folder: Path) -> int:
    """Whole documents in both journal files: one for each request that was sent."""
    files = [folder / name for name in ("results.jsonl", "attempts.jsonl", "results.superseded.jsonl")]
    return sum(_is_json(line) for file in files if file.exists() for line in file.read_bytes().split(b"\n"))


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(strict(line), dict)
    except ValueError:
        return False


def random_errors(scene: Scene, count: int, seed: int = 8) -> Counts:
    """A random call fails, for runs whose calls come in another order each time: the thread that syncs is among them."""
    rng, total, counts = random.Random(seed), len(calls_of(scene)), Counts()
    for _ in range(count):
        fault = Fault(rng.randint(25, total - 20), "error", number=rng.choice(ERRORS), lasting=rng.random() < 0.5)
        with stage(scene) as trial:
            _fail(trial, fault, "")
            counts.add("errno", trial.end(), trial.bound, trial.broken, f"{scene.name}: {fault}")
    return counts


def small_disks(scene: Scene, count: int, seed: int = 7) -> Counts:
    """Disks of `count` sizes between too small for anything and just big enough: each ends with 74 and loses nothing."""
    rng, counts = random.Random(seed), Counts()
    with stage(scene) as trial:
        assert trial.live() == scene.ends
        needed = _bytes_in(trial.folder)
    for _ in range(count):
        capacity = rng.choice((rng.randint(0, 1 << 20), (1 << 20) + rng.randint(0, needed * 3)))
        with stage(scene) as trial:
            scene.write_job(job_of(trial.folder))
            disk = SmallDisk(trial.folder.parent, capacity + _bytes_in(trial.folder.parent))
            code = trial.live(disk)
            if code != (74 if disk.full else scene.ends):
                trial.broken.append(f"ended with {code}")
            if trial.unwritten:
                trial.broken.append(f"{trial.unwritten} answers did not fit into the reserve")
            trial.keep()
            counts.add("small", trial.end(), 0, trial.broken, f"{scene.name}: {capacity} bytes")
    return counts


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _some(faults: list[Fault], share: float, seed: int) -> list[Fault]:
    return [faults[at - 1] for at in points(len(faults), share, seed)]


SWEEPS: dict[str, Callable[[Scene, float, int], Counts]] = {
    "kills": kills, "tears": tears, "errors": errors, "short writes": short_writes, "lost pages": lost_pages,
    "cancels": cancels,
}  # fmt: skip
RANDOM: dict[str, Callable[[Scene, int, int], Counts]] = {
    "double kills": double_kills, "power cuts": power_cuts, "small disks": small_disks,
}  # fmt: skip
THREADED: dict[str, Callable[[Scene, int, int], Counts]] = {
    "double kills": double_kills, "power cuts": power_cuts, "errors": random_errors,
}  # fmt: skip

"""One trial: a scene lived through with faults on the way, and the outside view of what was asked and written."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batchllm.journal.storage import Storage
from batchllm.testing import Ledger, QuickDisk, check_promises, finished
from batchllm.testing.fake_transport import PASSING
from tests.crash.lives import Life, job_of
from tests.crash.scenes import Scene

SHM = Path("/dev/shm")
Disk = Callable[[], Storage]


class Trial:
    """One scene, lived through with faults on the way; keeps the outside view of what was asked and what was written."""

    def __init__(self, scene: Scene, folder: Path, disk: Disk = QuickDisk) -> None:
        self.scene = scene
        self.folder = folder
        self.disk = disk
        self.ledger = Ledger()
        self.broken: list[str] = []
        self.bound = 0
        self.unwritten = 0
        self._kept: dict[str, bytes] = {}
        self._lives = 0
        self._asked_before = scene.earlier(scene, folder).asked.keys() if scene.earlier is not None else set()
        self._done_before = self.written()

    def written(self) -> dict[str, bytes]:
        """The records that stand in the results now, but for those whose line has changed since."""
        return {key: line for key, line in finished(self.folder).items() if key not in self.scene.changed}

    def live(self, storage: Storage | None = None, cancel_after: int | None = None) -> int:
        """Run once; the exit code, or `DIED`. What stood in the results before must not be asked for again."""
        fresh = self.scene.flags.get("fresh") and not self._lives
        done, begin = set() if fresh else _texts(self.written()), len(self.ledger)
        life = Life(self.scene, self.folder, storage or self.disk(), self.ledger, repeating=self._lives > 0)
        life.cancel_after = cancel_after
        code = life.run()
        self._lives += 1
        self.unwritten = life.unwritten
        again = self.ledger.answers(begin).keys() & done
        self.broken += [f"asked again though finished: {text}" for text in sorted(again)]
        return code

    def keep(self) -> None:
        """From now on, every record that is written now must stay; of what was moved aside, every record that was."""
        self._kept = self.written()
        if self._done_before and self.scene.flags.get("fresh") and (aside := self._moved_aside()):
            if finished(aside[0]) != self._done_before or len(aside) > 1:
                self.broken.append("what was moved aside is not whole")
            self._done_before = {}

    def _moved_aside(self) -> list[Path]:
        return list(self.folder.parent.glob(f"{self.folder.name}.*"))

    def end(self) -> int:
        """Run until done and check every promise; the number of answers bought again."""
        code = self.live()
        if code != self.scene.ends:
            self.broken.append(f"the resumed run ended with {code}, not {self.scene.ends}")
            return 0
        found = check_promises(self.folder, job_of(self.folder), self._answers(), bound=self.bound, kept=self._kept)
        self.broken += found.broken
        return found.repeats

    def _answers(self) -> Counter[str]:
        """Answers by text over all lives: those of earlier runs that stand included, asked-for repeats left out."""
        retried = {400} if self.scene.flags.get("retry_failed") else set()
        answers = self.ledger.answers(passing=PASSING | retried) + Counter(_texts(self._done_before))
        for text, count in self.scene.useless.items():
            answers[text] -= min(count, answers[text] - 1)
        for text in {*self.ledger.asked, *self._asked_before}:
            answers[text] = max(1, answers[text])
        return answers


def _texts(custom_ids: Iterable[str]) -> set[str]:
    return {f"doc {custom_id.removeprefix('doc-')}" for custom_id in custom_ids}


@contextmanager
def stage(scene: Scene, disk: Disk = QuickDisk) -> Iterator[Trial]:
    """The scene as its earlier runs left it, in memory; every life has a new `disk` object over the same files."""
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as place:
        (Path(place) / "work").mkdir()
        yield Trial(scene, Path(place) / "work" / "outputs" / scene.name, disk)

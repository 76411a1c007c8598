"""The sweeps see what they are there to see: a disk (or a storage layer) with a known defect does not pass them."""

from __future__ import annotations

import pytest

from batchllm.testing import PowerLossDisk, QuickDisk
from tests.crash.scenes import SCENES
from tests.crash.sweeps import kills, power_cuts, short_writes, tears


class Buffered(QuickDisk):
    """Keeps what is written in memory until a sync or the close: a kill takes it along."""

    def __init__(self):
        self.waiting = {}

    def write(self, fd, data):
        self.waiting[fd] = self.waiting.get(fd, b"") + bytes(data)
        return len(data)

    def fsync(self, fd):
        super().write(fd, self.waiting.pop(fd, b""))


class Untruncated(QuickDisk):
    """Leaves torn tails where they are."""

    def ftruncate(self, fd, size):
        pass


class Unsynced(PowerLossDisk):
    """Says it has synced a file, and has not."""

    def fsync(self, fd):
        pass


class Nameless(PowerLossDisk):
    """Does not sync folders: what was created or renamed may not be there afterwards."""

    def fsync_folder(self, path):
        pass


class RenamedEarly(PowerLossDisk):
    """Renames files that were not synced."""

    def fsync(self, fd):
        if self._paths[fd].suffix != ".new":
            super().fsync(fd)


def test_buffered_records_are_seen():
    assert kills(SCENES["ungrouped"], disk=Buffered).broken


@pytest.mark.parametrize("scene", ["plain", "resumed"])
def test_a_torn_tail_that_is_not_cut_is_seen(scene):
    assert tears(SCENES[scene], 0.3, disk=Untruncated).broken


def test_a_part_that_is_not_taken_back_is_seen():
    assert short_writes(SCENES["plain"], 0.3, disk=Untruncated).broken


@pytest.mark.parametrize(("disk", "scene"), [(Unsynced, "plain"), (Nameless, "plain"), (RenamedEarly, "resumed")])
def test_a_sync_left_out_is_seen(disk, scene):
    assert power_cuts(SCENES[scene], 60, disk=disk).broken

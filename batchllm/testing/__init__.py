"""Fakes that keep the real thing's promises, and faults to order: what batchllm's own crash tests are made of, for users too.

FaultyStorage     counts every storage call and dies, tears, fails or comes up short at a chosen one
SmallDisk         a disk of so many bytes: short counts, then ENOSPC, and room again when something is removed
PowerLossDisk     remembers what was synced, and loses the rest to order
FakeTransport     scripted replies from memory, with a ledger of every request it accepted
VirtualClockLoop  an event loop whose clock jumps to the next timer, for runs of hours in milliseconds
check_promises    what must hold of an output folder, whatever happened to it
"""

from __future__ import annotations

from batchllm.testing.disks import PowerLossDisk, QuickDisk, SmallDisk
from batchllm.testing.fake_transport import FakeTransport, Ledger, Sent, chat_reply, error_reply
from batchllm.testing.faulty_storage import Fault, FaultyStorage, Killed
from batchllm.testing.promises import Findings, check_promises, finished, whole_lines
from batchllm.testing.virtual_clock import VirtualClockLoop, run_virtual

__all__ = [
    "FakeTransport",
    "Fault",
    "FaultyStorage",
    "Findings",
    "Killed",
    "Ledger",
    "PowerLossDisk",
    "QuickDisk",
    "Sent",
    "SmallDisk",
    "VirtualClockLoop",
    "chat_reply",
    "check_promises",
    "error_reply",
    "finished",
    "run_virtual",
    "whole_lines",
]

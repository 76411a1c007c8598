"""Keeps a server no longer than its owner: what runs between us and the command of `--serve`, as a process of its own.

    python -I -S keeper.py SECONDS COMMAND…      its standard input is a pipe that only the owner writes to

The command runs in a process group of its own. When the pipe ends (the owner closed it, or was killed in whatever way)
or the keeper is told to end, the group gets SIGTERM, and SIGKILL after SECONDS. When the command ends by itself, what it
left behind in its group is killed, and the keeper ends with its exit code (128 + N for signal N). Should the keeper
itself be killed, the kernel kills the command (Linux). Knows nothing of batchllm and imports nothing of it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1
NOT_FOUND, NOT_ALLOWED = 127, 126


def main() -> int:
    """Start, watch, end; returns the command's exit code."""
    grace_s, command = float(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is meant for the owner, who decides what becomes of the server
    try:
        child = subprocess.Popen(  # noqa: S603 - the command is the user's own, without a shell
            command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_tied_to_us if sys.platform == "linux" else None
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_ALLOWED
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    threading.Thread(target=_until_the_pipe_ends, args=(end,), daemon=True).start()
    threading.Thread(target=_ended, args=(child.pid, grace_s, end), daemon=True).start()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # not reaped yet: its number still names the group
    _signal_group(child.pid, signal.SIGKILL)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _tied_to_us() -> None:
    """In the child, before the command: the kernel kills it when its parent dies. The signals are its own again."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _until_the_pipe_ends(end: threading.Event) -> None:
    while os.read(0, 4096):
        continue
    end.set()


def _ended(group: int, grace_s: float, end: threading.Event) -> None:
    end.wait()
    _signal_group(group, signal.SIGTERM)
    threading.Event().wait(grace_s)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # nobody is left in it
        return


if __name__ == "__main__":
    sys.exit(main())

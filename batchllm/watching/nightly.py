"""A nightly run as cron, systemd and logrotate have it: text for each, out of one command. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

QUIET_CODES = ("0", "69", "75")
"""Exit codes that need nobody: finished, or to be gone on with by the next start."""
RESTARTED = "69 75"
SPARE_S = 180
"""What a run needs to end beside its drain and its `on_finish`: the last fsync, the report, those who are told."""
RESTART_MIN = 15
LONGEST_LINE = 990
"""Vixie cron takes a command of 998 characters."""


@dataclass(frozen=True, slots=True)
class Nightly:
    """A job to be run each night. `command` is the whole of it, its program absolute; `folder` is where it is run, and what
    relative paths in it are relative to. `at` and `until` are HH:MM; `env_file` None: the .env of the folder, which the
    command reads by itself; `ending_s` how long a stopped run may take for what it has in flight and for `on_finish`."""

    name: str
    command: tuple[str, ...]
    folder: Path
    at: str
    until: str | None
    ending_s: float
    env_file: Path | None = None
    mailto: str | None = None
    every_hour: bool = False

    @property
    def log(self) -> Path:
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def unit(self) -> str:
        """A name that systemd takes for a unit."""
        return "batchllm-" + re.sub(r"[^A-Za-z0-9_.-]", "-", self.name)


def clock(text: str) -> tuple[int, int]:
    """Hour and minute of HH:MM. Raises ValueError with a sentence."""
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and int(hour) < 24 and int(minute) < 60):
        raise ValueError(f"'{text}' should be a time of day such as 01:30")
    return int(hour), int(minute)


def hours(night: Nightly) -> list[int]:
    """The hours at whose minute of `at` a run begins: once, or each hour before `until`.

    Never at or after `until`, for that run would go on to `until` of the next day. Raises ValueError.
    """
    hour, minute = clock(night.at)
    if not night.every_hour:
        return [hour]
    if night.until is None:
        raise ValueError("--every-hour needs --until: the last hour to begin in")
    end_hour, end_minute = clock(night.until)
    span = ((end_hour - hour) * 60 + end_minute - minute) % (24 * 60) or 24 * 60
    return [(hour + step) % 24 for step in range(-(-span // 60))]


def crontab(night: Nightly) -> str:
    """One line of a crontab, with the variables above it. Cron reads `%` as the end of the line, so it is escaped."""
    _, minute = clock(night.at)
    when = ",".join(map(str, hours(night)))
    env = "" if night.env_file is None else f"set -a && . {_word(night.env_file)} && set +a && "
    log = _word(night.log)
    told = shlex.quote(f"{night.unit}: exit code $code, a person has to look; see {night.log}").replace("$code", "'\"$code\"'")
    quiet = "|".join(QUIET_CODES)
    line = (
        f"cd {_word(night.folder)} && {env}mkdir -p {_word(night.log.parent)} && {{ {shlex.join(night.command)} >>{log} 2>&1; "
        f"code=$?; case $code in {quiet}) ;; *) echo {told}; exit $code;; esac; }}"
    )
    head = (
        f"MAILTO={night.mailto}" if night.mailto else "# MAILTO=you@example.com   whom cron writes to when a person has to look"
    )
    line = line.replace("%", r"\%")
    if len(line) > LONGEST_LINE:
        raise ValueError(
            f"the crontab line would be {len(line)} characters long, and cron takes {LONGEST_LINE}: put settings into a file"
        )
    return f"{head}\n{minute} {when} * * * {line}\n"


def service(night: Nightly) -> str:
    """A systemd unit that runs the job once. 69 and 75 start it again, but only within the night."""
    condition = f"ExecCondition=/bin/sh -c '{_within(night)}'\n" if night.until else ""
    env = "" if night.env_file is None else f"EnvironmentFile={_unit_text(str(night.env_file))}\n"
    return (
        f"[Unit]\n"
        f"Description=batchllm: {_unit_text(night.name)}\n"
        f"StartLimitIntervalSec=12h\nStartLimitBurst=40\n"
        f"# OnFailure=your-alert@%n.service\n\n"
        f"[Service]\nType=exec\n"
        f"WorkingDirectory={_unit_text(str(night.folder))}\n{env}{condition}"
        f"ExecStart={' '.join(_unit_word(word) for word in night.command)}\n"
        f"SuccessExitStatus=75 143\n"
        f"RestartForceExitStatus={RESTARTED}\nRestartSec={RESTART_MIN}min\n"
        f"KillMode=mixed\nTimeoutStopSec={night.ending_s + SPARE_S:.0f}\n"
        f"UMask=0077\nNoNewPrivileges=yes\n"
    )


def timer(night: Nightly) -> str:
    """The timer of that unit."""
    _, minute = clock(night.at)
    times = "".join(f"OnCalendar=*-*-* {hour:02}:{minute:02}:00\n" for hour in sorted(hours(night)))
    return f"[Unit]\nDescription=Nightly {night.unit}\n\n[Timer]\n{times}Persistent=true\n\n[Install]\nWantedBy=timers.target\n"


def logrotate(night: Nightly) -> str:
    """For the crontab's log; `copytruncate`, since a run may hold it open. systemd keeps its own journal."""
    path = str(night.log).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{path}" {{\n    weekly\n    rotate 8\n    missingok\n    notifempty\n    compress\n    copytruncate\n}}\n'


def _within(night: Nightly) -> str:
    """A shell's test whether it is night: `at` ≤ now < `until`, also over midnight."""
    assert night.until is not None
    (hour, minute), (end_hour, end_minute) = clock(night.at), clock(night.until)
    begin, end = f"{hour:02}{minute:02}", f"{end_hour:02}{end_minute:02}"
    both = "&&" if begin < end else "||"
    return f'now=$$(date +%%H%%M); [ "$$now" -ge {begin} ] {both} [ "$$now" -lt {end} ]'


def _word(path: Path) -> str:
    return shlex.quote(str(path))


def _unit_text(text: str) -> str:
    return text.replace("%", "%%")


def _unit_word(word: str) -> str:
    """A word of ExecStart: systemd expands `%` and `$`, and reads quotes and backslashes much as C does."""
    text = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"' if not text or any(one in text for one in " \t;'\"\\") else text

"""The mistakes of RELIABILITY's list, each as the smallest change that makes it, and the quickest tests that see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """In the one file below `where` (a module or a folder of the package) that holds `old`, it becomes `new`."""

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def _mutant(name: str, where: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, (Edit(where, old, new),), tests)


SWEEPS = "tests/crash/test_sweeps.py::"
KILLS = f"{SWEEPS}test_a_kill_at_the_entry_of_any_call_costs_at_most_what_was_in_flight"


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "buffered writes",
        (
            Edit(
                "journal/append_file.py",
                "            write_all(self._storage, self._fd, line)\n        except OSError:\n            with",
                "            self._held = [*getattr(self, '_held', ()), line]\n"
                "            if len(self._held) == 5:\n"
                "                held, self._held = self._held, []\n"
                "                write_all(self._storage, self._fd, b''.join(held))\n"
                "        except OSError:\n            with",
            ),
            Edit(
                "journal/append_file.py",
                "        if end != self.synced:\n",
                "        held, self._held = getattr(self, '_held', ()), []\n"
                "        write_all(self._storage, self._fd, b''.join(held))\n"
                "        if end != self.synced:\n",
            ),
        ),
        (f"{KILLS}[ungrouped]",),
    ),
    _mutant(
        "no tail truncation",
        "journal/append_file.py", "        self.cut(at)\n        return", "        return",
        "tests/unit/test_journal_files.py::test_a_tail_torn_anywhere_inside_a_character_included_is_moved_aside",
    ),
    _mutant(
        "rename without fsync",
        "journal/storage.py", "            storage.fsync(fd)\n        storage.replace(temporary, path)",
        "        storage.replace(temporary, path)",
        f"{SWEEPS}test_a_second_kill_a_power_cut_and_a_disk_too_small_are_survived[power cuts-resumed]",
        f"{SWEEPS}test_a_second_kill_a_power_cut_and_a_disk_too_small_are_survived[power cuts-troubled]",
    ),
    _mutant(
        "done before write",
        "pipeline.py", "self._opened.journal.result(record.to_json())",
        "asyncio.get_running_loop().call_soon(self._opened.journal.result, record.to_json())",
        "tests/e2e/test_storage_rows.py::test_an_answer_is_on_the_disk_before_the_next_is_asked_for_s19", f"{KILLS}[plain]",
    ),
    Mutant(
        "unshielded store",
        (
            Edit("engines/local.py", "await asyncio.shield(work)", "await work"),
            Edit(
                "engines/exchange.py", "        self._safe(item, step)\n        self._learn(",
                "        await asyncio.sleep(0)\n        self._safe(item, step)\n        self._learn(",
            ),
        ),
        ("tests/crash/test_stateful.py::test_a_cancel_at_every_turn_leaves_no_request_unaccounted_for",),
    ),
    _mutant(
        "429 consumes attempts",
        "retry.py", "    Kind.REFUSED: Traits(again=True),", "    Kind.REFUSED: Traits(again=True, uses_attempt=True),",
        "tests/unit/test_item.py::test_being_told_to_wait_uses_up_no_attempt_and_is_never_undercut",
    ),
    _mutant(
        "release-all pause",
        "throttle/pause.py", "        self._knocked_at = now\n", "        self._open()\n",
        "tests/unit/test_throttle_pause.py::test_one_knocks_and_the_others_follow_if_it_is_not_refused",
    ),
    Mutant(
        "resume by index",
        (
            Edit(
                "journal/replay.py",
                "        line = self._index.find(custom_id)\n        if not line:\n",
                "        self._at = line = min(getattr(self, '_at', 0) + 1, self._index.last_line)\n        if not line:\n",
            ),
            Edit(
                "journal/replay.py",
                "isinstance(digest, str) and self._index.same(line, digest) and facts", "isinstance(digest, str) and facts",
            ),
        ),
        ("tests/crash/test_stateful.py::test_lines_that_moved_are_not_taken_for_others",),
    ),
    _mutant(
        "resume by prompt text",
        "journal/replay.py", "        self._index.set(line, State.DONE if current else State.PENDING)\n",
        "        self._index.set(line, State.DONE if current else State.PENDING)\n"
        "        for other in range(1, self._index.last_line + 1):\n"
        '            if current and self._index.same(other, facts["digest"]):\n'
        "                self._index.set(other, State.DONE)\n",
        "tests/crash/test_stateful.py::test_a_line_that_repeats_another_is_asked_all_the_same",
    ),
    _mutant(
        "redirects followed",
        "transports/aiohttp_transport.py", "allow_redirects=False", "allow_redirects=True",
        "tests/contract/test_transports.py::test_a_redirect_is_a_reply_and_nobody_else_hears_of_it_h24_x4",
    ),
    _mutant(
        "read without a cap",
        "transports/aiohttp_transport.py", "        if self.size > cap:\n", "        if self.size < 0:\n",
        "tests/contract/test_transports.py::test_a_reply_above_the_cap_is_broken_off_h26_h25[aiohttp-huge]",
        "tests/contract/test_transports.py::test_a_reply_above_the_cap_is_broken_off_h26_h25[aiohttp-gzip-bomb]",
    ),
    _mutant(
        "json by content type",
        "item.py", "            body = loads(reply.body)\n",
        "            if reply.headers.get('content-type', '') != 'application/json':\n"
        "                raise ValueError\n"
        "            body = loads(reply.body)\n",
        "tests/fuzz/test_fuzz.py::test_a_reply_is_read_whatever_type_it_says_it_is_of",
    ),
    _mutant(
        "wall clock",
        "engines", "            came = item.failed(error, now,",
        "            came = item.failed(error, __import__('time').time(),",
        "tests/crash/test_stateful.py::test_a_line_that_repeats_another_is_asked_all_the_same",
    ),
    _mutant(
        "quota always retried",
        "refusals.py", '    Rule(_K.PROBE, _E.QUOTA_EXHAUSTED, {403, 429}, names("insufficient_quota")),',
        '    Rule(_K.REFUSED, _E.RATE_LIMITED, {403, 429}, names("insufficient_quota")),',
        "tests/unit/test_classify.py",
    ),
    _mutant(
        "quota always fatal",
        "refusals.py", '    Rule(_K.PROBE, _E.QUOTA_EXHAUSTED, {403, 429}, names("insufficient_quota")),',
        '    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, {403, 429}, names("insufficient_quota")),',
        "tests/unit/test_classify.py",
    ),
    _mutant(
        "[DONE] not required",
        "item.py", "if verdict is None and self._assembler is not None and not self._assembler.finished:", "if False:",
        "tests/unit/test_item.py::test_a_cut_stream_is_no_success_and_what_came_is_kept",
    ),
    _mutant(
        "same ceiling again after length",
        "item.py", "        if answer.problem is ErrorCode.BAD_RESPONSE:\n",
        "        if answer.problem in (ErrorCode.BAD_RESPONSE, ErrorCode.TRUNCATED):\n",
        "tests/unit/test_item.py::test_no_answer_by_intent_is_told_apart_and_not_asked_again",
    ),
    _mutant(
        "usage of the last attempt only",
        "billing.py", "self.usage = charge.usage if self.usage is NO_USAGE else self.usage + charge.usage",
        "self.usage = charge.usage",
        "tests/unit/test_tally.py::test_a_bill_adds_every_billed_attempt_and_tells_the_rejected_ones_apart",
    ),
    _mutant(
        "budget without reservation",
        "budget.py", "        self._reserved += amount\n", "",
        "tests/unit/test_budget.py",
    ),
    _mutant(
        "pid-file lock",
        "journal/lock.py", "            try:\n                self._storage.flock(self._fd)\n",
        "            try:\n"
        "                pid = os.read(self._fd, 500).partition(b'\"pid\":')[2].partition(b',')[0]\n"
        "                if pid and os.path.exists(b'/proc/' + pid):\n"
        "                    raise BlockingIOError\n",
        "tests/unit/test_journal.py", f"{KILLS}[plain]",
    ),
    _mutant(
        "splitlines reader",
        "sources/raw_lines.py", '        *whole, last = block.split(b"\\n")\n',
        "        text = (block + b'\\0').decode('utf-8', 'surrogateescape').splitlines()\n"
        "        *whole, last = [one.encode('utf-8', 'surrogateescape') for one in text]\n"
        "        last = last[:-1]\n",
        "tests/unit/test_sources.py::test_unicode_separators_do_not_end_a_line",
    ),
    _mutant(
        "secrets in exception text",
        "transports/aiohttp_transport.py", "            raise self._mapped(error, attempt) from None\n",
        "            mapped = self._mapped(error, attempt)\n"
        "            mapped.args = (f'{mapped} ({call.headers})',)\n"
        "            raise mapped from None\n",
        "tests/contract/test_transports.py",
    ),
    _mutant(
        "redirects followed, by httptools",
        "transports/httptools_transport.py", "            return incoming.outcome()\n",
        "            reply = incoming.outcome()\n"
        "            if 300 <= reply.status < 400 and 'location' in reply.headers:\n"
        "                there = str(URL(call.url).join(URL(reply.headers['location'])))\n"
        "                return await self.send(Call(there, call.body, call.headers, call.stream, call.method), feed)\n"
        "            return reply\n",
        "tests/contract/test_transports.py::test_a_redirect_is_a_reply_and_nobody_else_hears_of_it_h24_x4",
    ),
    _mutant(
        "read without a cap, by httptools",
        "transports/incoming.py", "        if self._size > self._cap:\n", "        if self._size < 0:\n",
        "tests/contract/test_transports.py::test_a_reply_above_the_cap_is_broken_off_h26_h25[httptools-huge]",
        "tests/contract/test_transports.py::test_a_reply_above_the_cap_is_broken_off_h26_h25[httptools-gzip-bomb]",
    ),
    _mutant(
        "secrets in exception text, by httptools",
        "transports/httptools_transport.py", "            return incoming.outcome()\n",
        "            if incoming.error is not None:\n"
        "                incoming.error.args = (f'{incoming.error} ({call.headers})',)\n"
        "            return incoming.outcome()\n",
        "tests/contract/test_transports.py",
    ),
)  # fmt: skip

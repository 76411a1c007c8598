"""Hands out lines in the order that warms a provider's prompt cache: of those that begin alike one first, the others behind it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from batchllm.prefixes import Entry, Placed, Warm, placed, prompt_of

WINDOW = 1000
WINDOW_BYTES = 16 << 20
"""A window of lines is sorted as one; it ends at so many lines, or bytes of prompts."""
PATIENCE_S = 5.0
"""A first one that takes longer has been read by then, though its answer is still written: the others go."""


class WarmingFeeder:
    """A feeder that sorts a window of lines at a time and holds back what waits for another's beginning.

    A new beginning is opened only where those that are open will not keep every worker busy for one more answer: each that
    is opened too early may push one out of the provider's cache that is still asked about. Two windows are in memory at
    most. `answered` is to be called with the line of every request that has come to its end.
    """

    def __init__(self, batches: Iterator[Sequence[Entry]], patience_s: float = PATIENCE_S) -> None:
        self._batches = batches
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._openers: deque[_Waited] = deque()
        """May go, and others wait for them."""
        self._warmed: deque[_Waited] = deque()
        """Have waited, and may go."""
        self._alone: deque[_Waited] = deque()
        """Share nothing that is waited for."""
        self._flying: dict[int, _Waited] = {}
        """Handed out and not yet at their end, by line, in that order."""
        self._awaited: dict[int, _Waited] = {}
        """Those of them that others wait for."""
        self._promised = 0
        """Entries whose opener is flying."""
        self._held = 0
        self._asking = 0
        self._warm = Warm()
        self._ended = False
        self._refilling = asyncio.Lock()
        self._news = asyncio.Event()

    async def next(self) -> Entry | None:
        self._asking += 1
        try:
            while (one := self._choice()) is None:
                async with self._refilling:
                    if (one := self._choice()) is not None:
                        break
                    if not await self._more():
                        return None
            return self._handed_out(one)
        finally:
            self._asking -= 1

    def _choice(self) -> _Waited | None:
        """What goes next; None where it has to be read or waited for."""
        if len(self._warmed) + self._promised < len(self._flying) + self._asking:
            if self._openers:
                return self._openers.popleft()
            if self._may_read:
                return None  # the next beginnings are to be opened in time
        queue = self._warmed or self._alone
        return queue.popleft() if queue else None

    @property
    def _may_read(self) -> bool:
        return not self._ended and self._held + len(self._warmed) + len(self._alone) + len(self._openers) <= WINDOW

    def _handed_out(self, one: _Waited) -> Entry:
        line = _line(one.entry)
        self._flying[line] = one
        if one.behind:
            one.due = self._loop.time() + self._patience_s
            self._awaited[line] = one
            self._promised += len(one.behind)
            self._news.set()
        return one.entry

    def answered(self, line: int) -> None:
        """The request of this line has come to its end: what waited for it may go, next of all."""
        self._flying.pop(line, None)
        self._let_go(line)

    def _let_go(self, line: int) -> None:
        one = self._awaited.pop(line, None)
        if one is None:
            return
        self._promised -= len(one.behind)
        self._held -= len(one.behind)
        for beginning, behind in reversed(one.behind):
            self._warm.add(beginning)
            (self._openers if behind.behind else self._warmed).appendleft(behind)
        self._news.set()

    async def _more(self) -> bool:
        """Something more to hand out, or at least news; False once there is nothing left."""
        if self._may_read:
            self._take_in(await asyncio.to_thread(self._window))
            return True
        if not self._held and not self._openers:
            return False
        self._news.clear()
        await self._news_or_patience()
        return True

    async def _news_or_patience(self) -> None:
        """Wait until one that is waited for is answered, or has taken too long."""
        first = next(iter(self._awaited.values()))
        try:
            async with asyncio.timeout_at(first.due):
                await self._news.wait()
        except TimeoutError:
            self._let_go(_line(first.entry))

    def _window(self) -> list[Placed]:
        """The next window, sorted. Blocking."""
        entries: list[Entry] = []
        size = 0
        while len(entries) < WINDOW and size < WINDOW_BYTES:
            batch = next(self._batches, None)
            if batch is None:
                self._ended = True
                break
            entries += batch
            size += sum(len(prompt_of(one)) for one in batch)
        return placed(entries)

    def _take_in(self, window: list[Placed]) -> None:
        waited = [_Waited(one.entry) for one in window]
        free = []
        for one, place in zip(waited, window, strict=True):
            if place.after is None or place.beginning in self._warm:
                free.append((one, place.after is not None))
            else:
                waited[place.after].behind.append((place.beginning, one))
                self._held += 1
        for one, warm in free:
            (self._openers if one.behind else self._warmed if warm else self._alone).append(one)


class _Waited:
    """An entry and those that wait for it, each with the beginning they share."""

    __slots__ = ("behind", "due", "entry")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.behind: list[tuple[bytes, _Waited]] = []
        self.due = 0.0


def _line(entry: Entry) -> int:
    return entry[0].line if isinstance(entry, tuple) else entry.line

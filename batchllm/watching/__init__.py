"""Those who look on while a run goes: notices, metrics, spans, the control socket, the live view.

A run tells them three things, each through one call: that it started, what each of its requests came to, that it ended.
`watchers.watched` puts together what the settings ask for; `Watchers` is what a run is given.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from batchllm.terminal import say

if TYPE_CHECKING:
    from batchllm.pipeline import Run
    from batchllm.steps import Asked, Done, Finished
    from batchllm.types import Json


class Watcher(Protocol):
    """Looks on, and changes nothing of what is asked or kept.

    `started` and `step` are called on the event loop and return at once. `finished` is called when everything is written,
    also for a run that was refused before it started; it may take a bounded time.
    """

    def started(self, run: Run) -> None: ...

    def step(self, came: Done | Json, item: Asked) -> None:
        """One request has ended: with its records, or with the note of an attempt that came to none."""
        ...

    def finished(self, summary: Json, code: int) -> None:
        """`code` is what the process ends with; of a refused run the summary has `job`, `output` and `ended` only."""
        ...


@runtime_checkable
class Glancer(Watcher, Protocol):
    """A watcher that needs no whole records: of lines that another process has finished it is told many at once."""

    def answered(self, answers: Sequence[Finished]) -> None:
        """Each of them was answered by its last request."""
        ...


class Watchers:
    """Several as one. A watcher that fails is said so and dropped: the run goes on without it."""

    def __init__(self, watchers: Iterable[Watcher] = ()) -> None:
        self._watchers = list(watchers)
        self._glancers = [one for one in self._watchers if isinstance(one, Glancer)]
        self.told_end = False

    def started(self, run: Run) -> None:
        self._each(lambda one: one.started(run))

    def step(self, came: Done | Json, item: Asked) -> None:
        for one in self._watchers:
            try:
                one.step(came, item)
            except Exception as defect:
                self._drop(one, defect)
                return

    def answered(self, answers: Sequence[Finished]) -> None:
        for one in self._glancers:
            try:
                one.answered(answers)
            except Exception as defect:
                self._drop(one, defect)
                return

    @property
    def want_records(self) -> bool:
        """Whether anybody looks at more of an answer than `Finished` tells."""
        return len(self._glancers) < len(self._watchers)

    def finished(self, summary: Json, code: int) -> None:
        self.told_end = True
        self._each(lambda one: one.finished(summary, code))

    def _each(self, tell: Callable[[Watcher], Any]) -> None:
        for one in tuple(self._watchers):
            try:
                tell(one)
            except Exception as defect:
                self._drop(one, defect)

    def _drop(self, one: Watcher, defect: Exception) -> None:
        self._watchers = [other for other in self._watchers if other is not one]
        self._glancers = [other for other in self._glancers if other is not one]
        logging.getLogger("batchllm").debug("the defect", exc_info=defect)
        say(
            f"  note: a defect in batchllm itself ({type(defect).__name__} in {type(one).__name__}); the run goes on without it"
        )

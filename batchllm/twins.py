"""Lines of a job that ask for the same: which they are, told in a few bytes a line, and the record of one made the other's. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from batchllm.errors import ErrorCode
from batchllm.records import Record, usage_json
from batchllm.strictjson import dumps
from batchllm.types import Json, Request, Usage

NOTHING_USED = usage_json(Usage(0, 0, 0, 0, 0))
_ITS_OWN = frozenset(
    {"line", "digest", "usage", "attempts", "latency_s", "ttft_s", "tokens_per_s", "cost_usd", "billed", "rejected_usage",
     "rejected_cost_usd", "last_cost_usd", "unknown_outcomes", "at_most", "packed", "metadata", "duplicate_of"}
)  # fmt: skip


def repeatable(request: Request, dedupe: bool | None) -> bool:
    """Whether one answer may serve every line that asks the same.

    `dedupe` true: yes, false: no, None: where the line asks for no chance in its answer (`temperature` 0). A conversation
    has answers of its own, which are notes and not records.
    """
    if dedupe is False or (request.extras is not None and request.extras.turns):
        return False
    if dedupe:
        return True
    temperature = request.body.get("temperature")
    return temperature == 0 and type(temperature) is not bool


class Repeats:
    """Looks at each request as it is first read: whether any of them asks for no chance in its answer."""

    def __init__(self) -> None:
        self.found = False

    def __call__(self, request: Request) -> None:
        self.found = self.found or repeatable(request, None)

    def told(self) -> Json:
        return {"found": self.found}

    def tell(self, told: Json) -> None:
        self.found = told["found"]


class Twins:
    """Groups of lines with the same content, told by the first 64 bits of their digests: four bytes a line, one a group.

    `digests` are by line number, 0 for no line. While the groups are looked for there is a table of four to eight bytes a
    line beside them. Who copies a record holds its whole digest against the line's.
    """

    def __init__(self, digests: Sequence[int] = ()) -> None:
        self._groups = array("I", [0])
        self._taken = bytearray(1)
        self._find(digests)

    def _find(self, digests: Sequence[int]) -> None:
        slots = array("I", bytes(4 << (len(digests) * 3 // 2).bit_length()))
        mask = len(slots) - 1
        for line, digest in enumerate(digests):
            at = digest & mask
            while (first := slots[at]) and digests[first] != digest:
                at = (at + 1) & mask
            if not first:
                slots[at] = line
            elif digest:
                self._join(first, line)

    def _join(self, first: int, line: int) -> None:
        groups = self._groups
        if len(groups) <= line:
            groups.frombytes(bytes(4 * (line + 1 - len(groups))))
        if not groups[first]:
            groups[first] = len(self._taken)
            self._taken.append(0)
        groups[line] = groups[first]

    def __len__(self) -> int:
        return len(self._taken) - 1

    @property
    def spare(self) -> int:
        """Lines beside the first of each group."""
        return len(self._groups) - self._groups.count(0) - len(self)

    def group(self, line: int) -> int:
        """The number of the line's group, from 1; 0 for a line that nobody else asks the same as."""
        return self._groups[line] if line < len(self._groups) else 0

    def take(self, line: int) -> bool:
        """Whether this line is to be sent: the first of its group that asks, and every line without one."""
        group = self.group(line)
        if not group:
            return True
        first = not self._taken[group]
        self._taken[group] = 1
        return first

    def answered(self, group: int) -> None:
        """There is a record that serves this group: none of its lines is to be sent."""
        self._taken[group] = 1


def duplicate(original: Json, request: Request, text: str | None) -> Record:
    """The record of a line whose request was not sent, from the record of the line that was.

    The reply and what was made of it are the original's, a failure too; nothing was used, billed or timed for this line.
    `batchllm.duplicate_of` names the `custom_id` that was sent. `text` is what the reply says, without its reasoning.
    """
    facts, response, error = original["batchllm"], original["response"] or {}, original["error"]
    body = response.get("body")
    own: Json = {"line": request.line, "digest": request.digest}
    own |= {"usage": NOTHING_USED, "attempts": 0, "latency_s": None, "ttft_s": None, "cost_usd": 0.0, "billed": "no"}
    own["duplicate_of"] = facts.get("duplicate_of", original["custom_id"])
    if request.metadata is not None:
        own["metadata"] = request.metadata
    own |= {name: value for name, value in facts.items() if name not in _ITS_OWN}  # `parsed` behind what is counted
    return Record(
        request.line,
        request.custom_id,
        request.digest,
        response.get("status_code") or 0,
        response.get("request_id"),
        None if body is None else dumps(body),
        None if error is None else ErrorCode(error["code"]),
        "" if error is None else error["message"],
        text,
        facts.get("parsed"),
        Usage(0, 0, 0, 0, 0),
        own,
    )

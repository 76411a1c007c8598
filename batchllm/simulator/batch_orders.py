"""How the simulated Batch API behaves: its delays, its limits, and what is to go wrong, to order."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from batchllm.simulator.seeds import mix, unit

LineFault = Literal["missing", "status_zero", "request_timeout"]
_LINE_SALT, _BATCH_SALT = 0xBA7C, 0xBA7D


@dataclass(frozen=True, slots=True)
class BatchOrders:
    """Seconds, shares (0 to 1) and limits. By default every batch is done at once and nothing goes wrong.

    What happens to a line follows from the seed, the line and the number of batches that have held it before, so that a
    line sent again meets its luck anew.
    """

    validating_s: float = 0.0
    """Seconds in `validating`."""
    running_s: float = 0.0
    """Seconds in `in_progress`, all lines of a batch together."""
    finalizing_s: float = 0.0
    """Seconds in `finalizing`, before the files are there."""
    cancelling_s: float = 0.0
    """Seconds in `cancelling`."""
    expires: float = 0.0
    """Share of batches that expire before all of their lines were begun."""
    fails: float = 0.0
    """Share of batches that fail as a whole, with `failure`."""
    failure: str = "token_limit_exceeded"
    """The code of such a failure; it names no line."""
    done_share: float = 0.5
    """Share of the lines that an expired or cancelled batch has answered."""
    troubles: int | None = None
    """Only so many first batches expire or fail; None: every batch may."""
    missing: float = 0.0
    """Share of lines that stand in neither file."""
    status_zero: float = 0.0
    """Share of lines in the error file with status_code 0 and no body."""
    request_timeout: float = 0.0
    """Share of lines in the error file without a response, as `request_timeout`."""
    line_troubles: int | None = None
    """Only in so many first batches that hold a line can it meet one of these; None: in every one."""
    wrong_counts: bool = False
    """`request_counts` says something else than the files."""
    late_ids: int = 0
    """So many times a finished batch is shown with null for the ids of its files."""
    list_lag_s: float = 0.0
    """Seconds until a new batch stands in the list of batches."""
    drops_metadata: bool = False
    """The list and the batch do not repeat the metadata they were given."""
    lost_creations: int = 0
    """So many first batches are created, but the reply is a 500."""
    max_lines: int = 50_000
    """Lines above which a batch fails."""
    max_line_bytes: int = 6_000_000
    """Bytes above which a line fails its batch, and is named."""
    max_file_bytes: int = 200_000_000
    """Bytes above which an upload is refused with 413."""
    queued_tokens: int | None = None
    """Prompt tokens in unfinished batches above which a batch fails as `token_limit_exceeded`."""

    def __post_init__(self) -> None:
        shares = ("expires", "fails", "done_share", "missing", "status_zero", "request_timeout")
        if any(not 0 <= getattr(self, name) <= 1 for name in shares):
            raise ValueError("batches: each share lies between 0 and 1")
        if self.missing + self.status_zero + self.request_timeout > 1 + 1e-9 or self.expires + self.fails > 1 + 1e-9:
            raise ValueError("batches: shares of what can befall the same thing are at most 1 together")
        if any(getattr(self, one.name) < 0 for one in fields(self) if one.name.endswith("_s")):
            raise ValueError("batches: no time can be negative")

    def befalls_line(self, key: int, held_before: int) -> LineFault | None:
        """What goes wrong with the line of this key in the next batch that holds it."""
        if self.line_troubles is not None and held_before >= self.line_troubles:
            return None
        at = unit(mix(mix(key, _LINE_SALT), held_before))
        for name in _LINE_FAULTS:
            at -= getattr(self, name)
            if at < 0:
                return name
        return None

    def befalls_batch(self, seed: int, number: int) -> Literal["expires", "fails"] | None:
        """What goes wrong with the batch of this number, counted from 1."""
        if self.troubles is not None and number > self.troubles:
            return None
        at = unit(mix(mix(seed, _BATCH_SALT), number))
        if at < self.expires:
            return "expires"
        return "fails" if at < self.expires + self.fails else None


_LINE_FAULTS: tuple[LineFault, ...] = ("missing", "status_zero", "request_timeout")

FAILURES: Mapping[str, str] = {
    "token_limit_exceeded": "Enqueued token limit reached for this model in your organization. "
    "Please try again once some in_progress batches have been completed.",
}
"""What a code says beside itself; others say their code only."""

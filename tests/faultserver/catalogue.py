"""Every fault that a server can cause, row by row of the fault catalogue; DESIGN holds where the two differ.

    @pytest.mark.parametrize("fault", CATALOGUE, ids=lambda fault: fault.name)
    async def test_row(fault):
        async with fault.server() as server:
            ...  # run fault.lines() with the settings fault.needs, then compare with fault.expect

A redirect's target must hear nothing in any row: `server.elsewhere.requests` stays empty.
"""

from __future__ import annotations

from collections.abc import Mapping

from .expect import NEEDS, OUTCOMES, Expect, Fault
from .rows_limits import LIMITS
from .rows_payload import PAYLOAD
from .rows_providers import PROVIDERS
from .rows_streams import STREAMED
from .rows_transport import TRANSPORT

__all__ = ["CATALOGUE", "NEEDS", "NOT_FROM_A_SERVER", "OUTCOMES", "ROWS", "Expect", "Fault", "by_id", "quick"]

ROWS: tuple[str, ...] = (
    *(f"H{number}" for number in range(1, 38)),
    *(f"P{number}" for number in range(1, 20)),
    *(f"Q{number}" for number in range(1, 12)),
)

CATALOGUE: tuple[Fault, ...] = (*LIMITS, *TRANSPORT, *STREAMED, *PAYLOAD, *PROVIDERS)

NOT_FROM_A_SERVER: Mapping[str, str] = {
    "H20": "a name that does not resolve: give the client a resolver that fails, then answers",
    "H32": "too few file descriptors: start the client with a low RLIMIT_NOFILE",
    "H33": "proxy variables: set them for the client, and see that loopback is reached directly",
    "H34": "HTTP/2 is not spoken; the pool's limit equals the concurrency: see `FaultServer.peak_in_flight`",
}
"""Rows for other tests, with how they can be caused."""


def by_id(row: str) -> tuple[Fault, ...]:
    """All variants of one row."""
    return tuple(fault for fault in CATALOGUE if fault.id == row)


def quick() -> tuple[Fault, ...]:
    """Faults that need no waits of minutes."""
    return tuple(fault for fault in CATALOGUE if not fault.expect.slow)

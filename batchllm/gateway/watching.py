"""What an operator looks at: `/metrics` in Prometheus' text form, `/healthz`."""

from __future__ import annotations

from aiohttp import web

from batchllm.gateway import rows
from batchllm.gateway.reception import Reception, answer

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Watching:
    """Figures of the whole gateway: no tenant's name and no id stands in them."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self.metrics), web.get("/healthz", self.health)]

    async def health(self, request: web.Request) -> web.Response:
        """200 while requests are taken; 503 while it stops."""
        if self._reception.floor.stopping:
            return answer({"status": "stopping"}, 503)
        return answer({"status": "ok"})

    async def metrics(self, request: web.Request) -> web.Response:
        shop, floor = self._reception.shop, self._reception.floor
        by_status = await shop.store.call(rows.by_status)
        limiter = shop.house.throttle.limiter
        lines = [
            *_family("batches", "gauge", "Batches by status.", [(f'status="{name}"', n) for name, n in sorted(by_status.items())]),
            *_family(
                "lines_total", "counter", "Lines that ended since the start, by outcome.",
                [('outcome="answered"', floor.answered), ('outcome="failed"', floor.failed)],
            ),
            *_family("in_flight", "gauge", "Requests at the endpoint.", [("", limiter.in_flight)]),
            *_family("in_flight_limit", "gauge", "How many there may be now.", [("", limiter.limit)]),
            *_family("live_in_flight", "gauge", "Live requests among them.", [("", shop.house.live.flying)]),
            *_family("live_waiting", "gauge", "Live requests that wait for a slot.", [("", shop.house.live.queued)]),
            *_family(
                "http_requests_total", "counter", "Requests to the gateway.",
                [
                    (f'method="{method}",path="{path}",status="{status}"', count)
                    for (path, method, status), count in sorted(self._reception.told.items())
                ],
            ),
        ]  # fmt: skip
        return web.Response(text="\n".join(lines) + "\n", headers={"Content-Type": TEXT})


def _family(name: str, kind: str, about: str, values: list[tuple[str, int]]) -> list[str]:
    full = f"batchllm_gateway_{name}"
    return [
        f"# HELP {full} {about}", f"# TYPE {full} {kind}",
        *(f"{full}{{{labels}}} {value}" if labels else f"{full} {value}" for labels, value in values),
    ]  # fmt: skip

"""One small HTTP request to somebody who is told of a run: bounded in time and size, never redirected, its URL kept secret."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, NoReturn

SOCKET_S = 10.0
WAITS_S = (1.0, 4.0)
"""Before the second and the third try."""
BOUND_S = 45.0
"""All tries together; name look-up included, which no socket's bound covers."""
REPLY = 64 << 10


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> NoReturn:
        raise urllib.error.HTTPError("", code, "a redirect, which is not followed", headers, fp)


@dataclass(frozen=True, slots=True)
class Sender:
    """How posts go: through which proxy (the environment's are not read), trusting which certificates besides the system's."""

    proxy: str | None = None
    ca_file: str | None = None
    pause: Callable[[float], None] = time.sleep

    def post(self, url: str, data: bytes, kind: str) -> str | None:
        """Post once, and again where that may help; what went wrong in a few words without the URL, None if nothing did.

        Blocking, for `BOUND_S` at most.
        """
        outcome: list[str | None] = []
        thread = threading.Thread(target=lambda: outcome.append(self._post(url, data, kind)), name="batchllm-post", daemon=True)
        thread.start()
        thread.join(BOUND_S)
        return outcome[0] if outcome else f"no answer within {BOUND_S:.0f} s"

    def later(self, url: str, data: bytes, kind: str, failed: Callable[[str], None]) -> threading.Thread:
        """Post in a thread of its own; `failed` is called there with what went wrong."""

        def post() -> None:
            problem = self._post(url, data, kind)
            if problem is not None:
                failed(problem)

        thread = threading.Thread(target=post, name="batchllm-post", daemon=True)
        thread.start()
        return thread

    def _post(self, url: str, data: bytes, kind: str) -> str | None:
        problem, may_pass = self._once(url, data, kind)
        for wait in WAITS_S:
            if problem is None or not may_pass:
                break
            self.pause(wait)
            problem, may_pass = self._once(url, data, kind)
        return problem

    def _once(self, url: str, data: bytes, kind: str) -> tuple[str | None, bool]:
        """What went wrong, and whether another try may help."""
        request = urllib.request.Request(url, data, {"Content-Type": kind, "User-Agent": "batchllm"}, method="POST")  # noqa: S310 - http(s) by `settings.refuse_unpostable`
        try:
            with self._opener(url).open(request, timeout=SOCKET_S) as reply:
                reply.read(REPLY)
        except urllib.error.HTTPError as error:
            error.close()
            return f"HTTP {error.code}", error.code == 429 or error.code >= 500
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            return type(cause).__name__, True
        return None, False

    def _opener(self, url: str) -> urllib.request.OpenerDirector:
        proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else {}
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler(proxies), _NoRedirect()]
        if url.startswith("https"):
            context = ssl.create_default_context()
            if self.ca_file is not None:
                context.load_verify_locations(self.ca_file)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)

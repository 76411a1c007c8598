"""The key, kept out of everything that is written or shown: also where a server repeats it in its reply.

Built from the key itself, not from what keys look like. Servers echo a key as it is, percent-encoded, in base64 (with
something before it or not), with JSON's or HTML's escapes, or only its end ("…kWm5xyz1").
"""

from __future__ import annotations

import html
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import quote

from batchllm.errors import TransportError
from batchllm.types import Reply

LEAST = 12
"""Shorter "keys" are the placeholders of servers that want none (EMPTY, ollama, token): words that answers use."""
END = 8
END_OF = 20
"""Eight characters of a key of 20 give the rest away to nobody, but a log that holds them is no longer clean."""
HIDDEN = b"[key]"
_SHOWN = ("x-request-id", "request-id", "apim-request-id", "location")
"""The headers whose text goes into a record or a message."""


class Redactor:
    """Takes keys out of replies and texts. Costs a search or two per reply, and more only where the key is found."""

    __slots__ = ("_forms", "_needles")

    def __init__(self, *keys: str | None) -> None:
        secret = [form for key in keys if key and _is_secret(key) for form in _forms(key)]
        forms = sorted(set(secret), key=len, reverse=True)
        self._needles = tuple(form for form in forms if not any(other in form for other in forms if other != form))
        self._forms = re.compile(b"|".join(map(re.escape, forms))) if forms else None

    def bytes(self, data: bytes) -> bytes:
        """The same object where the key is not in it. A JSON document stays one: keys stand inside its strings."""
        for needle in self._needles:
            if needle in data:
                assert self._forms is not None
                return self._forms.sub(HIDDEN, data)
        return data

    def text(self, text: str) -> str:
        if not self._needles:
            return text
        data = text.encode("utf-8", "surrogatepass")
        clean = self.bytes(data)
        return text if clean is data else clean.decode("utf-8", "surrogatepass")

    def reply(self, reply: Reply) -> Reply:
        """The same object where the key is neither in the body nor in a header that is shown."""
        if not self._needles:
            return reply
        body = self.bytes(reply.body)
        shown = [(name, reply.headers[name]) for name in _SHOWN if name in reply.headers]
        found = {name: clean for name, value in shown if (clean := self.text(value)) is not value}
        if body is reply.body and not found:
            return reply
        return replace(reply, body=body, headers={**reply.headers, **found})

    def failure(self, error: TransportError) -> TransportError:
        """The same for what came of a reply that broke off."""
        partial = Reply(error.status, error.headers, error.partial, error.elapsed_s)
        clean = self.reply(partial)
        if clean is partial:
            return error
        return TransportError(
            error.phase,
            str(error),
            partial=clean.body,
            status=error.status,
            headers=dict(clean.headers),
            elapsed_s=error.elapsed_s,
        )


def _is_secret(key: str) -> bool:
    return len(key) >= LEAST and not key.isdigit()


def _forms(key: str) -> Iterator[bytes]:
    for text in (key, key[-END:]) if len(key) >= END_OF else (key,):
        raw = text.encode()
        yield raw
        yield quote(text).encode()
        yield quote(text, safe="").encode()
        yield re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")).encode()
        yield text.replace("\\", "\\\\").replace('"', '\\"').encode()
        yield text.replace("/", "\\/").encode()
        yield re.sub(r"[^\w.-]", lambda found: f"\\u{ord(found[0]):04x}", text).encode()
        yield re.sub(r"[^\w.-]", lambda found: f"\\u{ord(found[0]):04X}", text).encode()
        yield html.escape(text).encode()
    for encode in (b64encode, urlsafe_b64encode):
        yield from _in_base64(key.encode(), encode)


def _in_base64(raw: bytes, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """The key in base64 behind any number of other bytes: what of it depends on the key alone."""
    for before in range(3):
        encoded = encode(bytes(before) + raw).rstrip(b"=")
        whole = (before + len(raw)) * 8 // 6  # characters whose bits are all ours, but for those at the beginning
        yield encoded[-(-before * 8 // 6) : whole]

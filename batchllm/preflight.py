"""Looking at every line of a job as it is read: what is known to fail is told before the first request. Pure.

The rules are in `preflight_rules`. An error in a line makes it a bad line; a warning is told once, with its first line and
how many more there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchllm.preflight_rules import Finding, Terms, findings, settings_findings, thinks_by_itself
from batchllm.types import Json, Request

__all__ = ["Finding", "Preflight", "Terms", "Warned", "findings", "settings_findings"]

WATCHED = frozenset(
    {"enable_thinking", "chat_template_kwargs", "thinking", "thinking_budget", "response_format", "text", "n", "stream_options"}
)
"""No rule applies to a chat request that has none of these fields, names no schema and no model that thinks by itself."""
_STREAMING = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/completions"})


@dataclass(slots=True)
class Warned:
    """Lines that one warning holds for: how many, the first of them, and its message."""

    count: int
    line: int
    message: str


class Preflight:
    """Looks at every line of a job as it is read. `warnings` are by rule; a line read again is not counted again."""

    def __init__(self, terms: Terms, missing: Callable[[str], str | None] = lambda path: None) -> None:
        self.terms = terms
        self.warnings: dict[str, Warned] = {}
        self._thinkers = terms.provider.thinking_models if terms.provider.thinking_needs_stream else ""
        self._missing = missing
        self._furthest = 0

    def fault(self, request: Request) -> str | None:
        """The first error in the line, in a sentence with its fix; None if it may be sent."""
        body = request.body
        if request.extras is not None and request.extras.media:
            return self._fault(request, [found for path in request.extras.media if (found := self._missing(path))])
        plain = WATCHED.isdisjoint(body) and request.schema is None and (request.url in _STREAMING or "stream" not in body)
        if plain and not thinks_by_itself(body.get("model"), self._thinkers):
            return None
        return self._fault(request, [])

    def _fault(self, request: Request, missing: list[str]) -> str | None:
        found = findings(request, self.terms) + [Finding("warning", "missing_file", one) for one in missing]
        if found and request.line > self._furthest:
            self._furthest = request.line
            for one in found:
                self._count(one, request.line)
        return next((one.message for one in found if one.severity == "error"), None)

    def _count(self, finding: Finding, line: int) -> None:
        if finding.severity != "warning":
            return
        warned = self.warnings.setdefault(finding.rule, Warned(0, line, finding.message))
        warned.count += 1

    def told(self) -> Json:
        """The warnings so far, to be kept."""
        warnings = {rule: [one.count, one.line, one.message] for rule, one in self.warnings.items()}
        return {"furthest": self._furthest, "warnings": warnings}

    def tell(self, told: Json) -> None:
        """Go on from warnings that were kept."""
        self._furthest = told["furthest"]
        self.warnings = {rule: Warned(*one) for rule, one in told["warnings"].items()}

    def sentences(self) -> list[str]:
        """The warnings, one line each."""
        return [f"line {one.line}{_more(one.count)}: {one.message}" for one in self.warnings.values()]


def _more(count: int) -> str:
    return f" and {count - 1} more" if count > 1 else ""

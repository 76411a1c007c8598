"""Whether every line is what it should be, and no `custom_id` stands twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from batchllm.endpoints import DEFAULT
from batchllm.errors import ExitCode, JobError
from batchllm.journal.index import JobIndex
from batchllm.jsonl.openai_form import FormError, ToOpenAI
from batchllm.jsonl.streams import custom_id
from batchllm.media_files import Media
from batchllm.sources.request_line import RequestLine
from batchllm.strictjson import loads
from batchllm.types import BadLine
from batchllm.validation import load_schema

SHOWN = 20
Check = Callable[[int, bytes], str | None]
_ANY_MODEL = "any"
_OPENAI = frozenset({"custom_id", "method", "url", "body"})


class Validity:
    """Counts lines and keeps the first bad ones. About 25 bytes a line, for the ids."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self.lines = self.bad_count = 0
        self.bad: list[tuple[int, str]] = []
        self._checks = checks
        self._ids = JobIndex()

    def add(self, number: int, raw: bytes) -> None:
        self.lines += 1
        found = (check(number, raw) for check in self._checks)
        message = next((one for one in found if one is not None), None) or self._repeated(number, raw)
        if message is not None:
            self.bad_count += 1
            if len(self.bad) < SHOWN:
                self.bad.append((number, message))

    def _repeated(self, number: int, raw: bytes) -> str | None:
        name = custom_id(loads(raw), number)
        earlier = self._ids.add(number, name, "")
        return f"custom_id '{name[:60]}' is already taken by line {earlier}" if earlier else None

    def as_json(self) -> dict[str, object]:
        bad = [{"line": number, "message": message} for number, message in self.bad]
        return {"lines": self.lines, "bad_lines": self.bad_count, "bad": bad}


def checks(kind: str, model: str | None, schema: str | None, media_root: Path | None = None) -> list[Check]:
    """What each line has to pass, the cheapest first. Raises `JobError` (2) for a schema that cannot be used."""
    made: list[Check] = [_is_object]
    if kind == "openai":
        made += [_has_openai_keys_only, _as_openai(ToOpenAI(model, None))]
    elif kind == "job":
        made.append(_as_job(RequestLine({"model": model or _ANY_MODEL}, DEFAULT, media=Media(media_root))))
    if schema is not None:
        if schema.endswith(".py") or ".py:" in schema:
            raise JobError(ExitCode.USAGE, "--schema takes a JSON Schema file here")
        made.append(_holds_to(schema))
    return made


def _is_object(_: int, raw: bytes) -> str | None:
    try:
        return None if type(loads(raw)) is dict else "it is no JSON object"
    except ValueError as error:
        return str(error)[:200]


def _has_openai_keys_only(_: int, raw: bytes) -> str | None:
    values = loads(raw)
    lacking, odd = sorted(_OPENAI - values.keys()), sorted(values.keys() - _OPENAI)
    return f"there is no '{lacking[0]}'" if lacking else f"'{odd[0]}' does not belong there" if odd else None


def _as_openai(form: ToOpenAI) -> Check:
    def check(number: int, raw: bytes) -> str | None:
        try:
            form.line(number, raw)
        except FormError as error:
            return str(error)
        return None

    return check


def _as_job(reader: RequestLine) -> Check:
    def check(number: int, raw: bytes) -> str | None:
        found = reader.read(number, raw)
        return found.message if isinstance(found, BadLine) else None

    return check


def _holds_to(spec: str) -> Check:
    schema = load_schema(spec, Path())

    def check(_: int, raw: bytes) -> str | None:
        _, problems = schema.validate(loads(raw))
        return f"{problems[0].path or 'the line'}: {problems[0].message}" if problems else None

    return check

"""One line of a job file, in the batch or the short form, into a `Request`; or what is wrong with it, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from batchllm.endpoints import UnknownPathError, endpoint_for
from batchllm.errors import ErrorCode
from batchllm.media_files import Media
from batchllm.protocols import Endpoint
from batchllm.sources.extras import KEYS, extras_of, first_messages, has_media, turns_of
from batchllm.sources.raw_lines import TooLong
from batchllm.strictjson import DEEPEST, canonical, loads, too_deep
from batchllm.types import BadLine, Extras, Json, Request
from batchllm.validation import from_response_format, own_format

_BATCH_KEYS = frozenset({"custom_id", "method", "url", "body", "metadata", "schema"})
_ENVELOPE = frozenset({"custom_id", "method", "url", "metadata", "schema", "system", "prompt"})
# What would choose the host, the key or a header at some gateways; a line may choose none of them, at any depth.
_FORBIDDEN = frozenset(
    {"api_key", "api_base", "base_url", "api_version", "headers", "extra_headers", "extra_query", "extra_body",
     "organization", "litellm_params", "custom_llm_provider", "model_list", "api_key_env", "authorization"}
)  # fmt: skip
_CONTAINERS = frozenset({dict, list})
_CONTENT = frozenset({"messages", "input", "prompt", "tools", "response_format", "text", "metadata", "documents"})
_USUAL = frozenset({"messages", "model", "max_tokens", "temperature", "top_p", "seed", "stop", "stream", "response_format"})
_PROMPTS = frozenset({"messages", "input", "prompt"})
_PROMPT_FIELD = {
    "/v1/embeddings": "input", "/v1/moderations": "input", "/v1/responses": "input", "/v1/completions": "prompt",
    "/v1/images/generations": "prompt",
}  # fmt: skip


class LineError(ValueError):
    """Why a line cannot be sent; the text is one sentence without the line number."""


class RequestLine:
    """Reads lines with one set of defaults: the body fields and the path a line leaves out.

    `media` are the rules for local files, `fault` says what else keeps a request from being sent.
    Raises nothing: `read` gives a `BadLine` where there is no request in a line.
    """

    def __init__(
        self,
        defaults: Mapping[str, Any],
        url: str,
        schemas: frozenset[str] = frozenset(),
        media: Media | None = None,
        fault: Callable[[Request], str | None] | None = None,
    ) -> None:
        self._defaults = dict(defaults)
        self._url = url
        self._schemas = schemas
        self._media = media or Media()
        self._fault = fault
        self._endpoints: dict[str, Endpoint] = {}

    def read(self, number: int, raw: bytes | TooLong, *, again: bool = False) -> Request | BadLine:
        """The line as a request. Read `again`, it is not checked once more: its digest tells whether it is still the same."""
        custom_id = f"line-{number}"
        try:
            if isinstance(raw, TooLong):
                raise LineError(f"the line is {raw:,} bytes long, above sizes.line")
            values = _parsed(raw)
            custom_id = _custom_id(values, custom_id)
            request = self._request(number, custom_id, values, raw, again)
            problem = None if again or self._fault is None else self._fault(request)
            if problem is not None:
                raise LineError(problem)
            return request
        except LineError as error:
            return BadLine(number, custom_id, ErrorCode.INVALID_LINE, str(error))

    def _request(self, number: int, custom_id: str, values: Json, raw: bytes, again: bool) -> Request:
        media = has_media(raw)
        url = values.get("url", self._url)
        endpoint = self._endpoint(url)
        if values.get("method", "POST") != "POST":
            raise LineError(f"'method' is {_short(values['method'])}; only POST is sent")
        turns: tuple[str, ...] = ()
        if "body" in values:
            own = _batch_body(values)
        elif "turns" in values:
            own, turns = _turns_body(values, endpoint.path)
        else:
            own = _short_body(values, endpoint.path)
        body = {**self._defaults, **own}
        if not again:
            _refuse_unsendable(url, endpoint, own, body)
        schema = self._schema(values)
        content = {"url": url, "body": own} if schema is None else {"url": url, "body": own, "schema": schema}
        extras = None
        if media or turns:
            extras = self._extras(values, body, turns, media)
            if turns:
                content |= {"turns": turns, "history": values.get("history")}
        try:
            digest = blake2b(canonical(content), digest_size=16).hexdigest()
        except ValueError as error:
            raise LineError(str(error)) from None
        return Request(number, custom_id, url, body, digest, _metadata(values), schema, extras)

    def _extras(self, values: Json, body: Json, turns: tuple[str, ...], media: bool) -> Extras | None:
        try:
            return extras_of(values, body, turns, self._media if media else None)
        except ValueError as error:
            raise LineError(str(error)) from None

    def _endpoint(self, url: Any) -> Endpoint:
        if type(url) is not str:
            raise LineError(f"'url' is {_short(url)}; it must be the path of an endpoint such as /v1/chat/completions")
        found = self._endpoints.get(url)
        if found is None:
            try:
                found = self._endpoints[url] = endpoint_for(url)
            except UnknownPathError as error:
                raise LineError(str(error)) from None
        return found

    def _schema(self, values: Json) -> str | None:
        name = values.get("schema")
        if name is None:
            return None
        if not isinstance(name, str) or name not in self._schemas:
            raise LineError(f"'schema' is {_short(name)}; it must name one of the settings' [schemas]")
        return name


def _parsed(raw: bytes) -> Json:
    try:
        values = loads(raw)
    except ValueError as error:
        raise LineError(_why_not_json(raw, error)) from None
    if type(values) is not dict:
        raise LineError(f"the line is a JSON {_json_type(values)}, not an object")
    return values


def _why_not_json(raw: bytes, error: ValueError) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as bad:
        return f"not valid UTF-8 at byte {bad.start + 1} of the line"
    return str(error)[:200]


def _custom_id(values: Json, default: str) -> str:
    custom_id = values.get("custom_id", default)
    if type(custom_id) is not str or not custom_id:
        raise LineError(f"'custom_id' is {_short(custom_id)}; it must be a text that is not empty")
    return custom_id


def _metadata(values: Json) -> Json | None:
    metadata = values.get("metadata")
    if metadata is None:
        return None
    if type(metadata) is not dict:
        raise LineError("'metadata' must be an object")
    if too_deep(metadata):
        raise LineError(f"'metadata' is nested deeper than {DEEPEST} levels")
    return metadata


def _batch_body(values: Json) -> Json:
    extra = values.keys() - _BATCH_KEYS
    if extra:
        raise LineError(f"'{min(extra)}' stands beside 'body' and would not be sent; move it into 'body'")
    body = values["body"]
    if type(body) is not dict:
        raise LineError("'body' must be an object")
    return body


def _short_body(values: Json, path: str) -> Json:
    body = {key: value for key, value in values.items() if key not in _ENVELOPE}
    if "prompt" in values:
        field = _PROMPT_FIELD.get(path)
        if field:
            body[field] = values["prompt"]
        else:
            body["messages"] = _messages(values, body)
    elif "system" in values:
        messages = body.get("messages")
        if type(messages) is list:
            body["messages"] = [{"role": "system", "content": values["system"]}, *messages]
    if _PROMPTS.isdisjoint(body):
        raise LineError("there is neither 'prompt' nor 'messages' nor 'body'")
    return body


def _turns_body(values: Json, path: str) -> tuple[Json, tuple[str, ...]]:
    """The body of a conversation's first turn, and all its questions."""
    try:
        turns = turns_of(values, path)
        messages = first_messages(values, turns)
    except ValueError as error:
        raise LineError(str(error)) from None
    body = {key: value for key, value in values.items() if key not in _ENVELOPE and key not in KEYS}
    body["messages"] = messages
    return body, turns


def _messages(values: Json, body: Json) -> list[Json]:
    if "messages" in body:
        raise LineError("'prompt' and 'messages' stand together; keep one")
    prompt = values["prompt"]
    if type(prompt) is not str or not prompt:
        raise LineError("'prompt' must be a text that is not empty")
    system = values.get("system")
    if system is not None and type(system) is not str:
        raise LineError("'system' must be a text")
    user = {"role": "user", "content": prompt}
    return [user] if system is None else [{"role": "system", "content": system}, user]


def _refuse_forbidden(body: Json) -> None:
    """At any depth, in lists too, and however the key is spelled: gateways read `API_Key` as well."""
    rest: list[Any] = [body]
    for value in rest:  # it grows meanwhile: no nesting is too deep for a list
        if type(value) is list:
            rest += [item for item in value if type(item) in _CONTAINERS]
            continue
        for key, item in value.items():
            if key not in _USUAL and _forbidden(key):
                raise LineError(f"'{key}' may not stand in a job line: the endpoint and its key come from the settings")
            if type(item) in _CONTAINERS and key not in _CONTENT:
                rest.append(item)


def _forbidden(key: str) -> bool:
    return key in _FORBIDDEN or (not key.islower() and key.lower().replace("-", "_") in _FORBIDDEN)


def _refuse_unsendable(url: str, endpoint: Endpoint, own: Json, body: Json) -> None:
    _refuse_forbidden(own)
    problem = endpoint.check(body)
    if problem:
        raise LineError(problem)
    _refuse_unusable_schema(url, body)


def _refuse_unusable_schema(url: str, body: Json) -> None:
    """A schema no answer can be checked against is told before anything is paid for."""
    own = own_format(url, body)
    if own is None:
        return
    try:
        from_response_format(own)
    except ValueError as error:
        raise LineError(f"its own response format: {error}") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _json_type(value: Any) -> str:
    return {list: "array", str: "string", int: "number", float: "number", bool: "truth value"}.get(type(value), "null")

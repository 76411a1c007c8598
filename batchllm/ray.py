"""For people whose data is in Ray Data already: a prompt for each row, its answer in new columns.

    import ray
    from batchllm.ray import Prompts

    rows = ray.data.read_parquet("reviews.parquet")
    asked = rows.map_batches(
        Prompts, fn_constructor_kwargs={"prompt": "Translate into English: {text}", "settings": {"model": "gpt-4o-mini"}},
        compute=ray.data.ActorPoolStrategy(size=4), batch_size=256,
    )

Unlike `batchllm run`, nothing is kept between runs: what Ray Data computes again is asked again. It needs no import of Ray.
"""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batchllm.api import stream
from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.records import TOKENS, Record, usage_json
from batchllm.strictjson import dumps
from batchllm.types import Json

__all__ = ["Prompts"]

Row = Mapping[str, Any]
Rows = Mapping[str, Any]
"""A batch as Ray Data hands it over by default: a column of values under each name."""
ENDED = "stopped"
"""`error_code` of rows that were not asked, since the endpoint or the account refused everything."""


class Prompts:
    """Asks one prompt for each row of a batch; a callable class for `Dataset.map_batches`.

    `prompt` is a text with `{column}` in it, or a function from a row to a prompt or to a whole job line (a mapping with
    `prompt` or `messages`, and any other field of the request). `settings` are those of a job, as a mapping: endpoint, model,
    `schema`, `retries`, limits. They hold for each worker of the pool: with four of them, `concurrency`, `rpm`, `tpm` and
    `max_cost` are to be a fourth of what is meant. The key is read from the environment of the worker, as ever.

    Adds the columns `answer` (text), `parsed` (JSON as text, where a schema is set), `error_code` and `error` (null where the
    row is answered), `attempts`, `prompt_tokens`, `completion_tokens`, `cost_usd`, each after `prefix`. A row that
    cannot be asked or answered has its reason there: it never fails the dataset. Raises `JobError` where the settings
    themselves cannot work.
    """

    def __init__(
        self,
        prompt: str | Callable[[Row], str | Mapping[str, Any]],
        settings: Mapping[str, Any] | None = None,
        *,
        prefix: str = "",
    ) -> None:
        self._prompt = prompt
        self._settings = dict(settings or {})
        self._prefix = prefix
        if isinstance(prompt, str):
            _columns_in(prompt)

    def __call__(self, batch: Rows) -> dict[str, Any]:
        """The same batch with the columns of its answers. Blocking; a Ray worker calls it with a batch at a time."""
        count = len(next(iter(batch.values()), ()))
        outcomes: list[Json] = [_not_asked(ENDED, "the run ended before this row was asked") for _ in range(count)]
        lines: dict[int, Mapping[str, Any]] = {}
        for at in range(count):
            try:
                lines[at] = self._line({name: _plain(values[at]) for name, values in batch.items()})
            except Exception as error:  # a row of any kind, a function of the user's: its row says why
                outcomes[at] = _not_asked(str(ErrorCode.INVALID_LINE), f"{type(error).__name__}: {error}"[:500])
        if lines:
            asyncio.run(self._ask(lines, outcomes))
        made = {self._prefix + name: [one[name] for one in outcomes] for name in COLUMNS}
        return {**batch, **made}

    def _line(self, row: Row) -> Mapping[str, Any]:
        made = self._prompt.format_map(_Plain(row)) if isinstance(self._prompt, str) else self._prompt(row)
        line: Mapping[str, Any] = {"prompt": made} if isinstance(made, str) else made
        dumps(dict(line))  # what JSON cannot say is this row's fault, and told as such
        return line

    async def _ask(self, lines: Mapping[int, Mapping[str, Any]], outcomes: list[Json]) -> None:
        places = list(lines)
        answers: Iterator[Mapping[str, Any]] = ({**line, "custom_id": f"row-{at}"} for at, line in lines.items())
        try:
            async for record in stream(answers, self._settings):
                outcomes[places[record.line - 1]] = _outcome(record)
        except JobError as ending:
            if ending.exit_code is ExitCode.USAGE:
                raise
            for at in places:
                if outcomes[at]["error_code"] == ENDED:
                    outcomes[at] = _not_asked(ENDED, str(ending))


COLUMNS = ("answer", "parsed", "error_code", "error", "attempts", "prompt_tokens", "completion_tokens", "cost_usd")


def _outcome(record: Record) -> Json:
    usage = usage_json(record.usage)
    return {
        "answer": record.text,
        "parsed": None if record.parsed is None else dumps(record.parsed).decode(),
        "error_code": None if record.ok else str(record.code),
        "error": None if record.ok else record.message,
        "attempts": record.facts.get("attempts", 0),
        TOKENS[0]: usage[TOKENS[0]],
        TOKENS[1]: usage[TOKENS[1]],
        "cost_usd": record.facts.get("cost_usd"),
    }


def _not_asked(code: str, why: str) -> Json:
    return {**dict.fromkeys(COLUMNS), "error_code": code, "error": why, "attempts": 0}


def _plain(value: Any) -> Any:
    """A value of a numpy column as Python's own."""
    convert = getattr(value, "tolist", None)
    return value if convert is None else convert()


class _Plain(dict[str, Any]):
    """Columns for a template; one that is not there is named."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"the prompt names a column that is not there: {name}")


def _columns_in(template: str) -> None:
    """Only `{column}` stands for something: attributes and indexes of values could reach further than a prompt should."""
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"the prompt is no template: {error}; a brace of its own is written twice") from None
    for name in fields:
        if not name.isidentifier():
            raise ValueError(f"the prompt has {{{name}}}, which names no column")

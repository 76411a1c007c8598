"""Rows into job lines: `custom_id`, the prompt, the body's fields, and in `metadata` which row it was."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import orjson

from batchllm.journal.index import JobIndex
from batchllm.prompting.template import Prompt, PromptError, PromptTemplate
from batchllm.prompting.variants import Variant
from batchllm.sources.tables import Row
from batchllm.types import Json

_APPEND = orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a row becomes lines. `kept` are columns that go into the metadata, `images` columns with paths or URLs."""

    template: PromptTemplate
    variants: tuple[Variant, ...] = (Variant(),)
    fields: Json | None = None
    id_column: str | None = None
    images: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """Every column that has to be there."""
        own = () if self.id_column is None else (self.id_column,)
        return self.template.used | {*own, *self.images, *self.kept}


class JobLines:
    """Makes the lines; remembers ids in about 25 bytes a row, where they come from a column."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._seen = JobIndex()
        self._fields = recipe.fields or {}

    def lines(self, row: Row) -> list[bytes]:
        """The row's lines, one for each variant. Raises `PromptError`; then the row has none."""
        recipe, values = self._recipe, row.values
        asked = _request(recipe, recipe.template.prompt(values), values)
        name = f"row-{row.number}" if recipe.id_column is None else _id(values, recipe.id_column)
        facts = {"row": row.number, **{column: values.get(column) for column in recipe.kept}}
        try:
            made = [
                orjson.dumps(
                    {
                        "custom_id": name + one.ending, **asked, **self._fields, **one.fields,
                        "metadata": {**facts, **one.facts} if one.facts else facts,
                    },
                    option=_APPEND,
                )
                for one in recipe.variants
            ]  # fmt: skip
        except TypeError:
            raise PromptError("it has text that is not valid UTF-8") from None
        if recipe.id_column is not None:
            earlier = self._seen.add(row.number, name, "")
            if earlier:
                raise PromptError(f"'{recipe.id_column}' is '{name[:60]}' again, as in row {earlier}")
        return made


def _id(values: Json, column: str) -> str:
    value = values.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # Excel knows no whole numbers
    name = "" if value is None else str(value).strip()
    if not name:
        raise PromptError(f"'{column}' is empty" if column in values else f"there is no column '{column}'")
    return name


def _request(recipe: Recipe, prompt: Prompt, values: Json) -> Json:
    """The short form where it is enough; messages where there are examples or images."""
    if not recipe.template.examples and not recipe.images:
        return {"prompt": prompt.user} if prompt.system is None else {"system": prompt.system, "prompt": prompt.user}
    content: Any = prompt.user
    if recipe.images:
        content = [{"type": "text", "text": prompt.user}, *_images(recipe.images, values)]
    system = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
    return {"messages": [*system, *recipe.template.examples, {"role": "user", "content": content}]}


def _images(columns: tuple[str, ...], values: Json) -> list[Json]:
    made = []
    for column in columns:
        cell = values.get(column)
        found = [_url(one, column) for one in (cell if isinstance(cell, list) else [cell])]
        made += [{"type": "image_url", "image_url": {"url": url}} for url in found]
    return made


def _url(cell: Any, column: str) -> str:
    """A path or URL as it stands; the bytes of a dataset's image in place."""
    if isinstance(cell, dict) and (cell.get("bytes") or cell.get("path")):
        cell = f"data:{_media_type(cell['bytes'])};base64,{cell['bytes']}" if cell.get("bytes") else cell["path"]
    if not isinstance(cell, str) or not cell.strip():
        raise PromptError(f"'{column}' has no image in it")
    return cell.strip()


_BEGINNINGS = {
    b64encode(b"\x89PNG\r\n").decode(): "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp",
}  # fmt: skip


def _media_type(coded: Any) -> str:
    found = next((kind for beginning, kind in _BEGINNINGS.items() if str(coded).startswith(beginning)), None)
    if found is None:
        raise PromptError("its image is no PNG, JPEG, GIF or WebP")
    return found

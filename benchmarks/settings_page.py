"""Writes docs/settings.md out of the settings themselves.

python -m benchmarks.settings_page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from batchllm.settings import Settings

PAGE = Path(__file__).parents[1] / "docs/settings.md"
HEAD = """\
# Settings

<!-- Written by `python -m benchmarks.settings_page`; a test says when it is out of date. -->

Every setting, with its default. The same names stand in `batchllm.toml`, in a job's sidecar (`reviews.toml` beside `reviews.jsonl`),
in the environment as `BATCHLLM_<NAME>` (`BATCHLLM_MODEL=qwen3`, `BATCHLLM_TIMEOUTS='{ total = 60 }'`; a `.env` file is read and never
overrides) and, most of them, as a flag (`--max-cost 5`). Later ones win, in this order: defaults, `batchllm.toml`, sidecar,
environment, flags. Tables are merged key by key; a source that names an endpoint (`provider`, `base_url`, `serve`) replaces
the earlier one whole. Paths in a settings file are relative to it. A name that does not exist is refused with the nearest that does.

Keys stand in no settings file: `api_key_env` names the variable that holds one.
"""
TABLE = "\n| setting | default | what it is |\n|---|---|---|\n"


def page() -> str:
    plain, tables = [], []
    for name, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            tables.append((name, model))
        else:
            plain.append(_row(name, field))
    parts = [HEAD, TABLE, *plain]
    for name, model in tables:
        parts += [
            f"\n## [{name}]\n\n{model.__doc__}\n",
            TABLE,
            *(_row(key, field) for key, field in model.model_fields.items()),
        ]
    return "".join(parts)


def _row(name: str, field: FieldInfo) -> str:
    assert field.description, f"{name} has no description"
    choices = [one for one in get_args(field.annotation) if isinstance(one, str)]
    about = field.description + (f" ({', '.join(choices)})" if choices else "")
    return f"| `{field.alias or name}` | {_default(field.get_default(call_default_factory=True))} | {about} |\n"


def _default(value: Any) -> str:
    if value is None or value == {}:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 1 << 20:
        return f"{value >> 20} MiB"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

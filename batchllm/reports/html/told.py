"""What was run: the job file, the settings, the command, so that the page can be understood years later."""

from __future__ import annotations

from typing import Any

import orjson

from batchllm.reports.html.figures import count, moment
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.markup import Markup, el
from batchllm.strictjson import dumps

CLIP = 20_000


def told(picture: Picture) -> Markup:
    """The facts of `job.json`, the long ones folded away."""
    manifest, summary = picture.manifest, picture.summary
    job, shaping = manifest.job, manifest.shaping
    ended = summary.get("ended", {})
    bad = job.get("bad_lines") or 0
    facts = [
        ("Job file", job.get("path")),
        ("Lines", f"{count(picture.counts['total'])}" + (f", {count(bad)} of them bad" if bad else "")),
        ("SHA-256", job.get("sha256")),
        ("Endpoint", summary.get("endpoint") or shaping.get("endpoint")),
        ("Model", shaping.get("model")),
        ("Structured by", shaping.get("structured")),
        ("First run", moment(manifest.created)),
        ("Last end", f"{moment(ended.get('at'))}: {ended.get('reason')} (exit {ended.get('exit_code')})" if ended else None),
        ("Command", ended.get("command")),
        ("Folder", str(picture.folder)),
        ("Version", f"batchllm {manifest.version}"),
    ]
    rows = [(el("dt", name), el("dd", value)) for name, value in facts if value not in (None, "")]
    folded = [_folded("Settings", manifest.settings), _folded("Schema", shaping.get("schema"))]
    return el("section", el("h2", "What was run"), el("div", el("dl", rows, class_="facts"), folded, class_="panel"))


def _folded(name: str, value: Any) -> Markup | None:
    if not value:
        return None
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        text = dumps(value).decode()
    return el("details", el("summary", name), el("pre", text[:CLIP]), class_="more-of")

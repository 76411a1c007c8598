"""Whatever was asked, answered or said by a server: on the page it is text, and nothing acts (X13)."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from batchllm.errors import ErrorCode
from batchllm.reports import html
from batchllm.reports.html.markup import Markup, el, escaped
from tests.unit.report.folders import answer, failure, folder, note
from tests.unit.report.parsing import Parsed


def report(folder: Path) -> bytes:
    return b"".join(html.report(folder))


def compare(before: Path, after: Path) -> bytes:
    return b"".join(html.compare(before, after))


HOSTILE = {
    "a script": "<script>alert(1)</script>",
    "the end of a script": "</script><script>alert(1)</script>",
    "the end of a style": "</style><style>*{display:none}</style>",
    "an image that fails": '<img src=x onerror="alert(1)">',
    "an attribute's end": '" onmouseover="alert(1)" x="',
    "another quote": "' onfocus='alert(1)' autofocus x='",
    "a drawing": "<svg/onload=alert(1)>",
    "a frame": '<iframe srcdoc="<script>alert(1)</script>">',
    "a link": '<a href="javascript:alert(1)">x</a>',
    "a form": '<form action="http://127.0.0.1:9"><button>x',
    "a comment": "<!-- <b> --!><script>alert(1)</script>",
    "character data": "]]><script>alert(1)</script>",
    "the end of a box": "</pre></details></main></body></html><script>alert(1)</script>",
    "a policy": '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:9">',
    "a base": '<base href="http://127.0.0.1:9/">',
    "an entity": "&lt;script&gt;alert(1)&lt;/script&gt;",
}  # fmt: skip
ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "main", "script", "header", "section", "footer", "div", "span", "p", "h1",
    "h2", "h3", "b", "bdi", "br", "code", "pre", "dl", "dt", "dd", "details", "summary", "table", "tr", "th", "td", "figure", "svg",
    "rect", "path", "line", "input", "select", "option", "output",
}  # fmt: skip
HARMLESS = re.compile(
    r"class|id|dir|lang|role|hidden|name|value|type|placeholder|autocomplete|content|charset|http-equiv|aria-[a-z]+|data-[a-z]+"
    r"|x|y|x1|x2|y1|y2|d|width|height|viewbox|preserveaspectratio"
)


def page(tmp_path: Path, text: str) -> bytes:
    """A page on which a hostile text stands in every place that a stranger may fill."""
    job = tmp_path / "job.jsonl"
    records = [
        answer(f"a{text}", text, reasoning=text, model=text, metadata={text: text}),
        answer(f"b{text}", "", parsed={text: [text]}, line=2),
        failure(f"c{text}", text, problems=[{"path": text, "message": text}], line=3),
        failure(f"d{text}", text, code=ErrorCode.REFUSAL, line=4),
    ]
    made = folder(
        tmp_path / "out", *records, notes=(note(text, text, message=text), note("timeout", "maybe_paid")),
        job={"path": f"jobs/{text}.jsonl"}, ended={"reason": text, "command": text, "at": text, "exit_code": text}, endpoint=text,
        series=[{"at": text, "t": [0, text]}],
    )  # fmt: skip
    job.unlink(missing_ok=True)
    return report(made)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_text_stays_text_x13(tmp_path: Path, text: str) -> None:
    found = Parsed(page(tmp_path, text))
    assert text in found.text
    only_ours(found)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_text_stays_text_where_two_runs_are_compared(tmp_path: Path, text: str) -> None:
    before = folder(tmp_path / "a", answer(text, text), failure("f", text, line=2))
    after = folder(tmp_path / "b", answer(text, text + "!", parsed={text: 1}), failure("f", text, line=2))
    found = Parsed(compare(before, after))
    assert text in found.text
    only_ours(found)


def only_ours(found: Parsed) -> None:
    """Nothing but elements and attributes that show something; the scripts and styles are those the policy names."""
    assert not found.open
    assert {name for name, _ in found.elements} <= ELEMENTS
    assert all(HARMLESS.fullmatch(name) for _, attributes in found.elements for name in attributes)
    [script], [style] = found.scripts, found.styles
    policy = next(one["content"] for one in found.named("meta") if one.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for text in (script, style):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy


def test_marks_that_turn_the_direction_are_shown_as_their_code(tmp_path: Path) -> None:
    made = page(tmp_path, "abc\u202egpj.exe\u2066x\u200f").decode()
    assert "abc\\u202egpj.exe\\u2066x\\u200f" in made
    assert not set(made) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def test_text_of_strangers_cannot_turn_what_stands_beside_it(tmp_path: Path) -> None:
    found = Parsed(report(folder(tmp_path, answer("שלום", "مرحبا"))))
    assert found.named("pre")[0]["dir"] == "auto"
    assert "unicode-bidi:isolate" in found.styles[0]


@pytest.mark.parametrize("text", ["\x00", "\x1b[31m", "\x08", "\x7f", "\x9b", "\ufeff"])
def test_control_characters_are_shown_as_their_code(text: str) -> None:
    assert escaped(text)[:6] == f"\\u{ord(text[0]):04x}"


def test_half_a_surrogate_pair_makes_no_broken_page(tmp_path: Path) -> None:
    assert "a\\ud83db" in report(folder(tmp_path, answer("a", "a\ud83db"))).decode("utf-8")


def test_a_text_is_escaped_unless_it_is_markup() -> None:
    assert el("p", "<b>", Markup("<b>"), None, ["&", 1], title="'\"<") == '<p title="&#39;&quot;&lt;">&lt;b&gt;<b>&amp;1</p>'


def test_the_page_names_no_address_to_load_from(tmp_path: Path) -> None:
    found = Parsed(report(folder(tmp_path, answer("a"))))
    assert not {"src", "href", "srcset", "action", "style"} & {name for _, attributes in found.elements for name in attributes}
    assert "url(" not in found.styles[0]
    assert "@import" not in found.styles[0]

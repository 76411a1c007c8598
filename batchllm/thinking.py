"""Reasoning that stands in the answer itself: `<think>…</think>`.

Servers without a reasoning parser send it as content. Chat templates that open the block in the prompt
(DeepSeek-R1, QwQ) leave only the closing tag in the answer.

    starts with <think>, closed          reasoning, answer
    starts with <think>, never closed    all of it is reasoning: the answer was cut off
    only </think>                        what stands before it is reasoning, unless
                                           the text starts like JSON or a code fence: the tag stands in data
                                           the tag is wrapped in quotes or backticks: it is talked about
    anything else                        all of it is the answer, untouched
"""

from __future__ import annotations

from typing import NamedTuple

BLANK = "\ufeff \t\r\n\v\f\u00a0\u200b"
"""What may stand around an answer without being part of it: white space and the byte order mark."""

OPEN, CLOSE = "<think>", "</think>"
_DATA = ("{", "[", '"', "```", "~~~")
_QUOTES = "\"'`"


class Split(NamedTuple):
    """Both parts are trimmed if there was a block. `closed` is False where the reasoning never ended."""

    reasoning: str | None
    answer: str
    closed: bool


def split_thinking(text: str) -> Split:
    """Part the reasoning from the answer, by the rules above. An empty block counts as no reasoning."""
    if CLOSE not in text and OPEN not in text:
        return Split(None, text, True)
    start = text.lstrip(BLANK)
    if start.startswith(OPEN):
        reasoning, tag, answer = start[len(OPEN) :].partition(CLOSE)
        return Split(reasoning.strip(BLANK) or None, answer.strip(BLANK), bool(tag))
    before, tag, after = start.partition(CLOSE)
    if not tag or OPEN in before or start.startswith(_DATA) or _quoted(before, after):
        return Split(None, text, True)
    return Split(before.strip(BLANK) or None, after.strip(BLANK), True)


def _quoted(before: str, after: str) -> bool:
    return before[-1:] == after[:1] and before[-1:] in _QUOTES and before != ""

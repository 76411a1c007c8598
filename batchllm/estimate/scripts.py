"""Tokens of a text by its scripts, where no tokenizer is at hand. Pure.

The rates were fitted to some 500 texts with Mistral's Tekken tokenizer (a vocabulary of 131,000): manuals in 30 languages,
business documents in English, German and Chinese, Python, rows of JSON, numbers. The sum for a language is at most 20 % too low
(Bavarian, Latvian, Croatian) and 24 % too high (Vietnamese), for nine texts in ten it is within 18 %; four bytes a token, the usual
rule, misses numbers by four times. Other tokenizers differ: OpenAI's newer ones take a third to a half fewer tokens for Chinese
characters and digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

RATES: tuple[tuple[str, float], ...] = (
    (r"[A-Za-z]", 0.28),
    (r"[0-9]", 1.0),
    (r"\s+", 0.27),  # a run of blanks; a single one mostly belongs to the word behind it
    (r"[!-/:-@\[-`{-~]", 0.55),
    (r"[\u00c0-\u024f\u1e00-\u1eff]", 1.15),  # Latin letters with marks
    (r"[\u0370-\u052f]", 0.39),  # Greek, Cyrillic
    (r"[\u3400-\u9fff]", 1.1),  # Chinese characters
    (r"[\u3040-\u30ff]", 0.71),  # kana
    (r"[\uac00-\ud7a3]", 0.71),  # Hangul syllables
)
REST = 0.55
"""Tokens of a character of any other script or sign."""
SPREAD = 1.3
"""How far the tokens of a job may lie from this, up or down."""

_CLASSES = [(re.compile(pattern), rate) for pattern, rate in RATES]
_REST = re.compile(r"[^\x00-\x7f\u00c0-\u024f\u1e00-\u1eff\u0370-\u052f\u3400-\u9fff\u3040-\u30ff\uac00-\ud7a3]")
_ASCII_CLASSES = 4


def tokens(text: str) -> float:
    """About how many tokens a text has."""
    classes: Iterable[tuple[re.Pattern[str], float]] = (
        _CLASSES[:_ASCII_CLASSES] if text.isascii() else [*_CLASSES, (_REST, REST)]
    )
    return sum(len(pattern.findall(text)) * rate for pattern, rate in classes)

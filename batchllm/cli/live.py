"""An answer on a terminal, shown as it grows."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from batchllm.terminal import harmless

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class Live:
    """An answer on a terminal as it grows: the reasoning dimmed, then the text; each piece once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._dims = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.restart()

    def restart(self) -> None:
        """Forget what was shown: another answer follows on a line of its own."""
        if getattr(self, "_column", False):
            self._write("\n")
        self.text, self._reasoning, self._column = "", "", False

    def show(self, reasoning: str | None, text: str | None) -> None:
        """What there is so far. What was shown and is no longer a beginning of it waits for the end."""
        if reasoning and reasoning != self._reasoning and reasoning.startswith(self._reasoning) and not self.text:
            self._dimmed(reasoning[len(self._reasoning) :])
            self._reasoning = reasoning
        # A beginning of "<think>" may yet turn out to be one.
        if text and text != self.text and text.startswith(self.text) and not "<think>".startswith(text.strip()):
            if self._reasoning and not self.text:
                self._write("\n\n")
            self._write(text[len(self.text) :])
            self.text = text

    def finish(self, reasoning: str | None, text: str | None) -> None:
        """The whole answer, with its last line ended."""
        if text and not text.startswith(self.text):
            self.restart()
        self.show(reasoning, text)
        if text and self.text != text:  # as short as a beginning of "<think>"
            self._write(text[len(self.text) :])
            self.text = text
        if self._column:
            self._write("\n")

    def _dimmed(self, piece: str) -> None:
        if not self._dims and not self._reasoning:
            self._write("(reasoning) ")
        self._stream.write(_DIM if self._dims else "")
        self._write(piece)
        self._stream.write(_PLAIN if self._dims else "")
        self._stream.flush()

    def _write(self, piece: str) -> None:
        self._stream.write(harmless(piece.replace("\r\n", "\n")))
        self._stream.flush()
        self._column = not piece.endswith("\n")


def live_on(stream: TextIO) -> Live | None:
    """Answers are shown as they grow where somebody looks; a pipe gets each answer whole."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Live(stream) if stream.isatty() else None

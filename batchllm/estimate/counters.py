"""What counts tokens: the tokenizer the user names, OpenAI's where it lies on this machine, else rates by script.

Nothing is fetched. tiktoken loads what it has not from the network, and fetches anew what it finds damaged: it is asked only
where the file it will read is there and whole.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.estimate import scripts

EXACT = 1.02
"""What a provider may add to what the right tokenizer counts, beside the words around each message."""
_FILES = {
    "cl100k_base": ("cl100k_base", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
    "o200k_base": ("o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
    "o200k_harmony": ("o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
}
"""Encodings, the file each is read from and its hash (tiktoken_ext.openai_public)."""
_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts the tokens of a text. The true number lies within `spread` times the count, up or down; `name` is for people."""

    name: str
    spread: float
    count: Callable[[str], float]


BY_SCRIPT = Counter("approximate rates by script", scripts.SPREAD, scripts.tokens)


def counter_for(tokenizer: str | None, model: str | None) -> Counter:
    """The best there is. Raises `JobError` (2) where the file that the user names cannot be used."""
    if tokenizer is not None:
        return _from_file(tokenizer)
    name = encoding_of(model) if model else None
    encoding = cached_encoding(name) if name else None
    return BY_SCRIPT if encoding is None else tiktoken_counter(encoding)


def _from_file(path: str) -> Counter:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise JobError(ExitCode.USAGE, "tokenizer needs a package: pip install 'batchllm[tokenizers]'") from None
    if not Path(path).is_file():
        raise JobError(ExitCode.USAGE, f"tokenizer: there is no file {path}")
    try:
        loaded = Tokenizer.from_file(path)
        loaded.no_truncation()
        loaded.no_padding()
    except Exception as error:  # the package raises bare exceptions for files it cannot read
        raise JobError(ExitCode.USAGE, f"tokenizer: {path} is no tokenizer.json: {str(error)[:200]}") from None
    return Counter(f"the tokenizer {path}", EXACT, lambda text: float(len(loaded.encode(text, add_special_tokens=False).ids)))


def encoding_of(model: str) -> str | None:
    """The encoding of one of OpenAI's models; None for any other model, and without tiktoken."""
    try:
        from tiktoken.model import encoding_name_for_model

        return encoding_name_for_model(model)
    except (ImportError, KeyError):
        return None


def cached_encoding(name: str, environ: dict[str, str] | None = None) -> Any:
    """tiktoken's encoding of this name where its file is on this machine and whole, else None."""
    file, expected = _FILES.get(name, ("", ""))
    folder = _cache_folder(os.environ if environ is None else environ)
    if not file or folder is None:
        return None
    path = folder / hashlib.sha1(_ADDRESS.format(file).encode(), usedforsecurity=False).hexdigest()
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            return None
        import tiktoken

        return tiktoken.get_encoding(name)
    except (ImportError, OSError, ValueError):
        return None


def _cache_folder(environ: Any) -> Path | None:
    """Where tiktoken looks: an empty variable turns its cache off, and it would fetch."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if name in environ:
            return Path(environ[name]) if environ[name] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"


def tiktoken_counter(encoding: Any) -> Counter:
    return Counter(f"tiktoken, {encoding.name}", EXACT, lambda text: float(len(encoding.encode_ordinary(text))))

"""`/v1/embeddings`: a unit vector for each input, as numbers or base64 of little-endian float32. Pure."""

import sys
from array import array
from base64 import b64encode
from hashlib import sha256
from math import sqrt
from random import Random
from typing import Any

from batchllm.simulator.reply import FINGERPRINT, Call, Made
from batchllm.simulator.seeds import key_of
from batchllm.simulator.tokens import estimate


def inputs(body: dict[str, Any]) -> list[Any]:
    """The inputs: one text, several texts, one list of token numbers, or several."""
    value = body["input"]
    if isinstance(value, list) and not all(isinstance(token, int) for token in value):
        return value
    return [value]


def prompt_tokens(body: dict[str, Any]) -> int:
    return sum(len(one) if isinstance(one, list) else estimate(str(one)) for one in inputs(body))


def made(call: Call) -> Made:
    """The vectors in the order of the inputs; the same text has the same vector in every request."""
    size = call.body.get("dimensions") or call.options.embedding_dimensions
    as_text = call.body.get("encoding_format") == "base64"
    rows = []
    for index, one in enumerate(inputs(call.body)):
        numbers = vector(str(one), call.options.seed, size)
        rows.append({"object": "embedding", "index": index, "embedding": encoded(numbers) if as_text else numbers})
    if call.fault == "empty":
        rows = []
    tokens = prompt_tokens(call.body)
    whole = {
        "object": "list",
        "data": rows,
        "model": call.model,
        "system_fingerprint": FINGERPRINT,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Made(whole, tokens, 0)


def vector(text: str, seed: int, size: int) -> list[float]:
    """A vector of length 1, each number exactly a float32, so that both encodings say the same."""
    rng = Random(key_of(seed, sha256(text.encode("utf-8", "surrogatepass")).digest()))
    drawn = [rng.gauss(0.0, 1.0) for _ in range(size)]
    length = sqrt(sum(number * number for number in drawn)) or 1.0
    return array("f", (number / length for number in drawn)).tolist()


def encoded(numbers: list[float]) -> str:
    packed = array("f", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return b64encode(packed.tobytes()).decode()

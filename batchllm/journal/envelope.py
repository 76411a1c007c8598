"""What resuming needs of a result, without parsing the reply it holds: a million of them are read in seconds."""

from __future__ import annotations

from batchllm.journal.soundness import parsed
from batchllm.strictjson import loads
from batchllm.types import Json

_FACTS = b',"error":null,"batchllm":'
_ID = b'"custom_id":"'
_PARSED = b',"parsed":'


def id_and_facts(raw: bytes) -> tuple[str, Json]:
    """`custom_id` and `batchllm` of a result, without parsing the reply between them where that can be told.

    The words before our facts can stand within them only where a schema has such fields; then what follows the last
    of them is no JSON document, and the line is parsed as a whole.
    """
    start, at = raw.find(_ID, 0, 80) + len(_ID), raw.rfind(_FACTS)
    name = raw[start : raw.find(b'"', start)]
    if at > 0 and start >= len(_ID) and b"\\" not in name and raw.endswith(b"}}"):
        try:
            return name.decode(), loads(raw[at + len(_FACTS) : -1])
        except ValueError:
            pass
    return _whole(raw)


def id_and_account(raw: bytes) -> tuple[str, Json]:
    """The same, and what a result was billed and how long it took, but not `parsed` and what stands behind it.

    Where the words before the facts stand twice, or where it was cut within one of them, more of the line is parsed.
    """
    start, at = raw.find(_ID, 0, 80) + len(_ID), raw.find(_FACTS)
    name = raw[start : raw.find(b'"', start)]
    end = raw.find(_PARSED, at) if 0 < at == raw.rfind(_FACTS) else -1
    if end > 0 and start >= len(_ID) and b"\\" not in name and raw.endswith(b"}}"):
        try:
            return name.decode(), loads(raw[at + len(_FACTS) : end] + b"}")
        except ValueError:
            pass
    return id_and_facts(raw)


def _whole(raw: bytes) -> tuple[str, Json]:
    record = parsed(raw)
    if type(record["custom_id"]) is not str:
        raise TypeError("custom_id is no text")
    return record["custom_id"], record["batchllm"]

"""`/v1/moderations`: a verdict for each input; a text with the word "flagged" is flagged. Pure."""

from typing import Any

from batchllm.simulator.embeddings import inputs
from batchllm.simulator.reply import FINGERPRINT, Call, Made
from batchllm.simulator.tokens import content_text, estimate

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def prompt_tokens(body: dict[str, Any]) -> int:
    return sum(estimate(text) for text in _texts(body))


def made(call: Call) -> Made:
    whole = {
        "id": call.id("modr-"),
        "model": call.model,
        "system_fingerprint": FINGERPRINT,
        "results": [_result("flagged" in text.lower()) for text in _texts(call.body)],
    }
    return Made(whole, prompt_tokens(call.body), 0)


def _texts(body: dict[str, Any]) -> list[str]:
    """One text for each input; a list of content parts (text, image_url) is one input."""
    if isinstance(body["input"], list) and all(isinstance(part, dict) for part in body["input"]):
        return [content_text(body["input"])]
    return [str(one) for one in inputs(body)]


def _result(flagged: bool) -> dict[str, Any]:
    hit = "violence" if flagged else None
    return {
        "flagged": flagged,
        "categories": {name: name == hit for name in CATEGORIES},
        "category_scores": {name: 0.93 if name == hit else 0.0001 for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] if name == hit else [] for name in CATEGORIES},
    }

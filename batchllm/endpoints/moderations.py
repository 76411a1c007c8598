"""`/v1/moderations` (platform.openai.com/docs/api-reference/moderations): `{"results": [{"flagged", …}]}`, no
usage.
"""

from __future__ import annotations

from batchllm.endpoints.plain import Plain, has

ENDPOINT = Plain(
    path="/v1/moderations",
    needs=(("input",),),
    holds=("results",),
    sound=has("flagged", "categories"),
    needs_model=False,
)

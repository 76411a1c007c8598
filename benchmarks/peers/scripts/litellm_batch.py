"""litellm: `acompletion` under a semaphore and a gather, as its page on asynchronous calls shows."""

from __future__ import annotations

import asyncio

import litellm
from lines import KEY, MODEL, given, prompts, write


async def main() -> None:
    asked = given()
    slots = asyncio.Semaphore(asked.concurrency)
    litellm.suppress_debug_info = True

    async def ask(custom_id: str, prompt: str, most: int) -> tuple[str, str | None]:
        async with slots:
            reply = await litellm.acompletion(
                model=f"openai/{MODEL}", api_base=asked.base_url, api_key=KEY, max_tokens=most, num_retries=2,
                messages=[{"role": "user", "content": prompt}], stream=asked.stream,
            )  # fmt: skip
            if not asked.stream:
                return custom_id, reply.choices[0].message.content
            return custom_id, "".join([chunk.choices[0].delta.content or "" async for chunk in reply if chunk.choices])

    write(asked.out, await asyncio.gather(*(ask(*line) for line in prompts(asked.job))))


asyncio.run(main())

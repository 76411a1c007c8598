"""The openai SDK: its asynchronous client, a semaphore, a gather. `--transport aiohttp` takes its other HTTP client."""

from __future__ import annotations

import asyncio

from lines import KEY, MODEL, given, prompts, write
from openai import AsyncOpenAI, DefaultAioHttpClient


async def main() -> None:
    asked = given()
    slots = asyncio.Semaphore(asked.concurrency)

    async def ask(custom_id: str, prompt: str, most: int) -> tuple[str, str | None]:
        messages = [{"role": "user", "content": prompt}]
        async with slots:
            if not asked.stream:
                reply = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=most)
                return custom_id, reply.choices[0].message.content
            stream = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=most, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            return custom_id, "".join(pieces)

    more = {"http_client": DefaultAioHttpClient()} if asked.transport == "aiohttp" else {}
    async with AsyncOpenAI(base_url=asked.base_url, api_key=KEY, **more) as client:
        write(asked.out, await asyncio.gather(*(ask(*line) for line in prompts(asked.job))))


asyncio.run(main())

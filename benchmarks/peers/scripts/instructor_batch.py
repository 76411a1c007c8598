"""instructor: a pydantic model for each answer, JSON mode, a semaphore and a gather, as its page on asynchronous use shows."""

from __future__ import annotations

import asyncio

import instructor
from lines import KEY, MODEL, given, prompts, write
from openai import AsyncOpenAI
from pydantic import BaseModel


class Order(BaseModel):
    item: str
    count: int
    price: float
    note: str


async def main() -> None:
    asked = given()
    slots = asyncio.Semaphore(asked.concurrency)
    client = instructor.from_openai(AsyncOpenAI(base_url=asked.base_url, api_key=KEY), mode=instructor.Mode.JSON)

    async def ask(custom_id: str, prompt: str, most: int) -> tuple[str, str | None]:
        async with slots:
            order = await client.chat.completions.create(
                model=MODEL, response_model=Order, max_tokens=most, messages=[{"role": "user", "content": prompt}]
            )
        return custom_id, order.model_dump_json()

    write(asked.out, await asyncio.gather(*(ask(*line) for line in prompts(asked.job))))


asyncio.run(main())

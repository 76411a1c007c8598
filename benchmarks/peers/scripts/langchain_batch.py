"""langchain-openai: `abatch` with `max_concurrency`."""

from __future__ import annotations

import asyncio

from langchain_openai import ChatOpenAI
from lines import KEY, MODEL, given, prompts, write


async def main() -> None:
    asked = given()
    lines = prompts(asked.job)
    model = ChatOpenAI(model=MODEL, base_url=asked.base_url, api_key=KEY, max_tokens=lines[0][2], streaming=asked.stream)
    replies = await model.abatch([prompt for _, prompt, _ in lines], config={"max_concurrency": asked.concurrency})
    write(
        asked.out,
        [
            (line[0], reply.text if isinstance(reply.text, str) else reply.text())
            for line, reply in zip(lines, replies, strict=True)
        ],
    )


asyncio.run(main())

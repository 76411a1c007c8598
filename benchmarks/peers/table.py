"""The peers: what each is made of, and how its own documentation runs a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool. `requires` go into an environment of its own, `package` is the one whose version is told; without any it runs in
    ours. `share` is the part of a scene's lines it gets: figures are for each request, and a slow peer takes long enough with few.
    """

    name: str
    requires: tuple[str, ...] = ()
    script: str = ""
    arguments: tuple[str, ...] = ()
    share: float = 1.0
    streams: bool = True
    told: str = ""

    @property
    def package(self) -> str:
        return self.requires[0].split("[")[0] if self.requires else ""


OURS = "batchllm"
BARE = "bare loop"
WRK = "wrk"
PEERS = (
    Peer(OURS, told="the command with everything on, on the transport it chooses by itself"),
    Peer(BARE, streams=False, told="aiohttp, uvloop, orjson, a semaphore and a gather; no retry, no limit, no check"),
    Peer("openai", ("openai[aiohttp]",), "openai_sdk.py", share=0.2, told="AsyncOpenAI as it comes (httpx), a semaphore and a gather"),
    Peer("openai on aiohttp", ("openai[aiohttp]",), "openai_sdk.py", ("--transport", "aiohttp"), 0.2,
         told="the same with DefaultAioHttpClient"),
    Peer("lm-deluge", ("lm-deluge",), "lm_deluge_batch.py", share=0.4, streams=False, told="LLMClient.process_prompts_sync"),
    Peer("litellm", ("litellm",), "litellm_batch.py", share=0.1, told="acompletion, a semaphore and a gather"),
    Peer("langchain-openai", ("langchain-openai",), "langchain_batch.py", share=0.1, told="ChatOpenAI.abatch with max_concurrency"),
    Peer("curator", ("bespokelabs-curator",), "curator_batch.py", share=0.1, streams=False,
         told="curator.LLM over a list of prompts, backend openai"),
    Peer("instructor", ("instructor",), "instructor_batch.py", share=0.1, streams=False,
         told="from_openai in JSON mode with a pydantic model, a semaphore and a gather"),
    Peer(WRK, streams=False, told="the same requests from Lua, replies unread: what server and wire bear"),
)  # fmt: skip

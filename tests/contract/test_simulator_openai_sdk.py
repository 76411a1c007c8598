"""The official SDK against every endpoint of the simulator: what it parses, other clients will."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import date
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from batchllm.simulator import Faults, Limits, Simulator, SimulatorOptions

ASKED: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What did Tarn Joinery bill?"},
]
Talk = Callable[[AsyncOpenAI], Coroutine[Any, Any, None]]


class Item(BaseModel):
    what: str
    price: float = Field(gt=0)


class Bill(BaseModel):
    issuer: str
    kind: Literal["invoice", "receipt"]
    issued: date
    items: list[Item]
    note: str | None


PARAMETERS = openai.pydantic_function_tool(Bill)["function"]["parameters"]
FUNCTION: Any = {"name": "file_bill", "strict": True, "parameters": PARAMETERS}
TOOL: Any = {"type": "function", "function": FUNCTION}


def talk(conversation: Talk, **options: Any) -> None:
    async def run() -> None:
        async with (
            Simulator(SimulatorOptions(**options)) as simulator,
            AsyncOpenAI(base_url=simulator.base_url, api_key="key", max_retries=0) as client,
        ):
            await conversation(client)

    asyncio.run(run())


def test_chat() -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        made = await client.chat.completions.create(model="m", messages=ASKED, n=2)
        assert [choice.index for choice in made.choices] == [0, 1]
        assert made.choices[0].message.content != made.choices[1].message.content
        assert made.system_fingerprint == "batchllm-simulator"
        assert made.usage is not None
        assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=ASKED)
        assert raw.headers["x-batchllm-simulated"] == "1"
        assert int(raw.headers["x-ratelimit-remaining-requests"]) > 0

    talk(conversation)


def test_a_streamed_chat_adds_up_to_the_whole_one() -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        async with client.chat.completions.stream(
            model="m", messages=ASKED, stream_options={"include_usage": True}, n=2
        ) as stream:
            async for _ in stream:
                pass
            made = await stream.get_final_completion()
        assert all(choice.message.content and choice.finish_reason == "stop" for choice in made.choices)
        assert made.usage is not None
        assert made.usage.completion_tokens > 0

    talk(conversation)


@pytest.mark.parametrize("stream", [False, True])
def test_structured_answers_parse(stream: bool) -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        if stream:
            async with client.chat.completions.stream(model="m", messages=ASKED, response_format=Bill) as events:
                message = (await events.get_final_completion()).choices[0].message
        else:
            whole = await client.chat.completions.parse(model="m", messages=ASKED, response_format=Bill)
            message = whole.choices[0].message
        assert isinstance(message.parsed, Bill)

    talk(conversation)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called(stream: bool) -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        asked: Any = {"model": "m", "messages": ASKED, "tools": [TOOL], "tool_choice": "required"}
        if stream:
            async with client.chat.completions.stream(**asked) as events:
                choice: Any = (await events.get_final_completion()).choices[0]
        else:
            choice = (await client.chat.completions.create(**asked)).choices[0]
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert call.function.name == "file_bill"
        Bill.model_validate_json(call.function.arguments)

    talk(conversation)


def test_refusals_and_withheld_answers_are_told_apart() -> None:
    async def refused(client: AsyncOpenAI) -> None:
        made = await client.chat.completions.parse(model="m", messages=ASKED, response_format=Bill)
        assert made.choices[0].message.refusal
        assert made.choices[0].message.parsed is None
        response = await client.responses.create(model="m", input="?")
        assert response.output[0].type == "message"
        assert response.output[0].content[0].type == "refusal"

    async def withheld(client: AsyncOpenAI) -> None:
        with pytest.raises(openai.ContentFilterFinishReasonError):
            await client.chat.completions.parse(model="m", messages=ASKED, response_format=Bill)

    talk(refused, faults=Faults(refusal=1.0))
    talk(withheld, faults=Faults(content_filter=1.0))


def test_completions() -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        made = await client.completions.create(model="m", prompt=["Once", "Twice"], n=2, echo=True, max_tokens=40)
        assert [choice.index for choice in made.choices] == [0, 1, 2, 3]
        assert [choice.text[:4] for choice in made.choices] == ["Once", "Once", "Twic", "Twic"]
        texts = []
        stream = await client.completions.create(model="m", prompt="Once", stream=True, stream_options={"include_usage": True})
        async for chunk in stream:
            texts += [choice.text for choice in chunk.choices]
            usage = chunk.usage
        assert usage is not None
        assert usage.completion_tokens == sum(map(bool, texts)) == 16

    talk(conversation)


def test_embeddings_are_the_same_in_both_encodings() -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        asked: Any = {"model": "m", "input": ["one", "two"], "dimensions": 12}
        plain = await client.embeddings.create(**asked, encoding_format="float")
        packed: Any = await client.embeddings.create(**asked, encoding_format="base64")
        default = await client.embeddings.create(**asked)
        assert [len(row.embedding) for row in plain.data] == [12, 12]
        assert [row.embedding for row in default.data] == [row.embedding for row in plain.data]
        assert isinstance(packed.data[0].embedding, str)
        assert plain.usage.prompt_tokens == 2

    talk(conversation)


def test_responses() -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        made = await client.responses.create(model="m", input="What of the sea?", reasoning={"effort": "low"})
        assert [item.type for item in made.output] == ["reasoning", "message"]
        assert made.output_text
        assert made.usage is not None
        assert 0 < made.usage.output_tokens_details.reasoning_tokens < made.usage.output_tokens
        parsed = await client.responses.parse(model="m", input=ASKED, text_format=Bill)
        assert isinstance(parsed.output_parsed, Bill)
        cut = await client.responses.create(model="m", input="What of the sea?", max_output_tokens=3)
        assert cut.status == "incomplete"
        assert cut.incomplete_details is not None
        assert cut.incomplete_details.reason == "max_output_tokens"

    talk(conversation)


@pytest.mark.parametrize("kind", ["text", "parsed", "tool"])
def test_streamed_responses_end_with_the_whole_one(kind: str) -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        asked: Any = {"model": "m", "input": ASKED, "reasoning": {"effort": "low"}}
        if kind == "parsed":
            asked["text_format"] = Bill
        if kind == "tool":
            asked |= {"tools": [{"type": "function", **FUNCTION}], "tool_choice": "required"}
        deltas: dict[str, str] = {}
        numbers = []
        async with client.responses.stream(**asked) as stream:
            event: Any
            async for event in stream:
                numbers.append(event.sequence_number)
                if event.type.endswith(".delta"):
                    deltas[event.type] = deltas.get(event.type, "") + event.delta
            made = await stream.get_final_response()
        assert numbers == sorted(numbers)
        assert made.status == "completed"
        assert made.output[0].type == "reasoning"
        assert deltas["response.reasoning_summary_text.delta"] == made.output[0].summary[0].text
        if kind == "tool":
            Bill.model_validate_json(deltas["response.function_call_arguments.delta"])
        else:
            assert deltas["response.output_text.delta"] == made.output_text
        assert (made.output_parsed is not None) == (kind == "parsed")

    talk(conversation)


def test_moderations_and_models() -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        verdicts = await client.moderations.create(model="m", input=["a quiet text", "this one is flagged"])
        assert [result.flagged for result in verdicts.results] == [False, True]
        assert verdicts.results[1].categories.violence
        assert [model.id async for model in client.models.list()] == ["simulated-1"]
        assert (await client.models.retrieve("simulated-1")).object == "model"

    talk(conversation)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"api_key": "another"}, openai.AuthenticationError),
        ({"strict_models": True}, openai.NotFoundError),
        ({"faults": Faults(rate_limit=1.0)}, openai.RateLimitError),
        ({"faults": Faults(server_error=1.0)}, openai.InternalServerError),
        ({"faults": Faults(reset=1.0)}, openai.APIConnectionError),
        ({"context_tokens": 1}, openai.BadRequestError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_sdk_knows_each_error(options: dict[str, Any], error: type[openai.APIError]) -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        with pytest.raises(error):
            await client.chat.completions.create(model="m", messages=ASKED)

    talk(conversation, **options)


def test_the_sdks_own_retries_get_through() -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        patient = client.with_options(max_retries=3)
        made = await patient.chat.completions.create(model="m", messages=ASKED)
        assert made.choices[0].message.content

    talk(conversation, faults=Faults(rate_limit=1.0), fault_attempts=2, retry_after_s=0.01)


def test_limits_reach_the_sdk_as_rate_limit_errors() -> None:
    async def conversation(client: AsyncOpenAI) -> None:
        await client.chat.completions.create(model="m", messages=ASKED)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="m", messages=ASKED)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert json.loads(caught.value.response.content)["error"]["code"] == "rate_limit_exceeded"

    talk(conversation, limits=Limits(rpm=6, burst_s=10))

"""What tokens cost: the settings first, then a list by the address that is asked, and nothing for anybody else's server."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from batchllm import prices
from batchllm.billing import Price, cost_usd, price_from
from batchllm.prices import PriceList
from batchllm.types import Usage

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OPENAI = "https://api.openai.com/v1"
MILLION = 1_000_000


def priced(base_url: str = OPENAI, **rows: dict[str, float]) -> PriceList:
    return PriceList(rows, base_url, NOW)


def test_a_row_of_the_settings_goes_before_the_bundled_list() -> None:
    found = PriceList({"gpt-4o-mini": {"input": 1.0, "output": 2.0}}, OPENAI, NOW)("gpt-4o-mini")
    assert found == Price(1.0, 2.0)


def test_a_row_for_the_name_that_was_asked_for_holds_for_the_version_that_answered() -> None:
    own = PriceList({"gpt-4o-mini": {"input": 1.0, "output": 2.0}}, OPENAI, NOW)
    assert own("gpt-4o-mini-2024-07-18", "gpt-4o-mini") == Price(1.0, 2.0)


@pytest.mark.parametrize("name", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_the_bundled_list_knows_a_model_by_its_names(name: str) -> None:
    found = priced()(name)
    assert found is not None
    assert 0 < found.input < found.output
    assert found.source.startswith("genai-prices ")
    assert found.batch is not None
    assert found.batch.output < found.output


@pytest.mark.parametrize(
    "base_url",
    ["http://localhost:8000/v1", "http://127.0.0.1:8000/v1", "http://vllm:8000/v1", "https://api.example.com/v1", ""],
)
def test_another_server_has_none_of_the_prices_of_a_provider(base_url: str) -> None:
    assert priced(base_url)("gpt-4o-mini") is None


def test_an_unknown_model_has_no_price_which_is_not_nothing() -> None:
    assert priced()("no-such-model", "") is None
    assert cost_usd(Usage(1, 1), None) is None


def test_no_list_is_imported_for_a_server_of_ones_own() -> None:
    code = (
        "import sys; from datetime import *; from batchllm.prices import PriceList\n"
        "PriceList({}, 'http://127.0.0.1:1/v1', datetime.now(UTC))('m'); assert 'genai_prices' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_list_of_another_form_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    from genai_prices import data_snapshot

    monkeypatch.setattr(data_snapshot, "get_snapshot", object)
    assert priced()("gpt-4o-mini") is None


def test_names_that_a_gateway_makes_up_take_no_more_than_so_much_memory() -> None:
    made = priced()
    for number in range(prices.MODELS + 10):
        made(f"made-up-{number}")
    assert len(made._known) <= prices.MODELS


def test_long_prompts_are_billed_at_the_step_they_reach_in_whole() -> None:
    price = Price(1.0, 10.0, above=((200_000, Price(2.0, 20.0)),))
    assert cost_usd(Usage(200_000, 0), price) == pytest.approx(0.2)
    assert cost_usd(Usage(200_001, MILLION), price) == pytest.approx(0.4 + 20, abs=1e-4)


def test_a_listed_step_is_read() -> None:
    found = priced("https://generativelanguage.googleapis.com/v1beta/openai")("gemini-2.5-pro")
    assert found is not None
    [(start, dearer)] = found.above
    assert start == 200_000
    assert (dearer.input, dearer.output) > (found.input, found.output)


@pytest.mark.parametrize(
    ("row", "usage", "cost"),
    [
        ({"input": 1, "output": 2}, Usage(MILLION, MILLION), 3.0),
        ({"input": 1, "output": 2, "cached": 0.5}, Usage(MILLION, 0, None, MILLION), 0.5),
        ({"input": 1, "output": 2, "reasoning": 6}, Usage(0, MILLION, None, None, MILLION // 2), 4.0),
        ({"input": 1, "output": 2}, Usage(0, MILLION, None, None, MILLION // 2), 2.0),
        ({"input": 1, "output": 2, "reasoning": 6}, Usage(0, MILLION, None, None, 9 * MILLION), 6.0),
        ({"input": 0, "output": 0}, Usage(5, 5), 0.0),
    ],
)
def test_each_kind_of_token_has_its_rate(row: dict[str, float], usage: Usage, cost: float) -> None:
    assert cost_usd(usage, price_from(row)) == pytest.approx(cost)


def test_the_rates_of_a_batch_stand_apart() -> None:
    assert price_from({"input": 2, "output": 4, "batch_input": 1, "batch_output": 2}).batch == Price(1.0, 2.0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"input": 1.0}, "output is missing"),
        ({"input": 1.0, "output": 2.0, "ouput": 2.0}, "no rate is called 'ouput'"),
        ({"input": -1.0, "output": 2.0}, "0 or more"),
        ({"input": float("inf"), "output": 2.0}, "0 or more"),
        ({"input": float("nan"), "output": 2.0}, "0 or more"),
        ({"input": 1.0, "output": 2.0, "batch_input": 1.0}, "batch_output is missing"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_by_its_name(row: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match="my-model.*" + said):
        PriceList({"my-model": row}, OPENAI, NOW)


def test_what_was_reckoned_with_is_noted_with_who_told() -> None:
    own = PriceList({"mine": {"input": 1.0, "output": 2.0, "cached": 0.5}}, OPENAI, NOW)
    noted = own.note(["mine", "gpt-4o-mini", "unknown"])
    assert noted["mine"] == {"input": 1.0, "output": 2.0, "cached": 0.5, "source": "[prices]"}
    assert noted["gpt-4o-mini"]["source"].startswith("genai-prices ")
    assert noted["unknown"] is None

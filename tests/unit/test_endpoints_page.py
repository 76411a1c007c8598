"""`docs/endpoints.md` says what the tests say."""

from __future__ import annotations

import re
import tomllib

import pytest

from batchllm.providers import names, provider_from
from batchllm.serving.plan import plan, without_serve
from batchllm.settings import Settings
from benchmarks.endpoints_page import DIALECT_TESTS, PAGE, Ids, collected, page


def test_the_page_is_what_the_collected_tests_and_the_tables_make_of_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(collected()), "run `python -m benchmarks.endpoints_page`"


def test_the_page_has_a_row_for_every_provider() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in names() if f"| **{name}** |" not in text] == ["simulator"]


def test_the_example_of_ones_own_providers_is_one() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    rows = tomllib.loads(block)["providers"]
    made = {name: provider_from(name, without_serve(row)) for name, row in rows.items()}
    assert (made["gpu7"].key_env, len(made["gpu7"].rules)) == (("GPU7_KEY",), 1)
    started = plan(Settings(provider="here", providers=rows))
    assert started is not None
    assert (started.habits, started.timeout_s) == ("transformers", 600)


def test_a_test_that_does_not_exist_cannot_be_named() -> None:
    ids = Ids([f"{DIALECT_TESTS}::test_chat[openai]"])
    assert ids.cell("test_chat[openai]") == "`test_chat[openai]`"
    with pytest.raises(LookupError, match="test_chat"):
        ids.cell("test_chat[nobody]")

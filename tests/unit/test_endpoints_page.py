"""`docs/endpoints.md` says what the tests say."""

from __future__ import annotations

import pytest

from batchllm.providers import names
from benchmarks.endpoints_page import DIALECT_TESTS, PAGE, Ids, collected, page


def test_the_page_is_what_the_collected_tests_and_the_tables_make_of_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(collected()), "run `python -m benchmarks.endpoints_page`"


def test_the_page_has_a_row_for_every_provider() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in names() if f"| **{name}** |" not in text] == ["simulator"]


def test_a_test_that_does_not_exist_cannot_be_named() -> None:
    ids = Ids([f"{DIALECT_TESTS}::test_chat[openai]"])
    assert ids.cell("test_chat[openai]") == "`test_chat[openai]`"
    with pytest.raises(LookupError, match="test_chat"):
        ids.cell("test_chat[nobody]")

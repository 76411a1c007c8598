"""`docs/settings.md` says what the settings are."""

from __future__ import annotations

from benchmarks.settings_page import PAGE, page


def test_the_page_is_what_the_settings_make_of_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m benchmarks.settings_page`"

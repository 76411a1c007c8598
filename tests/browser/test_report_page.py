"""The page in a real browser: it opens at once, loads nothing, shows hostile text as text, and its filter works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from batchllm.reports import html
from tests.browser.chromium import Page, browser, executable
from tests.unit.report.folders import answer, failure, folder
from tests.unit.report.test_inert import HOSTILE
from tests.unit.report.test_pictures import run


def report(folder: Path) -> bytes:
    return b"".join(html.report(folder))


def compare(before: Path, after: Path) -> bytes:
    return b"".join(html.compare(before, after))


pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(executable() is None, reason="no Chromium here (Debian: apt-get install chromium)"),
]
OPEN_S = 2.0
PHONE = 360
T = TypeVar("T")
LOADED_MS = "performance.getEntriesByType('navigation')[0].loadEventEnd"
VISIBLE = "Array.from(document.querySelectorAll('.row')).filter(row => row.offsetParent).length"


def seen(tmp_path: Path, page: bytes, look: Callable[[Page], Awaitable[T]]) -> T:
    """What `look` finds on the opened page, which has to load nothing else and complain about nothing."""
    path = tmp_path / "page.html"
    path.write_bytes(page)

    async def visit() -> T:
        async with browser(tmp_path / "profile") as tab:
            await tab.open(path)
            found = await look(tab)
            assert tab.requests == [path.as_uri()]
            assert tab.complaints == []
            return found

    return asyncio.run(asyncio.wait_for(visit(), 120))


def large(tmp_path: Path) -> Path:
    """As many rows as a page ever has, with texts as long as they may be."""
    answers = [answer(f"id-{n}", f"answer number {n} " + "word " * 400, line=n, latency_s=n / 100) for n in range(1, 1601)]
    failures = [failure(f"bad-{n}", f"field {n % 7}: wrong", line=2000 + n) for n in range(600)]
    return folder(tmp_path / "out", *answers, *failures, series=[run([5 * n for n in range(300)])])


def test_a_page_as_large_as_they_get_opens_in_time_and_can_be_filtered(tmp_path: Path) -> None:
    async def look(tab: Page) -> tuple[float, int, int, int, str]:
        loaded = await tab.value(LOADED_MS)
        before = await tab.value(VISIBLE)
        await tab.value("document.querySelector('[name=state]').value = 'failed'")
        await tab.value("document.querySelector('[name=state]').dispatchEvent(new Event('change'))")
        failed = await tab.value(VISIBLE)
        await tab.value("document.querySelector('[name=order]').value = 'latency'")
        await tab.value("document.querySelector('[name=order]').dispatchEvent(new Event('change'))")
        first = await tab.value("document.querySelector('.row .id').textContent")
        wide = await tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return loaded / 1000, before, failed, wide, first

    page = report(large(tmp_path))
    loaded, before, failed, wide, first = seen(tmp_path, page, look)
    assert len(page) < 5_000_000
    assert (before, failed, wide) == (2000, 500, 0)
    assert first.startswith("id-1")
    assert loaded < OPEN_S


def test_hostile_text_does_nothing_in_a_browser(tmp_path: Path) -> None:
    records = [answer(f"{n}{text}", text, line=n, reasoning=text) for n, text in enumerate(HOSTILE.values(), 1)]
    records += [failure(f"{n}f{text}", text, line=n + 100) for n, text in enumerate(HOSTILE.values(), 1)]

    async def look(tab: Page) -> tuple[int, int, str]:
        strange = "iframe,a,form,button,img,base,object,embed,link,svg[onload],[onerror],[onclick],[onfocus],[onmouseover]"
        return (
            await tab.value(f"document.querySelectorAll('{strange}').length"),
            await tab.value("document.scripts.length"),
            await tab.value("document.querySelectorAll('.row pre')[0].textContent"),
        )

    assert seen(tmp_path, report(folder(tmp_path / "out", *records)), look) == (0, 1, next(iter(HOSTILE.values())))


def test_the_policy_stops_a_script_that_got_in_all_the_same(tmp_path: Path) -> None:
    page = report(folder(tmp_path / "out", answer("a"))).replace(b"<footer>", b"<script>window.got = 1</script><footer>")

    async def look(tab: Page) -> object:
        found = await tab.value("window.got === undefined")
        assert any("Content Security Policy" in one for one in tab.complaints)
        tab.complaints.clear()
        return found

    assert seen(tmp_path, page, look) is True


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_sticks_out_on_a_phone_and_text_stands_out_from_its_ground(tmp_path: Path, dark: bool) -> None:
    records = [answer("a" * 300, "word" * 900, line=1), failure("b" * 300, "c" * 900, line=2)]
    out = folder(tmp_path / "out", *records, series=[run([5 * n for n in range(300)])])

    async def look(tab: Page) -> tuple[int, float, bool]:
        await tab.screen(PHONE, 800, dark=dark, mobile=True)
        await tab.value("document.querySelectorAll('details').forEach(one => one.open = true)")
        wide = await tab.value("document.documentElement.scrollWidth")
        colors = "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
        ink, ground = [_brightness(one) for one in await tab.value(colors)]
        return wide, (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05), ground < 0.5

    wide, contrast, is_dark = seen(tmp_path, report(out), look)
    assert wide == PHONE
    assert contrast > 7
    assert is_dark is dark


def test_two_runs_side_by_side_open_as_well(tmp_path: Path) -> None:
    before, after = folder(tmp_path / "a", answer("x", "1")), folder(tmp_path / "b", answer("x", "2"))

    async def look(tab: Page) -> object:
        return await tab.value("document.querySelector('h1').textContent")

    assert seen(tmp_path, compare(before, after), look) == "job.jsonl"


def _brightness(color: str) -> float:
    """The relative luminance of `rgb(r, g, b)`, 0 to 1."""
    parts = [int(one) / 255 for one in color.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

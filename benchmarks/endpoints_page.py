"""`docs/endpoints.md`: what is tested of each endpoint and by which test, written from the collected tests and the tables.

python -m benchmarks.endpoints_page
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from batchllm.providers import Provider, names, provider
from batchllm.simulator.dialects import DIALECTS, Dialect

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/endpoints.md"
DIALECT_TESTS, STRUCTURED_TESTS = "tests/e2e/test_dialects.py", "tests/e2e/test_structured.py"
CLASSIFY_TESTS, SDK_TESTS = "tests/unit/test_classify.py", "tests/contract/test_sdk_types.py"
SOURCES = (DIALECT_TESTS, STRUCTURED_TESTS, SDK_TESTS, CLASSIFY_TESTS, "tests/contract/test_providers.py", "tests/servers")
LIVE = {"vllm": "tests/servers/test_vllm.py", "transformers": "tests/servers/test_transformers.py"}
LIMITS = {
    "openai": "`x-ratelimit-*`",
    "azure": "`x-ratelimit-*`, whole seconds",
    "modelscope": "counts of a day, no reset",
    "none": "none",
}
TOLD = {"x-ratelimit": "`x-ratelimit-*`", "counts of a day": "counts of a day", "none": "none", "unknown": "not known"}

HEAD = """\
# Endpoints

<!-- Written by `python -m benchmarks.endpoints_page`; a test says when it is out of date. -->

What batchllm does with each endpoint, and the test that shows it. Read it with three reservations:

* **Nothing here was tried against a hosted endpoint.** Those rows follow the vendors' documentation and reports of other
  clients; the tests run the real pipeline over HTTP against our own simulator, which speaks each dialect as we understand it.
  Where both are wrong in the same way, no test tells.
* vLLM and `transformers serve` were also run live, with a tiny model ([servers](servers.md)); those tests are opt-in.
* Servers that the user runs have no accounts: their "no credit", and the key that `transformers serve` does not take, are
  OpenAI's words in their dialect's shape.

A wrong row is mended in one place: `batchllm/providers/` (what we do) or `batchllm/simulator/dialects.py` (what we are told).
"""

DIALECT_HEAD = f"""
## With a dialect of their own

Tests stand in `{DIALECT_TESTS}` where no other file is named.

| provider | chat | stream | usage | reasoning | JSON | limits' headers | told to wait | bad key, no credit | live |
|---|---|---|---|---|---|---|---|---|---|
"""

COLUMNS = frozenset(
    {"test_chat", "test_stream", "test_usage", "test_reasoning", "test_json", "test_limits_headers", "test_limits_untold",
     "test_refused", "test_bad_key", "test_no_credit", "test_other_providers", "test_other_providers_reasoning",
     "test_other_providers_limits"}
)  # fmt: skip
BEYOND = f"""
Every mode of `--structured`, for chat and responses, whole and streamed, with asking again: `{STRUCTURED_TESTS}`.
Bodies as the official SDK's own types, and a job that mixes endpoints: `{SDK_TESTS}`.
"""

OTHERS_HEAD = """
## Without one

These are rows of `batchllm/providers/` for endpoints that speak OpenAI's dialect with a few habits of their own. Each is run
over HTTP against the simulator's OpenAI dialect (`tests/e2e/test_dialects.py`, `tests/e2e/test_structured.py`); how they say
no is tested on replies written down from their documentation, in `tests/unit/test_classify.py`. Whatever a row has no rule for
falls to the general rules, which the same file tests for everybody.

| provider | chat, stream, usage | reasoning | JSON | limits' headers | refusals of its own |
|---|---|---|---|---|---|
"""

OWN = """
## Your own

Any other endpoint is `--base-url URL`, with `--api-key-env VAR` where it wants a key; `--provider NAME` beside it lends it that
provider's habits. A name of your own stands in `batchllm.toml`, `like` the row it begins with:

```toml
[providers.gpu7]
like = "vllm"
base_url = "http://gpu7:8000/v1"
key_env = "GPU7_KEY"

[[providers.gpu7.rules]]       # how it says no, before the general rules
statuses = [429]
words = "pool is empty"
kind = "stop"
code = "quota_exhausted"
message = "the pool is empty ({words})"

[providers.here]
like = "transformers"

[providers.here.serve]         # started for the run, and stopped with it; or for one command: --serve "…"
command = "transformers serve MODEL --port {port}"
timeout = 600
```

Its keys are those of a built-in row: KEYS.
"""

NOTES_HEAD = """
## Not verified

What the tables assume without the owner's own word for it:

"""


def collected(paths: tuple[str, ...] = SOURCES) -> list[str]:
    """The ids of every test in these files, opt-in ones included, as pytest itself finds them."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-o",
        "addopts=--import-mode=importlib",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pytest collected nothing: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return [line for line in done.stdout.splitlines() if "::" in line]


class Ids:
    """Test ids as cells; one that does not exist is an error, so that the page cannot name it."""

    def __init__(self, ids: list[str]) -> None:
        self._ids = frozenset(ids)

    def cell(self, *tests: str, path: str = DIALECT_TESTS) -> str:
        missing = [test for test in tests if f"{path}::{test}" not in self._ids]
        if missing:
            raise LookupError(f"{path} has no test {', '.join(missing)}")
        return ", ".join(f"`{test}`" for test in tests)

    def under(self, path: str) -> list[str]:
        return sorted(one for one in self._ids if one.startswith(f"{path}::"))


def page(ids: list[str]) -> str:
    known = Ids(ids)
    spoken = [_dialect_row(provider(name), dialect, known) for name, dialect in DIALECTS.items()]
    others = [name for name in names() if name not in DIALECTS and not provider(name).simulated]
    plain = [_other_row(provider(name), known) for name in others]
    unsure = [f"* {name}: {note}" for name in names() for note in provider(name).notes if note.startswith("Unverified")]
    return (
        HEAD
        + DIALECT_HEAD
        + "".join(spoken)
        + _beyond(known)
        + OTHERS_HEAD
        + "".join(plain)
        + _own()
        + NOTES_HEAD
        + _lines(unsure)
    )


def _own() -> str:
    return OWN.replace("KEYS", ", ".join(f"`{one.name}`" for one in fields(Provider) if one.name not in ("name", "simulated")))


def _dialect_row(row: Provider, dialect: Dialect, ids: Ids) -> str:
    name = row.name
    limits = "test_limits_headers" if dialect.rate_headers in ("openai", "azure") else "test_limits_untold"
    wait = "`Retry-After`" if dialect.retry_after else "no time told"
    cells = (
        f"**{name}**",
        ids.cell(f"test_chat[{name}]"),
        ids.cell(f"test_stream[{name}]"),
        f"{_usage(dialect)}: " + ids.cell(f"test_usage[{name}-whole]", f"test_usage[{name}-stream]"),
        f"{dialect.reasoning}: " + ids.cell(f"test_reasoning[{name}]"),
        f"{row.structured}: " + ids.cell(f"test_json[{name}-whole]", f"test_json[{name}-stream]"),
        f"{LIMITS[dialect.rate_headers]}: " + ids.cell(f"{limits}[{name}]"),
        f"{wait}: " + ids.cell(f"test_refused[{name}]"),
        ids.cell(f"test_bad_key[{name}]", f"test_no_credit[{name}]"),
        _live(name, ids),
    )
    return f"| {' | '.join(cells)} |\n"


def _usage(dialect: Dialect) -> str:
    asked = {"asked": "asked for in streams", "every_chunk": "in every chunk", "finish": "in the finish chunk"}
    return asked[dialect.stream_usage]


def _live(name: str, ids: Ids) -> str:
    if name not in LIVE:
        return "no"
    return f"{len(ids.under(LIVE[name]))} tests in `{LIVE[name]}`"


def _beyond(ids: Ids) -> str:
    """What no column has: tests of single quirks, and of all dialects alike."""
    every = sorted({_name(one) for one in ids.under(DIALECT_TESTS)})
    quirks = [f"* `{name}`" for name in every if name not in COLUMNS]
    return f"\nTheir quirks, and what holds for all of them:\n\n{_lines(quirks)}{BEYOND}"


def _name(test: str) -> str:
    return test.split("::")[1].split("[")[0]


def _other_row(row: Provider, ids: Ids) -> str:
    name = row.name
    mode = ids.cell(f"test_auto_is_the_providers_own_mode_and_the_summary_tells_it[{name}]", path=STRUCTURED_TESTS)
    told = [one.partition("::")[2] for one in ids.under(CLASSIFY_TESTS) if f"[{name}-" in one]
    cells = (
        f"**{name}**",
        ids.cell(f"test_other_providers[{name}-whole]", f"test_other_providers[{name}-stream]"),
        ids.cell(f"test_other_providers_reasoning[{name}]"),
        f"{row.structured}: {mode}",
        f"{TOLD[row.limits]}: " + ids.cell(f"test_other_providers_limits[{name}]"),
        ", ".join(f"`{test}`" for test in told) or _rules_of(row),
    )
    return f"| {' | '.join(cells)} |\n"


def _rules_of(row: Provider) -> str:
    """Where a row's refusals are tested that has none under its own name."""
    if not row.rules:
        return "none: the general rules"
    return "those of " + next((name for name in names() if name != row.name and provider(name).rules == row.rules), "nobody")


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(collected()), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written")

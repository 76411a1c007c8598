"""What `--dedupe` and `--prefix-order` save: writes `docs/savings.md` from the figures, measured anew. Takes about a minute.

    python -m benchmarks.savings [--rounds 3] [--vllm http://127.0.0.1:8100/v1] [-o FILE]

The simulator answers, as a process of its own, with a cache of prompts that holds what was really read before. A vLLM server,
where one is named, tells by its own metrics what it found in its cache; nobody else may use it meanwhile. For the page it was
started with `--num-gpu-blocks-override 128 --max-num-seqs 16`, so that its cache holds a third of the documents.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

from batchllm.errors import ExitCode
from batchllm.simulator import Latency, SimulatorOptions, run_in_process
from benchmarks.processes import ROOT, Spread, batchllm_command, cost

PAGE = ROOT / "docs" / "savings.md"
TOLD = ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total")

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: requests that were answered, the share of prompt tokens found in the provider's cache, seconds, tokens."""

    requests: int
    cached: float
    wall_s: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Row:
    """The same job without and with the saving, several times."""

    name: str
    without: Sequence[Measured]
    using: Sequence[Measured]

    def shown(self, *columns: Callable[[Measured], float], form: str = "{:,.0f}") -> str:
        cells = [Spread.of([one(run) for run in runs]).shown(form) for one in columns for runs in (self.without, self.using)]
        return " | ".join(cells)


# -- jobs ------------------------------------------------------------------------------------------------------------


def repeated(count: int, seed: int) -> list[Line]:
    """Comments to be labelled, as they are in the wild: a few very common ones, many that are there once."""
    draw = random.Random(seed)
    texts = [int(draw.paretovariate(0.35)) % (10 * count) for _ in range(count)]
    return [{"prompt": f"Label this comment: comment number {text} of all", "temperature": 0} for text in texts]


def asked_about(documents: int, questions: int, bytes_each: int, seed: int, *, shuffled: bool) -> list[Line]:
    """Several questions about each of several documents, below one system prompt. No two jobs begin alike."""
    draw, salt = random.Random(seed), uuid4().hex
    words = [f"word{draw.randrange(1000)}" for _ in range(4000)]
    texts = [" ".join(draw.choices(words, k=bytes_each // 8))[:bytes_each] for _ in range(documents)]
    lines = [
        {"system": f"{salt} Answer from the text.", "prompt": f"Text {at}: {text}\nQuestion {number}: what of {number}?"}
        for at, text in enumerate(texts)
        for number in range(questions)
    ]
    if shuffled:
        draw.shuffle(lines)
    return lines


# -- running ---------------------------------------------------------------------------------------------------------


@contextmanager
def simulated(**options: Any) -> Iterator[str]:
    with run_in_process(SimulatorOptions(seed=1, answer_words=8, **options)) as hosted:
        yield hosted.base_url


def run(lines: Sequence[Line], base_url: str, concurrency: int, *more: str, ends: int = 0) -> Measured:
    """The real command over these lines, into a new folder; it `ends` with this exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = folder / "job.jsonl"
        job.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        command = batchllm_command(job, folder / "out", base_url, concurrency, "--no-report", *more)
        wall_s = cost(command, folder, ends).wall_s
        summary = json.loads((folder / "out" / "summary.json").read_bytes())
    return Measured(summary["requests"], summary["cached_share"] or 0.0, wall_s, summary["usage"]["total_tokens"])


def duplicates(rounds: int, count: int) -> Row:
    without, using = [], []
    for seed in range(rounds):
        lines = repeated(count, seed)
        with simulated(latency=Latency(0.1)) as base_url:
            without.append(run(lines, base_url, 64, "--no-dedupe"))
            using.append(run(lines, base_url, 64))
    return Row(f"{count:,} comments, temperature 0", without, using)


def beginnings(rounds: int, *, shuffled: bool, documents: int, questions: int) -> Row:
    """The simulated cache holds a third of the documents."""
    without, using = [], []
    for seed in range(rounds):
        for found, flag in ((without, ()), (using, ("--prefix-order",))):
            lines = asked_about(documents, questions, 6000, seed, shuffled=shuffled)
            with simulated(latency=Latency(0.2), prefix_cache=documents * 1500 // 3) as base_url:
                found.append(run(lines, base_url, 64, *flag))
    order = "in no order" if shuffled else "one document after the other"
    return Row(f"{documents} documents × {questions} questions, {order}", without, using)


def vllm(rounds: int, base_url: str, *, shuffled: bool, documents: int, questions: int) -> Row:
    without, using = [], []
    for seed in range(rounds):
        for found, flag in ((without, ()), (using, ("--prefix-order",))):
            lines = [{**line, "max_tokens": 4} for line in asked_about(documents, questions, 3000, seed, shuffled=shuffled)]
            before = told(base_url)
            # A model of random weights never comes to an end of its own: every answer is cut at its limit.
            measured = run(lines, base_url, 32, "--model", "tiny", *flag, ends=ExitCode.SOME_FAILED)
            asked, hit = (after - at for after, at in zip(told(base_url), before, strict=True))
            found.append(Measured(measured.requests, hit / asked, measured.wall_s, measured.tokens))
    order = "in no order" if shuffled else "one document after the other"
    return Row(f"{documents} documents × {questions} questions, {order}", without, using)


def told(base_url: str) -> tuple[float, float]:
    """Prompt tokens that vLLM looked up in its cache, and those it found, since it was started."""
    with urlopen(base_url.removesuffix("/v1") + "/metrics", timeout=10) as reply:
        rows = [line.split() for line in reply.read().decode().splitlines() if not line.startswith("#")]
    sums = {name: sum(float(row[-1]) for row in rows if row[0].split("{")[0] == name) for name in TOLD}
    return sums[TOLD[0]], sums[TOLD[1]]


# -- the page --------------------------------------------------------------------------------------------------------

HEAD = """\
# Work not done twice

Written by `python -m benchmarks.savings`; figures are the median of the rounds (lowest to highest).

## Equal lines

A job made from a table often asks the same thing more than once. Lines whose request is the same to the byte (the line's own
fields and the settings; `custom_id` and `metadata` are not sent, so they do not count) are sent once where one answer may
serve them all:

| setting | flag | what is sent once |
|---|---|---|
| unset | | equal lines at `temperature` 0, where no chance is asked for |
| `dedupe = true` | `--dedupe` | all equal lines, also where each would have had an answer of its own |
| `dedupe = false` | `--no-dedupe` | none |

Each line has its own record all the same, with its own `custom_id`, digest and `metadata`, and the same reply. A record whose
request was not sent says so:

```json
"batchllm": {"line": 9, "attempts": 0, "usage": {"prompt_tokens": 0, "…": 0}, "cost_usd": 0.0, "billed": "no", "duplicate_of": "doc-4"}
```

`duplicate_of` is the `custom_id` that was sent. Tokens and money are counted where they were spent, at that line; the `usage`
inside `response.body` is the provider's word and stays as it came. The summary, `batchllm status` and the report say how many
requests were saved, `batchllm export` has a column `duplicate_of`, and `batchllm verify` holds the record against the line it names.

* Equal lines are answered when nothing is in flight any more, by one more reading of the job: nothing waits in memory for a
  line that is tried again for hours. Until then they are pending. A run that ends before (also by `kill -9`) leaves them to the
  next one, which reads the answer in the results and sends nothing.
* Where the one that was sent fails, the equal ones fail alike, with the same code and message: asking a failed question a
  hundred times more is a bill nobody expects. What may pass by itself is asked again by the next run, once for all of them;
  what failed for good by `--retry-failed`.
* An answer serves only lines of the same settings: what an earlier run asked with another model serves nobody, also under
  `--on-change keep`.
* Equal means equal in all 128 bits of the digest. Groups are found by the first 64; where two different lines agree in those
  (odds of three in a million in a job of ten million lines), one of them stays pending (exit 75), and `--no-dedupe` sends it.
* Conversations (`turns`) are always sent. Memory: four bytes a line where there are equal lines, none where there are not.

"""
PREFIXES = """\
## Prompts that begin alike

Most providers, and vLLM and SGLang, keep the beginnings of prompts they have read and charge less, or nothing but a moment, for
reading them again. Sixty-four requests that share a beginning and are sent at once all miss: the first has not been read
when the others come. And a job in no order has pushed a beginning out of the cache before it comes up again.

`--prefix-order` (`prefix_order = true`) sorts each window of 1,000 lines by what the provider reads (model, tools, response format,
messages), so that equal beginnings stand together at every depth: a system prompt, a document under it. Of lines that share
1,024 bytes or more one is sent first, and the others when it is answered, or after five seconds: by then it has been read,
though its answer may still be written. Meanwhile other lines of the window and of the next one are sent. Beginnings that are
warm from an earlier window are not waited for. Records come in another order, as they do anyhow.

`cached_share` in `summary.json` is the part of all prompt tokens that the provider says it read from its cache; null where it
does not say. It costs a job without shared beginnings nothing but the sorting. It is off unless asked for: what it pays depends on the
provider, and a window is a little later at its end where everything waits for one slow line.

"""


VLLM_NOTE = """\
vLLM schedules a few requests at a time, and those that still wait for their turn find what was read meanwhile: so a job that is
in the order of its documents anyhow has nothing to gain there, and loses a little where the cache is small, since a few
documents are open at once to keep every slot busy. Where its cache holds every document, the order makes no difference at all.
"""


def page(rounds: int, base_url: str | None, quick: bool) -> str:
    scale = 4 if quick else 1
    size = {"documents": 60 // scale, "questions": 20}
    same = duplicates(rounds, 4000 // scale)
    rows = [beginnings(rounds, shuffled=shuffled, **size) for shuffled in (False, True)]
    parts = [
        HEAD,
        "The simulator at 0.1 s an answer, 64 in flight, `--no-dedupe` against the default:\n",
        "| job | requests sent | | tokens billed | | seconds | |",
        "|---|---|---|---|---|---|---|",
        "| | without | with | without | with | without | with |",
        f"| {same.name} | {same.shown(lambda one: one.requests, lambda one: one.tokens)} "
        f"| {same.shown(lambda one: one.wall_s, form='{:.1f}')} |\n",
        PREFIXES,
        "The simulator at 0.2 s an answer, 64 in flight, with a cache that holds a third of the documents; cached share of the "
        "prompt tokens, and seconds:\n",
        *_table(rows),
    ]
    if base_url is not None:
        found = [
            vllm(rounds, base_url, shuffled=shuffled, documents=24 // scale, questions=10 if quick else 20)
            for shuffled in (False, True)
        ]
        parts += [
            "A real vLLM (a tiny model on a CPU, `--num-gpu-blocks-override 128`: its cache holds a third of the documents), 32 in flight, "
            "by its own metrics:\n",
            *_table(found),
            VLLM_NOTE,
        ]
    return "\n".join(parts)


def _table(rows: Sequence[Row]) -> list[str]:
    head = [
        "| job | cached, in the job's order | cached, `--prefix-order` | s | s, `--prefix-order` |",
        "|---|---|---|---|---|",
    ]
    body = [
        f"| {row.name} | {row.shown(lambda one: 100 * one.cached, form='{:.0f} %')} "
        f"| {row.shown(lambda one: one.wall_s, form='{:.1f}')} |"
        for row in rows
    ]
    return [*head, *body, ""]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.savings", description="Writes docs/savings.md.")
    parser.add_argument("--rounds", metavar="N", type=int, default=3, help="(default: 3)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the lines")
    parser.add_argument("--vllm", metavar="URL", help="a vLLM server with prefix caching, model 'tiny'")
    parser.add_argument("-o", "--output", type=Path, default=PAGE, help="(default: docs/savings.md)")
    given = parser.parse_args()
    given.output.write_text(page(given.rounds, given.vllm, given.quick), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

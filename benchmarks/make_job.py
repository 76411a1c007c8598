"""Writes job files of any size for benchmarks: the same arguments give the same bytes, on every machine.

    python -m benchmarks.make_job 1000000 /tmp/million.jsonl --size 300 --form mixed --prefix-share 0.5

Lines are made one at a time, and a shorter job is the beginning of a longer one with the same options.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

Form = Literal["short", "batch", "mixed"]

POOL = 512
"""Sentences per language: enough that documents differ, few enough to make before the first line."""

GOODS = {
    "en": ("oak shelf", "hex bolt M8", "filter paper", "brake pad", "desk lamp", "coffee beans"),
    "de": ("Bücherregal", "Sechskantschraube", "Filtertüte", "Bremsbelag", "Bürolampe", "Kaffeebohnen"),
    "zh": ("实木书架", "六角螺栓", "滤纸", "刹车片", "台灯", "咖啡豆"),
}
SENTENCES = {
    "en": (
        "Please send {n} pcs {item} at EUR {price} by {day}. ",
        "Item {n}: {item}, unit price USD {price}, shipped on {day}. ",
        "The {item} from order {n} arrived damaged on {day}; we expect a credit of {price}. ",
    ),
    "de": (
        "Bitte liefern Sie {n} Stück {item} zu je {price} € bis zum {day}. ",
        "Position {n}: {item}, Einzelpreis {price} €, geprüft am {day}. ",
        "Die {item} aus Auftrag {n} fehlten am {day}; offen sind {price} € zuzüglich Mehrwertsteuer. ",
    ),
    "zh": (
        "请于{day}前送货：{item}{n}件，单价{price}元。",
        "第{n}项：{item}，含税单价{price}元，{day}已验收。",
        "订单{n}中的{item}于{day}到货时破损，申请退款{price}元。",
    ),
}
LANGUAGES = tuple(SENTENCES)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the lines look like. `size` counts UTF-8 bytes of the prompt, up to a character."""

    size: int = 300
    form: Form = "short"
    prefix_share: float = 0.0
    """How much of every prompt is the same text as in all others, for endpoints that cache prefixes."""

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError("size is at least 32 bytes: a document's number has to fit")
        if not 0 <= self.prefix_share <= 1:
            raise ValueError("prefix share is between 0 and 1")


def sentences(language: str, rng: random.Random) -> list[str]:
    """A pool of sentences with seeded quantities, prices and dates."""
    return [
        rng.choice(SENTENCES[language]).format(
            item=rng.choice(GOODS[language]),
            n=rng.randrange(1, 10_000),
            price=f"{rng.uniform(1, 999):.2f}",
            day=f"2025-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}",
        )
        for _ in range(POOL)
    ]


def cut(text: str, size: int) -> str:
    """The beginning of `text` that fits into `size` bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")


def shared_prefix(shape: Shape, pool: list[str]) -> str:
    """What all prompts begin with. Sixteen bytes stay free, so that a document's number always fits."""
    text = "".join(pool)
    size = min(int(shape.size * shape.prefix_share), shape.size - 16)
    return cut(text * (size // len(text) + 1), size)


def documents(shape: Shape, seed: int) -> Iterator[tuple[str, str]]:
    """Endless (language, prompt). The number comes right after the shared part, so no prompt repeats."""
    rng = random.Random(seed)
    pools = {language: sentences(language, rng) for language in LANGUAGES}
    prefix = shared_prefix(shape, pools["en"])
    picks = shape.size // 48 + 1  # no sentence is shorter than 48 bytes
    number = 0
    while True:
        number += 1
        language = rng.choice(LANGUAGES)
        text = "".join(rng.choices(pools[language], k=picks))
        yield language, cut(f"{prefix}No. {number:010d}\n{text}", shape.size)


def short_line(custom_id: str, language: str, prompt: str) -> dict[str, Any]:
    """batchllm's short form."""
    return {"custom_id": custom_id, "prompt": prompt, "max_tokens": 200, "metadata": {"lang": language}}


def batch_line(custom_id: str, language: str, prompt: str) -> dict[str, Any]:
    """The form the OpenAI Batch API reads."""
    messages = [{"role": "system", "content": f"Answer in {language}."}, {"role": "user", "content": prompt}]
    body = {"messages": messages, "max_tokens": 200}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def lines(count: int, shape: Shape, seed: int = 0) -> Iterator[bytes]:
    """The job, line by line. In a mixed job every third line is in Batch form, as in `jobs/extract.jsonl`."""
    every = {"short": 0, "batch": 1, "mixed": 3}[shape.form]
    for number, (language, prompt) in enumerate(islice(documents(shape, seed), count), start=1):
        make = batch_line if every and number % every == 0 else short_line
        yield orjson.dumps(make(f"doc-{number:08d}", language, prompt), option=orjson.OPT_APPEND_NEWLINE)


def write_job(path: Path, count: int, shape: Shape, seed: int = 0) -> int:
    """Writes the job and returns its size in bytes."""
    with path.open("wb", buffering=1 << 20) as file:
        file.writelines(lines(count, shape, seed))
    return path.stat().st_size


def options(argv: Sequence[str] | None) -> tuple[Path, int, Shape, int]:
    """What `write_job` is called with; leaves with 2 and a message on what cannot be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.make_job", description="A benchmark job.")
    add = parser.add_argument
    add("count", metavar="N", type=int, help="number of lines")
    add("out", metavar="OUT.jsonl", type=Path, help="file to write; an existing one is replaced")
    add("--size", metavar="BYTES", type=int, default=300, help="bytes of each prompt (default: 300)")
    add("--seed", metavar="S", type=int, default=0, help="another seed, another text (default: 0)")
    add("--form", choices=get_args(Form), default="short", help="form of the lines (default: short)")
    add("--prefix-share", metavar="X", type=float, default=0.0, help="share of a prompt common to all, 0-1")
    given = parser.parse_args(argv)
    if given.count < 0:
        parser.error("N is zero or more")
    try:
        return given.out, given.count, Shape(given.size, given.form, given.prefix_share), given.seed
    except ValueError as error:
        parser.error(str(error))


def main(argv: Sequence[str] | None = None) -> int:
    path, count, shape, seed = options(argv)
    written = write_job(path, count, shape, seed)
    print(f"{path}: {count:,} lines, {written:,} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""No core file names a provider: what is particular to one stands in its row, and the core asks the row."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from batchllm.providers import names

PACKAGE = Path(__file__).parents[2] / "batchllm"
OF_PROVIDERS = ("providers", "simulator")
"""The rows themselves, and the embedded endpoint that speaks like them."""
OWNERS = {name.split("-")[0] for name in names()} - {"custom", "simulator"}
"""Not what belongs to nobody, nor what is our own."""
PLAIN_WORDS = {"together"}
"""Names that are words too: they count where they stand alone."""
WORDS = re.compile(rf"(?<![a-z0-9])({'|'.join(sorted(OWNERS - PLAIN_WORDS))})(?![a-z0-9])")
ALLOWED: dict[str, dict[str, str]] = {
    "target.py": {"openai": "the endpoint of a run that names none, if its key is set"},
    "settings.py": {"openai": "an example in a description"},
    "engines/batch_lane/apis.py": {"mistral": "the adapters by the name that a service's row gives", "openai": "the same"},
    "engines/batch_lane/mistral.py": {"mistral": "the adapter of an API that only one provider has"},
    "engines/batch_lane/remote.py": {"openai": "the SDK, which speaks Files and Batches"},
    "cloud/services.py": {"azure": "the SDK that speaks to that company's object storage"},
    "watching/conventions.py": dict.fromkeys(
        ("azure", "gemini", "mistral", "openai"), "what OpenTelemetry's conventions call a provider"
    ),
    "configuration.py": {"openai": "OPENAI_BASE_URL, the variable every such tool reads, and when it may count"},
    "serving/plan.py": {"vllm": "an example in a message"},
    "ratelimit_headers.py": {"modelscope": "a header's name on the wire; headers are read of everybody"},
    "sources/request_line.py": {"litellm": "a field that a line may not have, whoever is asked"},
    "endpoints/choices.py": {"groq": "a field's name on the wire (x_groq); it is read of everybody"},
    "validation/models.py": {"openai": "the SDK, which makes a schema strict"},
    "jsonl/openai_form.py": {"openai": "a file format, the Batch API's line"},
    "jsonl/validity.py": {"openai": "the same format"},
}
HELP = ("cli/",)
"""Examples in `--help`, and the names of commands and formats."""


def said(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name and every text of the code with its line; comments and docstrings may say where a fact is from."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value
        elif isinstance(node, ast.Name | ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.name
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias):
            yield node.lineno, node.name


def named(text: str) -> set[str]:
    low = re.sub(r"([a-z])([A-Z])", r"\1_\2", text).lower()
    return set(WORDS.findall(low)) | (PLAIN_WORDS & {low})


def violations() -> Iterator[tuple[str, int, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.split("/")[0] in OF_PROVIDERS or name.startswith(HELP):
            continue
        for line, text in said(ast.parse(path.read_text(encoding="utf-8"))):
            yield from ((name, line, word) for word in named(text))


def test_no_core_file_names_a_provider() -> None:
    found = list(violations())
    assert [one for one in found if one[2] not in ALLOWED.get(one[0], {})] == []


def test_every_exception_is_still_one() -> None:
    met = {(name, word) for name, _, word in violations()}
    assert {(name, word) for name, words in ALLOWED.items() for word in words} == met


def test_a_name_is_found_wherever_code_can_say_it() -> None:
    code = '"""openai"""\nif provider.name == "dashscope": use_vllm(); a.azure  # groq\nimport litellm\n'
    assert {word for _, text in said(ast.parse(code)) for word in named(text)} == {"dashscope", "vllm", "azure", "litellm"}
    assert (named("together with a customer"), named("together"), named("likeAzureDoes")) == (set(), {"together"}, {"azure"})

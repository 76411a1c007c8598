import sys
from pathlib import Path

import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.validation import Problem, judge, load_schema

MODELS = """
from __future__ import annotations
from pydantic import BaseModel
from beside import LIMIT
class Invoice(BaseModel):
    total: float
    lines: list[Line] = []
class Line(BaseModel):
    n: int
class Receipt(BaseModel):
    total: float
TABLE = {}
def validate(invoice: Invoice) -> str | None:
    return "too much" if invoice.total > LIMIT else None
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "beside.py").write_text("LIMIT = 100\n")
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "table.json").write_text('{"type": "object", "required": ["a"]}')
    yield tmp_path
    for name in [name for name in sys.modules if name == "beside" or name.startswith("batchllm_schema_")]:
        del sys.modules[name]


def test_a_model_of_a_file_with_its_rule(folder):
    path = list(sys.path)
    held = load_schema("models.py:Invoice", folder)
    assert sys.path == path
    assert held.name == "Invoice"
    assert held.validate({"total": 1, "lines": [{"n": 1}]}) == ({"total": 1.0, "lines": [{"n": 1}]}, [])
    assert held.validate({"total": 101})[1] == [Problem("", "too much")]


def test_the_rule_of_another_model_does_not_apply(folder):
    assert load_schema("models.py:Receipt", folder).validate({"total": 101})[1] == []


def test_a_rule_without_annotation_applies_to_every_model(folder):
    (folder / "bare.py").write_text(
        "from pydantic import BaseModel\nclass A(BaseModel):\n    x: int\ndef validate(obj):\n    return 'no'\n"
    )
    assert load_schema("bare.py:A", folder).validate({"x": 1})[1] == [Problem("", "no")]


def test_a_json_schema_file(folder):
    held = load_schema("table.json", folder)
    assert (held.name, held.strict) == ("table", False)
    assert held.validate({})[1][0].message == '"a" is a required property'


@pytest.mark.parametrize(
    "envelope",
    [
        '{"name": "n", "strict": true, "schema": %s}',
        '{"type": "json_schema", "json_schema": {"name": "n", "schema": %s}}',
        "%s",
    ],
)
def test_a_schema_is_found_in_the_envelope_that_requests_carry_it_in(folder, envelope):
    (folder / "x.json").write_text(envelope % '{"type": "object", "required": ["a"]}')
    assert load_schema("x.json", folder).validate({})[1][0].message == '"a" is a required property'


def test_the_empty_schema_lets_every_answer_pass_as_it_says(folder):
    (folder / "x.json").write_text("{}")
    assert load_schema("x.json", folder).validate([1])[1] == []


@pytest.mark.parametrize(
    ("name", "content", "spec", "message"),
    [
        ("x.py", None, "none.py:A", "cannot be read: No such file or directory"),
        ("x.py", None, "none.json", "cannot be read: No such file or directory"),
        ("x.py", "", "x.py", "does not say which model"),
        ("x.py", "a = 1\ndef f(:\n", "x.py:A", "has a syntax error in line 2"),
        (
            "x.py",
            "a = 1\n1 / 0\n",
            "x.py:A",
            "failed to import in line 2: ZeroDivisionError: division by zero",
        ),
        ("x.py", "import sys\nsys.exit(3)\n", "x.py:A", "failed to import in line 2: SystemExit: 3"),
        ("x.py", "import no_such_module_here\n", "x.py:A", "ModuleNotFoundError"),
        ("x.py", MODELS, "x.py:Invioce", "has no model 'Invioce': the nearest is Invoice"),
        ("x.py", MODELS, "x.py:Zzzzz", "has no model 'Zzzzz': it has Invoice, Line, Receipt"),
        ("x.py", MODELS, "x.py:TABLE", "is no pydantic model"),
        ("x.py", MODELS, "x.py:BaseModel", "is no pydantic model"),
        ("x.py", MODELS.replace("(invoice: Invoice)", "(invoice: Nowhere)"), "x.py:Line", "Nowhere"),
        ("x.json", "{", "x.json", "not valid JSON"),
        ("x.json", "[]", "x.json", "a JSON schema is an object, not list"),
        ("x.json", '{"typo": "object"}', "x.json", "it says nothing of what an answer has to be"),
        ("x.json", '{"$ref": "y.json"}', "x.json", "the reference 'y.json' leads out"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_sentence(folder, name, content, spec, message):
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(JobError) as refusal:
        load_schema(spec, folder)
    assert refusal.value.exit_code is ExitCode.USAGE
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_failed_import_leaves_nothing_behind(folder):
    (folder / "x.py").write_text("1 / 0\n")
    before, path = set(sys.modules), list(sys.path)
    with pytest.raises(JobError):
        load_schema("x.py:A", folder)
    assert not [name for name in set(sys.modules) - before if name.startswith("batchllm_schema_")]
    assert sys.path == path


def test_the_example_job_is_held_to_a_strict_schema():
    held = load_schema("jobs/schemas.py:Extraction", Path(__file__).parents[2])
    assert held.strict
    answer = '{"kind": "receipt", "language": "de", "summary": "Ein Kassenbon über drei Brötchen."}'
    verdict = judge(f"```json\n{answer}\n```", held)
    assert (verdict.problems, verdict.path) == ([], "fence")
    assert verdict.parsed["line_items"] == []

"""The example job is what newcomers run first and copy from: it has to be good in every line."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

JOBS = Path(__file__).parents[2] / "jobs"
KINDS = {
    "invoice": "invoice",
    "order": "order",
    "delivery": "delivery_note",
    "ticket": "support_ticket",
    "meeting": "meeting_notes",
    "receipt": "receipt",
}
"""What a custom_id begins with, and the kind the schema gives such a document."""


def strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), f"a key stands twice: {[key for key, _ in pairs]}"
    return dict(pairs)


def lines() -> list[dict[str, Any]]:
    text = (JOBS / "extract.jsonl").read_bytes().decode("utf-8").removesuffix("\n")
    parse = json.JSONDecoder(object_pairs_hook=strict, parse_constant=pytest.fail).decode
    return [parse(line) for line in text.split("\n")]


def messages(line: dict[str, Any]) -> list[dict[str, str]]:
    """The chat a line asks for, whichever way it is written."""
    if "prompt" in line:
        return [{"role": "system", "content": line["system"]}, {"role": "user", "content": line["prompt"]}]
    found: list[dict[str, str]] = line.get("body", line)["messages"]
    return found


def document(line: dict[str, Any]) -> str:
    text = messages(line)[-1]["content"]
    match = re.search(r"<document>\n(.+)\n</document>\Z", text, re.DOTALL)
    assert match, text
    return match[1]


def language(line: dict[str, Any]) -> str:
    """By the request's own words, so that lines without an id and metadata count too."""
    openings = {"Extract": "en", "Lies": "de", "请提取": "zh"}
    return next(lang for word, lang in openings.items() if messages(line)[-1]["content"].startswith(word))


def extraction() -> type[BaseModel]:
    """The schema as a run loads it: from the file alone, with nothing else of `jobs` on the path."""
    spec = importlib.util.spec_from_file_location("example_schemas", JOBS / "schemas.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type[BaseModel] = module.Extraction
    return found


def objects(schema: object) -> Iterator[dict[str, Any]]:
    """Every object type in a JSON schema, at any depth."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def eur(amount: float) -> dict[str, Any]:
    return {"amount": amount, "currency": "EUR"}


ANSWERS: dict[str, dict[str, Any]] = {
    "invoice": {
        "language": "de",
        "document_number": "25-10442",
        "issuer": {"name": "Brakmoor Fahrzeugteile GmbH", "tax_id": "DE999999999"},
        "issue_date": "2025-02-03",
        "due_date": "2025-03-05",
        "line_items": [{"description": "Montagepaste", "quantity": 6, "unit_price": eur(4.95), "total": eur(29.7)}],
        "grand_total": eur(1089.68),
        "summary": "Brakmoor berechnet dem Autohaus Bremsenteile.",
    },
    "order": {
        "language": "en",
        "line_items": [{"description": "house blend, whole bean", "quantity": 8, "unit": "kg"}],
        "summary": "A café orders coffee and cups for a fair.",
    },
    "delivery_note": {
        "language": "zh",
        "line_items": [{"description": "铝槽 2m 银色", "sku": "AP-200-SV", "quantity": 118}],
        "doubts": ["铝槽应发120支、实发118支。"],
        "summary": "苏州2号仓向客户发出灯带和铝槽。堵头待补发。",
    },
    "support_ticket": {
        "language": "de",
        "urgency": "critical",
        "summary": "Mieter melden den Ausfall der Heizung im ganzen Haus.",
    },
    "meeting_notes": {
        "language": "en",
        "participants": ["Asha", "Bruno"],
        "action_items": [
            {"task": "Book the inspector", "owner": "Bruno", "due": "2025-11-14"},
            {"task": "Ask"},
        ],
        "summary": "The weekly meeting gave out four tasks.",
    },
    "receipt": {
        "language": "de",
        "line_items": [{"description": "Leergut", "quantity": 1, "total": eur(-3.42)}],
        "grand_total": eur(10.94),
        "summary": "Einkauf im Frischmarkt, bar bezahlt.",
    },
}


def test_file_is_readable_utf8_with_newlines_only() -> None:
    raw = (JOBS / "extract.jsonl").read_bytes()
    assert raw.endswith(b"}\n")
    assert b"\r" not in raw
    assert b"\n\n" not in raw
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert not re.search(rb"\\u[0-9a-fA-F]{4}", raw)


def test_job_is_about_forty_strict_json_objects() -> None:
    assert 38 <= len(lines()) <= 44
    assert all(isinstance(line, dict) for line in lines())


def test_ids_are_unique_and_a_few_lines_have_none() -> None:
    ids = [line["custom_id"] for line in lines() if "custom_id" in line]
    assert len(set(ids)) == len(ids)
    assert 1 <= len(lines()) - len(ids) <= 2
    assert not [name for name in ids if not re.fullmatch(r"[a-z]+-(en|de|zh)-\d{3}", name)]


def test_both_forms_are_shown_and_the_short_one_both_ways() -> None:
    batch = [line for line in lines() if "body" in line]
    assert len(lines()) / 4 < len(batch) < len(lines()) / 2
    assert all({*line} == {"custom_id", "method", "url", "body"} for line in batch)
    assert all((line["method"], line["url"]) == ("POST", "/v1/chat/completions") for line in batch)
    short = [line for line in lines() if "body" not in line]
    assert any("prompt" in line for line in short)
    assert any("messages" in line for line in short)
    assert all({*line["metadata"]} == {"source", "lang"} for line in short)


def test_every_line_asks_for_one_document_that_no_other_line_has() -> None:
    assert all([message["role"] for message in messages(line)] == ["system", "user"] for line in lines())
    documents = [document(line) for line in lines()]
    assert len(set(documents)) == len(documents)
    assert all(len(text) > 80 for text in documents)


def test_no_line_names_a_model_so_that_the_sidecar_chooses_it() -> None:
    assert not [line for line in lines() if "model" in line or "model" in line.get("body", {})]


@pytest.mark.parametrize(("lang", "letters"), [("en", "[a-z]"), ("de", "[äöüß]"), ("zh", "[\u4e00-\u9fff]")])
def test_each_language_has_ten_documents_in_its_own_script(lang: str, letters: str) -> None:
    documents = [document(line) for line in lines() if language(line) == lang]
    assert len(documents) >= 10
    assert sum(bool(re.search(letters, text)) for text in documents) >= 0.8 * len(documents)


@pytest.mark.parametrize("prefix", KINDS)
def test_each_kind_comes_in_each_language(prefix: str) -> None:
    ids = [line["custom_id"] for line in lines() if line.get("custom_id", "").startswith(f"{prefix}-")]
    assert len(ids) >= 5
    assert {name.split("-")[1] for name in ids} == {"en", "de", "zh"}


def test_addresses_are_reserved_ones() -> None:
    hosts = {host for line in lines() for host in re.findall(r"\w@([\w.-]+)", document(line))}
    assert hosts
    assert not [host for host in hosts if not host.endswith(".example")]


def test_sidecar_runs_without_key_or_network_on_the_schema_beside_it() -> None:
    settings = tomllib.loads((JOBS / "extract.toml").read_text(encoding="utf-8"))
    assert {*settings} <= {"provider", "model", "schema", "concurrency", "reask", "body"}
    assert (settings["provider"], settings["model"]) == ("simulator", "simulated-1")
    assert settings["schema"] == "schemas.py:Extraction"
    assert settings["body"]["temperature"] == 0


def test_schema_lists_every_field_of_every_object_as_strict_mode_wants() -> None:
    found = list(objects(extraction().model_json_schema()))
    assert len(found) >= 5
    assert all(schema["additionalProperties"] is False and schema["properties"] for schema in found)


def test_schema_has_no_default_but_null() -> None:
    properties = [schema["properties"] for schema in objects(extraction().model_json_schema())]
    assert all(field.get("default") is None for fields in properties for field in fields.values())


@pytest.mark.parametrize("kind", KINDS.values())
def test_an_answer_of_each_kind_survives_the_way_through_json(kind: str) -> None:
    model = extraction()
    answer = model.model_validate_json(json.dumps({"kind": kind} | ANSWERS[kind]))
    assert json.loads(answer.model_dump_json(exclude_unset=True)) == {"kind": kind} | ANSWERS[kind]
    assert model.model_validate_json(answer.model_dump_json()) == answer


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "poem"},
        {"summary": "short"},
        {"summary": "long " * 100},
        {"issue_date": "14.03.2025"},
        {"grand_total": {"amount": 1, "currency": "Euro"}},
        {"line_items": [{"description": "Leergut", "quantity": 0}]},
        {"urgency": "asap"},
        {"vendor": "unknown field"},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_what_the_schema_is_there_to_refuse(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        extraction().model_validate({"kind": "receipt"} | ANSWERS["receipt"] | wrong)

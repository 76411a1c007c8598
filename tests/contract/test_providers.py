"""What every provider keeps to, whichever it is."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import get_args

import pytest

from batchllm.classify import classify
from batchllm.providers import Provider, auth_headers, guess, names, provider, request_url
from batchllm.providers.provider import Auth, Structured, ToldLimits, UrlStyle
from batchllm.refusals import GENERAL, Rule
from batchllm.types import Kind, Reply

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = "sk-secret-0123456789"
BARE = "https://resource.example"


@pytest.fixture(params=names())
def one(request: pytest.FixtureRequest) -> Provider:
    return provider(request.param)


def test_it_is_the_row_of_its_name(one: Provider) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", one.name)
    assert provider(one.name) is one
    assert one.title
    assert one.docs


def test_its_fields_are_of_the_known_kinds(one: Provider) -> None:
    assert one.auth in get_args(Auth)
    assert one.url_style in get_args(UrlStyle)
    assert one.structured in get_args(Structured)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", variable) for variable in one.key_env)
    assert one.limits in get_args(ToldLimits)
    assert re.compile(one.thinking_models)
    assert one.max_concurrency is None or one.max_concurrency > 0
    with pytest.raises((FrozenInstanceError, AttributeError)):
        one.name = "other"  # type: ignore[misc]


def test_a_key_has_a_variable_where_one_is_needed(one: Provider) -> None:
    assert bool(one.key_env) == (one.auth != "none")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/chat/completions", "/v4/chat/completions"])
def test_an_address_has_one_version_and_keeps_to_its_host(one: Provider, path: str) -> None:
    base = one.base_url or BARE
    url = request_url(one, base, path, "some-model")
    assert url.startswith(base.split("/", 3)[0] + "//" + base.split("/")[2] + "/")
    assert len(re.findall(r"/v[0-9]", url)) <= 1
    assert url.partition("?")[0].endswith(path.removeprefix("/v1").removeprefix("/v4"))
    assert "//" not in url.partition("://")[2]


def test_its_address_is_safe_and_recognised(one: Provider) -> None:
    if not one.base_url:
        assert one.name in ("azure", "simulator", "custom")
    elif one.local or one.name == "litellm":
        assert one.base_url.startswith("http://localhost:")
    else:
        assert one.base_url.startswith("https://")
        assert guess(one.base_url) == one.name


def test_the_key_stands_in_one_header_and_in_no_repr(one: Provider) -> None:
    headers = auth_headers(one, KEY)
    assert len(headers) == (0 if one.auth == "none" else 1)
    assert KEY not in repr(one)
    assert KEY not in request_url(one, one.base_url or BARE, "/v1/chat/completions", "m")


def test_its_rules_are_well_formed(one: Provider) -> None:
    for rule in one.rules:
        assert conditions(rule), "a rule without a condition would swallow every refusal"
        assert rule.kind is not Kind.OK
        assert all(name == name.lower() for name in (*rule.names, *rule.headers))
        assert rule.message.format(status=1, name="", words="w", host="h")
        assert not rule.slow_ramp or rule.kind is Kind.REFUSED
        assert rule.trust_wait or rule.day_zone_h is not None


def test_its_rules_leave_a_plain_answer_and_a_plain_429_alone(one: Provider) -> None:
    answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    assert classify(Reply(200, {}, b"", 1.0), answer, one.rules, now=NOW) is None
    refusal = classify(Reply(429, {"retry-after": "2"}, b"", 1.0), {"error": {"message": "slow"}}, one.rules, now=NOW)
    assert refusal is not None
    assert (refusal.kind, refusal.after_s) == (Kind.REFUSED, 2.0)


def test_a_bad_key_always_stops(one: Provider) -> None:
    verdict = classify(Reply(401, {}, b"", 1.0), {"error": {"message": "no"}}, one.rules, now=NOW)
    assert verdict is not None
    assert verdict.kind is Kind.STOP


def test_its_quirks_are_sentences(one: Provider) -> None:
    assert one.notes
    for note in one.notes:
        assert note[0].isupper() or note[0].isdigit() or re.match(r"[a-z_\-*]+", note)
        assert note.endswith((".", "!"))
        assert note.isprintable()
        assert len(note) <= 200


def test_only_the_simulator_simulates() -> None:
    assert [name for name in names() if provider(name).simulated] == ["simulator"]


def test_the_general_table_ends_in_a_rule_for_everything() -> None:
    assert not conditions(GENERAL[-1])
    assert all(conditions(rule) for rule in GENERAL[:-1])


def conditions(rule: Rule) -> bool:
    return rule.statuses is not None or bool(rule.names) or rule.words is not None or bool(rule.headers)

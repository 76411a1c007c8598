"""Which addresses a run goes to, with which keys, and what it is called."""

from __future__ import annotations

from typing import Any

import pytest

from batchllm.configuration import Configuration
from batchllm.errors import ExitCode, JobError
from batchllm.journal.manifest import same_fleet
from batchllm.settings import checked
from batchllm.target import Target, target

HOME = "http://127.0.0.1:8001/v1"
AWAY = "http://127.0.0.1:8002/v1"


def chosen(environment: dict[str, str] | None = None, **values: Any) -> Target:
    return target(Configuration(checked(values, {}), environment or {}))


def test_a_list_of_addresses_is_one_target_and_each_keeps_its_own_key() -> None:
    found = chosen({"A": "sk-aaaaaaaaaaaaaaaa", "B": "sk-bbbbbbbbbbbbbbbb"}, base_url=[HOME, AWAY], api_key_env=["A", "B"])
    assert [site.base_url for site in found.sites] == [HOME, AWAY]
    assert [site.headers["Authorization"] for site in found.sites] == [
        "Bearer sk-aaaaaaaaaaaaaaaa",
        "Bearer sk-bbbbbbbbbbbbbbbb",
    ]
    assert [site.key_hint for site in found.sites] == ["the key came from $A", "the key came from $B"]
    assert found.redactor.text("sk-aaaaaaaaaaaaaaaa sk-bbbbbbbbbbbbbbbb") == "[key] [key]"
    assert "sk-" not in repr(found)


def test_one_key_is_for_all() -> None:
    found = chosen({"A": "sk-aaaaaaaaaaaaaaaa"}, base_url=[HOME, AWAY], api_key_env="A")
    assert {site.headers["Authorization"] for site in found.sites} == {"Bearer sk-aaaaaaaaaaaaaaaa"}


@pytest.mark.parametrize("base_url", [HOME, [HOME], [HOME + "/"]])
def test_one_address_is_no_fleet_however_it_is_written(base_url: Any) -> None:
    found = chosen(base_url=base_url)
    assert (found.sites, found.base_url, found.name, found.identity) == ((), HOME, HOME, HOME)


def test_a_row_of_the_users_own_may_list_its_addresses() -> None:
    rows = {"mine": {"like": "vllm", "base_url": [HOME, AWAY + "/"], "max_concurrency": 8}}
    found = chosen(provider="mine", providers=rows)
    assert [(site.base_url, site.cap) for site in found.sites] == [(HOME, 8), (AWAY, 8)]
    assert found.provider.name == "mine"
    assert [site.cap for site in chosen(provider="mine", providers=rows, concurrency=32).sites] == [None, None]
    assert chosen(provider="mine", providers=rows, base_url=HOME).sites == (), "an address that is set goes before the row's"


def test_deployments_are_addresses_of_one_provider() -> None:
    names = [f"https://{name}.openai.azure.com/openai/deployments/gpt" for name in ("east", "west")]
    found = chosen({"AZURE_OPENAI_API_KEY": "0123456789abcdef"}, base_url=names)
    assert found.provider.name == "azure"
    assert all(site.headers["api-key"] == "0123456789abcdef" for site in found.sites)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"base_url": [HOME, HOME + "/"]}, "named twice"),
        ({"base_url": [HOME, "nope"]}, "no URL"),
        ({"base_url": [HOME, "http://api.example.com/v1"]}, "unencrypted"),
        ({"base_url": []}, "list of texts"),
        ({"base_url": [HOME, 7]}, "list of texts"),
        ({"base_url": 7}, "list of texts"),
        ({"base_url": [HOME, "http://127.0.0.1:11434/v1"]}, "--provider"),
        ({"base_url": [HOME, AWAY], "api_key_env": ["A", "B", "C"]}, "3 variables for 2 addresses"),
        ({"base_url": HOME, "api_key_env": ["A", "B"]}, "2 variables for 1 addresses"),
        ({"base_url": [HOME, AWAY], "api_key_env": ["A", "B"]}, "set B"),
        ({"base_url": [HOME, AWAY], "serve": "x {port}"}, "several addresses"),
        ({"base_url": [HOME, AWAY], "lane": "batch"}, "one address"),
        ({"provider": "mine", "providers": {"mine": {"base_url": [HOME, HOME]}}}, "twice"),
        ({"provider": "mine", "providers": {"mine": {"base_url": []}}}, "empty list"),
        ({"provider": "mine", "providers": {"mine": {"base_url": [HOME, "x"]}}}, "base_url"),
        ({"provider": "mine", "providers": {"mine": {"base_url": [HOME, "http://api.example.com/v1"]}}}, "unencrypted"),
        ({"provider": "mine", "providers": {"mine": {"base_url": [HOME, AWAY], "serve": "x {port}"}}}, "several addresses"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(JobError, match=words) as refused:
        chosen({"A": "sk-aaaaaaaaaaaaaaaa", "C": "sk-cccccccccccccccc"}, **values)
    assert refused.value.exit_code is ExitCode.USAGE


def test_a_fleet_is_called_the_same_in_whatever_order_it_is_written() -> None:
    assert chosen(base_url=[HOME, AWAY]).identity == chosen(base_url=[AWAY, HOME]).identity == [HOME, AWAY]
    assert chosen(base_url=[AWAY, HOME]).name == f"{AWAY} and 1 more"
    assert chosen(provider="simulator", base_url=[AWAY, HOME]).identity == "simulator"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("a", ["a", "b"], True),
        (["a", "b"], "b", True),
        (["a", "b"], ["b", "c"], True),
        (["a", "b"], ["c", "d"], False),
        ("a", "b", False),
        ("a", ["b", "c"], False),
    ],
)
def test_addresses_come_and_go_as_long_as_one_stays(old: Any, new: Any, same: bool) -> None:
    assert same_fleet({"endpoint": old, "model": "m"}, {"endpoint": new, "model": "m"}) is same
    assert not same_fleet({"endpoint": old, "model": "m"}, {"endpoint": new, "model": "other"})

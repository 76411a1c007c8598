"""Which paths a job line may name: known words only, and nothing that could lead elsewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.endpoints import DEFAULT, TABLE, UnknownPathError, allowed, endpoint_for, suffix
from batchllm.errors import BatchllmError


@pytest.mark.parametrize("url", ["/v1/{}", "/{}", "{}", "v1/{}", "/v4/{}", "/v1beta/{}", "/v1/{}/", "/{}/"])
@pytest.mark.parametrize("name", TABLE)
def test_a_known_path_is_found_whatever_its_version(url: str, name: str) -> None:
    assert allowed(url.format(name))
    assert suffix(url.format(name)) == name
    assert endpoint_for(url.format(name)) is endpoint_for(f"/v1/{name}")
    assert endpoint_for(url.format(name)).path == f"/v1/{name}"


def test_the_default_is_in_the_table() -> None:
    assert allowed(DEFAULT)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/chat/completions",
        "//evil.example/v1/chat/completions",
        "http:/v1/chat/completions",
        "/v1//chat/completions",
        "/v1/../v1/chat/completions",
        "/v1/./chat/completions",
        "../chat/completions",
        "/v1/chat/completions?x=1",
        "/v1/chat/completions#x",
        "/v1/chat/completions;x",
        "/v1/chat%2fcompletions",
        "/v1/%2e%2e/chat/completions",
        "/v1\\chat\\completions",
        "\\\\evil\\chat/completions",
        "/v1/chat/completions\n",
        "/v1/chat/completions\r\nHost: evil",
        " /v1/chat/completions",
        "/v1/chat/completions ",
        "/v1/chat/completions\x00",
        "/V1/chat/completions",
        "/v1/CHAT/completions",
        "/v1/chat/completions//",
        "/v1/chat",
        "/v1/files",
        "/v1/batches",
        "/v1/models",
        "/v1/v1/chat/completions",
        "/v１/chat/completions",
        "@evil/chat/completions",
        "",
        "/",
        None,
        7,
        ["/v1/chat/completions"],
    ],
)
def test_nothing_else_is_allowed(url: object) -> None:
    assert not allowed(url)
    with pytest.raises(UnknownPathError):
        endpoint_for(url)  # type: ignore[arg-type]


@given(st.text())
def test_an_allowed_path_is_made_of_known_words(url: str) -> None:
    assert not allowed(url) or suffix(url) in TABLE


def test_an_unknown_path_names_the_nearest() -> None:
    with pytest.raises(KeyError) as caught:
        endpoint_for("/v1/chat/completion")
    assert isinstance(caught.value, BatchllmError)
    assert str(caught.value).startswith("The url '/v1/chat/completion' is not an endpoint")
    assert "/v1/chat/completions" in str(caught.value)


def test_endpoints_are_loaded_only_when_asked_for() -> None:
    code = (
        "import sys, batchllm.endpoints as e; e.allowed('/v1/responses');"
        "print([name for name in sys.modules if 'endpoints.' in name])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"

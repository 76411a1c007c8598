"""Which server a setting starts, with which environment, and what a run's fingerprint says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchllm import assembly
from batchllm.configuration import Configuration, load
from batchllm.errors import ExitCode, JobError
from batchllm.serving.plan import environment_for, plan
from batchllm.settings import checked

VLLM = "vllm serve Qwen/Qwen3-8B --port {port}"


def configuration(environment: dict[str, str] | None = None, **settings: Any) -> Configuration:
    return Configuration(checked(settings, {}), environment or {})


def test_no_setting_starts_nothing() -> None:
    assert plan(checked({"base_url": "http://localhost:1/v1"}, {})) is None


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (VLLM, "vllm"),
        ("/opt/x/bin/python -m vllm.entrypoints.openai.api_server --model m --port {port}", "vllm"),
        ("transformers serve --port {port}", "transformers"),
        ("/usr/local/bin/llama-server -m x.gguf --port {port}", "llamacpp"),
        ("python -m sglang.launch_server --model-path m --port {port}", "sglang"),
        ("env OLLAMA_HOST=127.0.0.1:{port} ollama serve", "ollama"),
        ("lmdeploy serve api_server m --server-port {port}", "lmdeploy"),
        ("./mine --port {port}", "custom"),
    ],
)
def test_a_server_has_the_habits_of_its_command(command: str, name: str) -> None:
    assert assembly.target(configuration(serve=command)).provider.name == name


def test_a_server_nobody_knows_is_sent_no_key() -> None:
    chosen = assembly.target(configuration({"OPENAI_API_KEY": "sk-of-somebody-else"}, serve="./mine {port}"))
    assert chosen.headers == {}


def test_the_fingerprint_holds_the_command_and_no_port() -> None:
    spaced = assembly.target(configuration(serve=VLLM.replace(" ", "   ")))
    assert spaced.name == assembly.target(configuration(serve=VLLM)).name
    assert spaced.base_url == ""
    assert "vllm serve Qwen/Qwen3-8B" in spaced.name


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"serve": "vllm serve m"}, "{port}"),
        ({"serve": "vllm 'serve"}, "quotation"),
        ({"serve": "  "}, "no command"),
        ({"serve": f"{VLLM} --api-key sk-123"}, "can be read by everybody"),
        ({"serve": VLLM, "base_url": "https://api.example.com/v1"}, "on this machine"),
        ({"serve": VLLM, "provider": "simulator"}, "needs none"),
        ({"provider": "mine", "providers": {"mine": {"serve": {"command": VLLM, "port": 1}}}}, "[providers.mine.serve]"),
        ({"provider": "mine", "providers": {"mine": {"serve": {"command": VLLM, "timeout": 0}}}}, "timeout"),
    ],
)
def test_a_server_that_cannot_be_started_is_refused_before_anything_happens(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(JobError) as refused:
        assembly.target(configuration(**settings))
    assert refused.value.exit_code is ExitCode.USAGE
    assert words in str(refused.value)


def test_a_providers_own_row_may_start_its_server() -> None:
    rows = {"mine": {"like": "vllm", "serve": {"command": VLLM, "timeout": 30}}}
    chosen = configuration(provider="mine", providers=rows)
    found = plan(chosen.settings)
    assert found is not None
    assert (found.timeout_s, found.base_url) == (30.0, None)
    assert assembly.target(chosen).provider.name == "mine"


def test_a_row_with_an_address_needs_no_port_in_its_command() -> None:
    rows = {"mine": {"base_url": "http://localhost:9123/v1", "serve": "ollama serve"}}
    found = plan(checked({"provider": "mine", "providers": rows}, {}))
    assert found is not None
    assert found.base_url == "http://localhost:9123/v1"


def test_a_flag_that_names_another_endpoint_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "batchllm.toml").write_text(f'serve = "{VLLM}"\nmodel = "m"\n')
    at_home = load(None, {}, working_dir=tmp_path, environ={})
    assert plan(at_home.settings) is not None
    ambient = load(None, {}, working_dir=tmp_path, environ={"OPENAI_BASE_URL": "https://api.openai.com/v1"})
    assert plan(ambient.settings) is not None
    elsewhere = load(None, {"provider": "openai"}, working_dir=tmp_path, environ={})
    assert plan(elsewhere.settings) is None


def test_a_flag_that_starts_a_server_replaces_the_simulator_of_the_sidecar(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('provider = "simulator"\n')
    found = load(tmp_path / "job.jsonl", {"serve": VLLM}, working_dir=tmp_path, environ={})
    assert assembly.target(found).provider.name == "vllm"


def test_a_server_gets_our_environment_without_our_keys() -> None:
    settings = checked({"serve": VLLM, "api_key_env": "MY_KEY", "providers": {"x": {"key_env": "X_KEY"}}}, {})
    started = plan(settings)
    assert started is not None
    given = {"PATH": "/bin", "HF_TOKEN": "hf", "OPENAI_API_KEY": "a", "DEEPSEEK_API_KEY": "b", "MY_KEY": "c", "X_KEY": "d",
             "BATCHLLM_API_KEY": "e", "VLLM_API_KEY": "its own"}  # fmt: skip
    assert environment_for(settings, started, given) == {"PATH": "/bin", "HF_TOKEN": "hf", "VLLM_API_KEY": "its own"}


def test_parts_without_a_started_server_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="serve works with"):
        assembly.parts(configuration(serve=VLLM), tmp_path / "job.jsonl", tmp_path, command="x")

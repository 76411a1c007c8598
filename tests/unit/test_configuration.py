"""Where settings come from, who wins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchllm.configuration import load
from batchllm.errors import JobError


def settings(folder: Path, flags: dict[str, object] | None = None, **environ: str) -> object:
    return load(folder / "job.jsonl", flags, working_dir=folder, environ=environ).settings


def test_later_sources_win(tmp_path: Path) -> None:
    order = []
    (tmp_path / "batchllm.toml").write_text('model = "working"\nrpm = 1\n')
    order.append(settings(tmp_path).model)  # type: ignore[attr-defined]
    (tmp_path / "job.toml").write_text('model = "sidecar"\n')
    order.append(settings(tmp_path).model)  # type: ignore[attr-defined]
    (tmp_path / ".env").write_text("BATCHLLM_MODEL=dotenv\n")
    order.append(settings(tmp_path).model)  # type: ignore[attr-defined]
    order.append(settings(tmp_path, BATCHLLM_MODEL="environment").model)  # type: ignore[attr-defined]
    order.append(settings(tmp_path, {"model": "flag"}, BATCHLLM_MODEL="environment").model)  # type: ignore[attr-defined]
    assert order == ["working", "sidecar", "dotenv", "environment", "flag"]


def test_tables_are_merged_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "batchllm.toml").write_text("[body]\ntemperature = 1\nseed = 3\n")
    (tmp_path / "job.toml").write_text("[body]\ntemperature = 0\n")
    assert settings(tmp_path).body == {"temperature": 0, "seed": 3}  # type: ignore[attr-defined]


def test_a_dotenv_file_never_overrides(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=from-file\nBATCHLLM_RPM=5\n")
    loaded = load(None, working_dir=tmp_path, environ={"OPENAI_API_KEY": "from-shell"})
    assert loaded.environment["OPENAI_API_KEY"] == "from-shell"
    assert loaded.settings.rpm == 5


def test_a_source_that_names_an_endpoint_replaces_the_earlier_one_whole(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('provider = "simulator"\n')
    chosen = settings(tmp_path, {"base_url": "http://localhost:1/v1"})
    assert (chosen.provider, chosen.base_url) == (None, "http://localhost:1/v1")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sidecar", "expected"),
    [("", "http://elsewhere/v1"), ('provider = "openai"', "http://elsewhere/v1"), ('provider = "simulator"', None)],
)
def test_openai_base_url_never_turns_another_named_provider_into_a_bill(
    tmp_path: Path, sidecar: str, expected: str | None
) -> None:
    (tmp_path / "job.toml").write_text(sidecar)
    assert settings(tmp_path, OPENAI_BASE_URL="http://elsewhere/v1").base_url == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modell = 1", "did you mean 'model'"),
        ("[timeouts]\ntotl = 5", "did you mean 'total'"),
        ("[retries]\nmax_attempt = 5", "did you mean 'max_attempts'"),
        ("concurrency = 0", "concurrency"),
        ('rpm = "many"', "rpm"),
        ('base_url = "nonsense"', "base_url"),
        ('base_url = "https://user:key@host/v1"', "keys come from the environment"),
        ('base_url = "http://api.example.com/v1"', "insecure_http"),
        ('until = "25:00"', "until"),
        ("[body]\nmessages = []", "prompts come from the job's lines"),
        ("model = ", "not valid TOML"),
    ],
)
def test_a_wrong_setting_is_one_sentence_naming_file_and_setting(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "job.toml").write_text(text)
    with pytest.raises(JobError) as caught:
        settings(tmp_path)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert said in message
    assert "job.toml" in message
    assert "\n" not in message.split("(")[0]


def test_paths_in_a_settings_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('schema = "schemas.py:Model"\n')
    assert settings(tmp_path).schema_ == str(tmp_path / "schemas.py:Model")  # type: ignore[attr-defined]

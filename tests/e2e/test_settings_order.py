"""Where settings come from and who wins, as the server sees it: the real command, the body that arrives."""

from __future__ import annotations

from batchllm.simulator import SimulatorOptions, run_in_thread
from tests.conftest import Command, records


def asked_model(command: Command, *args: str, **environment: str) -> str:
    """The model that the reply names: the one that was asked for."""
    ended = command("run", "job.jsonl", "--fresh", *args, **environment)
    assert ended.code == 0, ended.err
    (record,) = records(command.folder / "outputs/job/results.jsonl")
    model: str = record["response"]["body"]["model"]
    return model


def test_each_later_source_wins_and_the_line_itself_over_all(command: Command, simulator: str) -> None:
    command.write("job.jsonl", {"prompt": "x"})
    found = []
    (command.folder / "batchllm.toml").write_text(f'base_url = "{simulator}"\nmodel = "working"\n')
    found.append(asked_model(command))
    (command.folder / "job.toml").write_text('model = "sidecar"\n')
    found.append(asked_model(command))
    (command.folder / ".env").write_text("BATCHLLM_MODEL=dotenv\n")
    found.append(asked_model(command))
    found.append(asked_model(command, BATCHLLM_MODEL="environment"))
    found.append(asked_model(command, "--model", "flag", BATCHLLM_MODEL="environment"))
    command.write("job.jsonl", {"prompt": "x", "model": "line"})
    found.append(asked_model(command, "--model", "flag"))
    assert found == ["working", "sidecar", "dotenv", "environment", "flag", "line"]


def test_a_key_in_a_dotenv_file_is_used_and_the_environments_is_stronger(command: Command) -> None:
    command.write("job.jsonl", {"prompt": "x"})
    (command.folder / ".env").write_text("OPENAI_API_KEY=sk-of-the-file\n")
    with run_in_thread(SimulatorOptions(api_key="sk-of-the-file")) as hosted:
        (command.folder / "job.toml").write_text(f'base_url = "{hosted.base_url}"\nmodel = "m"\n')
        assert command("run", "job.jsonl").code == 0
        refused = command("run", "job.jsonl", "--fresh", OPENAI_API_KEY="sk-of-the-shell")
    assert refused.code == 77
    assert "OPENAI_API_KEY" in refused.err
    assert "sk-of" not in refused.err

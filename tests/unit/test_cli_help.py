"""The command line's own words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from batchllm.cli.arguments import COMMANDS, build_parser

HEAVY = ("aiohttp", "openai", "pydantic", "tenacity", "tqdm", "uvloop", "orjson", "asyncio")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser([name, "--help"]).parse_args([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"batchllm {name}" in text
    assert "example" in text


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom batchllm.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_key_cannot_be_given_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser(["run"]).parse_args(["run", "job.jsonl", "--api-key", "sk-secret"])
    assert ended.value.code == 2

"""The command line's own words."""

from __future__ import annotations

import re
import shlex
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


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--concurency", "--concurency (did you mean --concurrency?)\n"),
        ("--max-tokens", "--max-tokens (did you mean --max-total-tokens?)\n"),
        ("--zzz", "--zzz\n"),
        ("--api-key=sk-secret", "--api-key (did you mean --api-key-env?) (keys never stand on the command line"),
    ],
)
def test_an_unknown_flag_is_told_with_the_nearest_and_without_its_value(
    flag: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser(["run"]).parse_args(["run", "job.jsonl", flag])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in told
    assert "sk-secret" not in told


def examples(name: str, text: str) -> list[list[str]]:
    """The commands a help text shows, without what stands behind them in brackets, and without the shell's part."""
    text = text.replace("\\\n", " ")
    found = re.findall(r"(?:^|\| )\s*batchllm +(" + name + r" .*)$", text.partition("example")[2], re.M)
    return [shlex.split(re.split(r"  +[(#]| [<>|] ", line)[0]) for line in found]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_the_help_is_a_command_that_is_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser([name, "--help"]).parse_args([name, "--help"])
    shown = examples(name, capsys.readouterr().out)
    assert shown
    for argv in shown:
        build_parser(argv).parse_args(argv)

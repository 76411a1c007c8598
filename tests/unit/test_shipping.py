"""A run's settings on their way to another machine."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from batchllm.assembly import line_reader, parts
from batchllm.configuration import Configuration
from batchllm.errors import JobError
from batchllm.settings import checked
from batchllm.shipping import secrets, shipped
from batchllm.sources.job_file import Unread
from batchllm.strictjson import dumps
from batchllm.types import Request

KEY = "sk-canary-0123456789abcdef"
MODEL = "from pydantic import BaseModel\n\n\nclass Label(BaseModel):\n    label: str\n"


def configuration(**more: object) -> Configuration:
    values = {"base_url": "https://api.example.com/v1", "model": "m", "api_key_env": "MY_KEY", "engine": "ray", **more}
    return Configuration(checked(values, {}), {"MY_KEY": KEY, "OTHER": "sk-other", "HOME": "/root"})


@pytest.mark.parametrize("name", ["label.py", "label.json"])
def test_a_worker_without_the_files_makes_the_same_requests(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("label.py").write_text(MODEL)
    Path("label.json").write_text(json.dumps({"type": "object", "properties": {"label": {"type": "string"}}}))
    spec = "label.py:Label" if name == "label.py" else name
    here = parts(configuration(schema=spec), Path("job.jsonl"), Path("out"), command="run")
    assert here.elsewhere is not None
    sent = pickle.dumps(here.elsewhere.recipe)
    Path(name).unlink()
    monkeypatch.chdir("/")
    there = pickle.loads(sent)(here.elsewhere.secrets)
    assert there.route.settings_digest == here.route.settings_digest
    assert there.route.headers == here.route.headers
    assert callable(there.transport)


def test_the_key_travels_apart_and_no_other_variable_does() -> None:
    here = parts(configuration(), Path("job.jsonl"), Path("out"), command="run")
    assert here.elsewhere is not None
    assert KEY.encode() not in pickle.dumps(here.elsewhere.recipe)
    assert dict(here.elsewhere.secrets) == {"MY_KEY": KEY}
    assert KEY not in repr(here.elsewhere)


def test_secrets_of_the_run_as_a_whole_stay_at_home() -> None:
    settings = checked({"webhook": "https://hooks.example.com/T0/secret-token", "base_url": "https://api.example.com/v1"}, {})
    assert b"secret-token" not in pickle.dumps(shipped(settings, None))
    assert secrets(settings, ("OPENAI_API_KEY",), {"OPENAI_API_KEY": "k", "PATH": "p"}) == {"OPENAI_API_KEY": "k"}


def test_a_file_that_stands_there_with_the_same_content_is_used_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "label.py"
    path.write_text(MODEL)
    made = shipped(checked({"schema": f"{path}:Label"}, {}), None)
    assert made.unpacked().schema_ == f"{path}:Label"
    path.write_text(MODEL + "\n# another version\n")
    copied = made.unpacked().schema_
    assert copied is not None
    assert copied != f"{path}:Label"
    assert Path(copied.removesuffix(":Label")).read_text() == MODEL


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(JobError, match=r"nowhere\.json"):
        shipped(checked({"schema": "nowhere.json"}, {}), None)


def test_a_media_root_is_the_same_folder_wherever_a_worker_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scans").mkdir()
    here = parts(configuration(media_root="scans"), Path("job.jsonl"), Path("out"), command="run")
    assert here.elsewhere is not None
    sent = pickle.dumps(here.elsewhere.recipe)
    monkeypatch.chdir("/")
    there = pickle.loads(sent)(here.elsewhere.secrets)
    raw = dumps(
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": str(tmp_path / "scans/1.png")}}]}
            ]
        }
    )
    read = line_reader(configuration(media_root=str(tmp_path / "scans")).settings).read(1, raw)
    assert isinstance(read, Request)
    assert there.rereading.request(Unread(1, raw, int(read.digest[:16], 16))) == read
    assert there.route.media.root == tmp_path / "scans"

"""Lines that are refused before they cost anything, lines with files, stronger models, schemas by name, packs."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from batchllm.testing import chat_reply, error_reply
from batchllm.types import Json, Reply
from tests.conftest import Command
from tests.e2e.beyond import Bench, at_endpoint
from tests.faultserver import Request, Step, error, json_reply, run_in_thread

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
JSON = {"response_format": {"type": "json_object"}}


def echo(text: str, nth: int, body: Json) -> Reply:
    return chat_reply(f"answer {text}")


def prompts(count: int, **more: Any) -> list[Json]:
    return [{"custom_id": f"doc-{number}", "prompt": f"doc {number}", **more} for number in range(1, count + 1)]


class TestPreflight:
    THINKING = {"provider": "dashscope", "api_key_env": None}

    def test_a_line_that_is_known_to_fail_is_a_bad_line_and_the_others_run(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, [*prompts(2), {"prompt": "x", "stream_options": {"include_usage": True}}], echo)
        assert bench.run() == 1
        record = bench.records["line-3"]
        assert record["error"]["code"] == "invalid_line"
        assert "set stream = true" in record["error"]["message"]
        assert len(bench.ledger) == 2

    def test_settings_with_which_no_line_can_work_are_refused_naming_the_fix(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, prompts(2), echo, {"body": {"max_tokens": 5, "thinking_budget": 10}})
        error = bench.refusal()
        assert error.exit_code == 2
        assert "raise max_tokens" in str(error)
        assert not bench.folder.exists()

    def test_check_and_run_say_the_same(self, command: Command, simulator: str) -> None:
        command.write("job.jsonl", *prompts(2), {"prompt": "x", "url": "/v1/embeddings", "stream": True}, *prompts(4, n=2)[2:])
        (command.folder / "s.json").write_text('{"type": "object"}')
        args = ("job.jsonl", "--base-url", simulator, "--model", "m", "--schema", "s.json", "--structured", "json_schema")
        checked = command("check", *args)
        ran = command("run", *args)
        assert checked.code == ran.code == 1
        for said in (checked.err, ran.err):
            assert "line 3: /v1/embeddings answers in one piece: take stream out" in said
            assert "warning: line 4 and 1 more: of 2 answers only the first" in said

    def test_verify_agrees_with_the_run_about_bad_lines(self, command: Command, simulator: str) -> None:
        command.write("job.jsonl", *prompts(2), {"prompt": "x", "url": "/v1/embeddings", "stream": True})
        command("run", "job.jsonl", "--base-url", simulator, "--model", "m")
        verified = command("verify", "job.jsonl", "outputs/job", "--json")
        assert (verified.code, verified.summary["findings"]) == (0, {}), verified.out


class TestMedia:
    @staticmethod
    def line(url: str) -> Json:
        parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        return {"custom_id": url, "messages": [{"role": "user", "content": parts}]}

    @staticmethod
    def bench(tmp_path: Path, *urls: str, **settings: Any) -> Bench:
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media/1.png").write_bytes(PNG)
        return Bench(tmp_path, [TestMedia.line(url) for url in urls], echo, settings)

    def test_an_image_is_read_when_its_line_is_sent_and_its_hash_is_kept(self, tmp_path: Path) -> None:
        bench = self.bench(tmp_path, "1.png", "https://example.org/2.png", media_root=str(tmp_path / "media"))
        assert bench.run() == 0
        sent = {body["messages"][0]["content"][1]["image_url"]["url"] for body in bench.sent}
        assert sent == {"data:image/png;base64," + base64.b64encode(PNG).decode(), "https://example.org/2.png"}
        facts = bench.records["1.png"]["batchllm"]
        assert facts["media"] == [{"path": "1.png", "sha256": hashlib.sha256(PNG).hexdigest(), "bytes": len(PNG)}]
        assert "media" not in bench.records["https://example.org/2.png"]["batchllm"]
        assert b"base64" not in b"".join(path.read_bytes() for path in bench.folder.iterdir() if path.is_file())

    def test_without_a_root_or_out_of_it_a_line_is_a_bad_one_and_nothing_is_read(self, tmp_path: Path) -> None:
        bench = self.bench(tmp_path, "1.png", "https://example.org/2.png")
        assert bench.run() == 1
        assert "--media-root" in bench.records["1.png"]["error"]["message"]
        bench = self.bench(
            tmp_path, "../job.jsonl", "/etc/passwd", "missing.png", "1.png", media_root=str(tmp_path / "media"), fresh=True
        )
        assert bench.run() == 1
        assert {name: one["error"]["code"] for name, one in bench.records.items() if one["error"]} == {
            "../job.jsonl": "invalid_line", "/etc/passwd": "invalid_line", "missing.png": "invalid_request",
        }  # fmt: skip

    def test_a_file_that_cannot_be_sent_is_told_at_the_start_and_again_for_its_line(
        self, command: Command, simulator: str
    ) -> None:
        (command.folder / "media").mkdir()
        (command.folder / "media/1.png").write_bytes(PNG)
        (command.folder / "media/3.png").symlink_to("/etc/passwd")
        command.write("job.jsonl", *(self.line(url) for url in ("1.png", "2.png", "3.png")))
        args = ("--base-url", simulator, "--model", "m", "--media-root", "media")
        ran = command("run", "job.jsonl", *args)
        assert ran.code == 1
        assert "warning: line 2 and 1 more: 2.png: cannot be read below media: No such file" in ran.err
        assert command("check", "job.jsonl", *args).code == 0
        verified = command("verify", "job.jsonl", "outputs/job")
        assert verified.code == 0, verified.out + verified.err
        (command.folder / "media/2.png").write_bytes(PNG)
        again = command("run", "job.jsonl", *args, "--retry-failed", "--json")
        assert again.summary["request_counts"]["completed"] == 2

    def test_the_digest_is_that_of_the_line_not_of_the_file(self, tmp_path: Path) -> None:
        bench = self.bench(tmp_path, "1.png", media_root=str(tmp_path / "media"))
        bench.run()
        (tmp_path / "media/1.png").write_bytes(PNG + b"more")
        assert bench.run() == 0
        assert len(bench.ledger) == 1

    def test_a_file_that_is_gone_by_then_fails_its_line_only(self, tmp_path: Path) -> None:
        bench = self.bench(tmp_path, "1.png", "2.png", media_root=str(tmp_path / "media"), concurrency=1)
        (tmp_path / "media/2.png").write_bytes(PNG)

        def script(text: str, nth: int, body: Json) -> Reply:
            (tmp_path / "media/2.png").unlink()
            return chat_reply("seen")

        bench.script = script
        assert bench.run() == 1
        assert bench.records["1.png"]["error"] is None
        assert "No such file" in bench.records["2.png"]["error"]["message"]
        assert len(bench.ledger) == 1

    def test_the_image_goes_along_when_it_is_asked_again(self, tmp_path: Path) -> None:
        bench = self.bench(tmp_path, "1.png", media_root=str(tmp_path / "media"))
        bench.script = lambda text, nth, body: echo(text, nth, body) if nth else error_reply(503)
        assert bench.run() == 0
        assert bench.sent[0] == bench.sent[1]

    def test_over_real_sockets_and_threads(self, tmp_path: Path, simulator: str) -> None:
        root = tmp_path / "media"
        root.mkdir()
        for number in range(20):
            (root / f"{number}.png").write_bytes(PNG)
        bench = at_endpoint(simulator, tmp_path, [self.line(f"{number}.png") for number in range(20)], media_root=str(root))
        assert bench.summary["request_counts"]["completed"] == 20

    def test_a_root_that_is_none_is_refused(self, tmp_path: Path) -> None:
        assert self.bench(tmp_path, "1.png", media_root=str(tmp_path / "nowhere")).refusal().exit_code == 2


SCHEMA_FILE = """
from pydantic import BaseModel

class Item(BaseModel):
    name: str
    price: float

class Invoice(BaseModel):
    items: list[Item]
    total: float

class Review(BaseModel):
    stars: int

def validate(invoice: Invoice) -> str | None:
    if abs(sum(item.price for item in invoice.items) - invoice.total) > 0.01:
        return "total is not the sum of the prices"
    return None
"""


@pytest.fixture
def schemas(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "shop.py"
    path.write_text(SCHEMA_FILE)
    return {"schemas": {"invoice": f"{path}:Invoice", "review": f"{path}:Review"}, "structured": "json_schema"}


def invoice(total: float) -> Reply:
    return chat_reply(json.dumps({"items": [{"name": "a", "price": 1.5}, {"name": "b", "price": 2}], "total": total}))


class TestSchemas:
    def test_each_line_is_held_to_the_schema_it_names(self, tmp_path: Path, schemas: Any) -> None:
        def script(text: str, nth: int, body: Json) -> Reply:
            return (
                invoice(3.5) if text == "doc 1" else chat_reply('{"stars": 4}') if text == "doc 2" else chat_reply("free text")
            )

        lines = [
            dict(one, schema=name) if name else one for one, name in zip(prompts(3), ("invoice", "review", None), strict=True)
        ]
        bench = Bench(tmp_path, lines, script, schemas)
        assert bench.run() == 0
        assert bench.records["doc-1"]["batchllm"]["parsed"]["total"] == 3.5
        assert bench.records["doc-2"]["batchllm"]["parsed"] == {"stars": 4}
        assert "parsed" not in bench.records["doc-3"]["batchllm"]
        asked = {
            body["messages"][-1]["content"]: body.get("response_format", {}).get("json_schema", {}).get("name")
            for body in bench.sent
        }
        assert asked == {"doc 1": "Invoice", "doc 2": "Review", "doc 3": None}

    def test_the_files_own_validate_has_the_last_word(self, tmp_path: Path, schemas: Any) -> None:
        bench = Bench(
            tmp_path,
            prompts(1, schema="invoice"),
            lambda text, nth, body: invoice(3.5 if "sum of the prices" in text else 9),
            schemas,
        )
        assert bench.run() == 0
        assert len(bench.ledger) == 2

    def test_the_summary_counts_failures_field_by_field(self, tmp_path: Path, schemas: Any) -> None:
        bad = chat_reply('{"items": [{"name": "a"}, {"name": 3, "price": "x"}], "total": 1}')
        bench = Bench(tmp_path, prompts(3, schema="invoice"), lambda text, nth, body: bad, {**schemas, "reask": 0})
        assert bench.run() == 1
        assert bench.summary["fields_invalid"] == {"items.*.price": 3, "items.*.name": 3}
        assert bench.run() == 1
        assert bench.summary["requests"] == 0
        assert bench.summary["fields_invalid"] == {"items.*.price": 3, "items.*.name": 3}

    def test_a_name_the_settings_do_not_have_is_a_bad_line(self, tmp_path: Path, schemas: Any) -> None:
        bench = Bench(tmp_path, [*prompts(1, schema="recipe"), {"prompt": "x"}], echo, schemas)
        assert bench.run() == 1
        assert "[schemas]" in bench.records["doc-1"]["error"]["message"]


class TestEscalation:
    def test_what_is_still_invalid_is_asked_once_of_the_stronger_model(self, tmp_path: Path, schemas: Any) -> None:
        def script(text: str, nth: int, body: Json) -> Reply:
            return chat_reply(
                '{"stars": 5}' if body["model"] == "strong" or text == "doc 2" else "no json", model=body["model"]
            )

        bench = Bench(tmp_path, prompts(3, schema="review"), script, {**schemas, "escalate": "strong", "prices": PRICES})
        assert bench.run() == 0
        assert sorted(body["model"] for body in bench.sent) == ["fake"] * 5 + ["strong"] * 2
        strong = next(body for body in bench.sent if body["model"] == "strong")
        assert [one["role"] for one in strong["messages"]] == ["user"]
        facts = bench.records["doc-1"]["batchllm"]
        assert facts["escalated"] is True
        assert facts["attempts"] == 3
        assert facts["usage"]["total_tokens"] == 45
        assert facts["cost_usd"] == pytest.approx((2 * (10 * 1 + 5 * 2) + 10 * 10 + 5 * 20) / 1e6)
        assert "escalated" not in bench.records["doc-2"]["batchllm"]
        assert bench.summary["cost_usd"] == pytest.approx((5 * 20 + 2 * 200) / 1e6)

    def test_it_is_asked_once_only_and_the_failure_says_so(self, tmp_path: Path, schemas: Any) -> None:
        bench = Bench(
            tmp_path, prompts(1, schema="review"), lambda text, nth, body: chat_reply("no"), {**schemas, "escalate": "strong"}
        )
        assert bench.run() == 1
        assert [body["model"] for body in bench.sent] == ["fake", "fake", "strong"]
        assert bench.records["doc-1"]["batchllm"]["escalated"] is True
        assert bench.records["doc-1"]["error"]["code"] == "schema_invalid"

    def test_where_the_stronger_model_is_refused_the_paid_answer_is_kept(self, tmp_path: Path, schemas: Any) -> None:
        def script(text: str, nth: int, body: Json) -> Reply:
            return error_reply(400, "no such model") if body["model"] == "strong" else chat_reply("no json")

        bench = Bench(tmp_path, prompts(1, schema="review"), script, {**schemas, "escalate": "strong"})
        assert bench.run() == 1
        record = bench.records["doc-1"]
        assert record["response"]["body"]["choices"][0]["message"]["content"] == "no json"
        assert "asking again failed" in record["error"]["message"]


PRICES = {"fake": {"input": 1.0, "output": 2.0}, "strong": {"input": 10.0, "output": 20.0}}


class TestPacks:
    @staticmethod
    def lines(count: int) -> list[Json]:
        return [
            {"custom_id": f"doc-{number}", "url": "/v1/embeddings", "prompt": f"text {number} " * number}
            for number in range(1, count + 1)
        ]

    def test_packed_or_alone_the_records_say_the_same(self, tmp_path: Path, simulator: str) -> None:
        benches = []
        for pack in (1, 7):
            root = tmp_path / str(pack)
            root.mkdir()
            benches.append(at_endpoint(simulator, root, self.lines(30), pack=pack))
        alone, packed = benches
        assert (alone.summary["requests"], packed.summary["requests"]) == (30, 5)
        for name, one in packed.records.items():
            assert one["response"]["body"]["data"] == alone.records[name]["response"]["body"]["data"]
            assert one["response"]["body"]["object"] == "list"
        total = sum(one["batchllm"]["usage"]["prompt_tokens"] for one in packed.records.values())
        assert total == packed.summary["usage"]["prompt_tokens"] == alone.summary["usage"]["prompt_tokens"]

    def test_a_resumed_run_sends_nothing_and_counts_the_same(self, tmp_path: Path, simulator: str) -> None:
        first = at_endpoint(simulator, tmp_path, self.lines(20), pack=8, prices={"m": {"input": 3.0, "output": 0.0}})
        again = at_endpoint(simulator, tmp_path, self.lines(20), pack=8, prices={"m": {"input": 3.0, "output": 0.0}})
        assert again.summary["requests"] == 0
        assert again.summary["usage"] == first.summary["usage"]

    def test_verify_proves_packs_and_conversations(self, command: Command, simulator: str) -> None:
        talks = [{"custom_id": f"talk-{number}", "turns": ["a", "b", "c"]} for number in range(3)]
        command.write("job.jsonl", *self.lines(20), *talks)
        assert command("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--pack", "6").code == 0
        verified = command("verify", "job.jsonl", "outputs/job")
        assert verified.code == 0, verified.out + verified.err

    def test_a_bad_line_in_a_pack_fails_alone_over_a_whole_run(self, tmp_path: Path) -> None:
        def answer(request: Request) -> Step:
            given = request.json["input"]
            texts = given if isinstance(given, list) else [given]
            if any("text 5 " in text for text in texts):
                return error(400, "invalid_request_error")
            data = [{"object": "embedding", "index": at, "embedding": [0.5, float(len(text))]} for at, text in enumerate(texts)]
            return json_reply({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 9, "total_tokens": 9}})

        with run_in_thread(answer) as server:
            bench = at_endpoint(server.base_url, tmp_path, self.lines(16), pack=8, concurrency=2)
        assert bench.summary["request_counts"] == {"total": 16, "completed": 15, "failed": 1, "pending": 0, "invalid_lines": 0}
        assert bench.records["doc-5"]["error"]["code"] == "invalid_request"
        assert all(one["response"]["body"]["data"][0]["index"] == 0 for one in bench.read("results.jsonl"))

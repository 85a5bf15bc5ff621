"""Result files of batch APIs: a call a result, once, with its tokens and its class; and nothing of what was said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reporter.store import open_store
from tests.cli.console import run

CANARY = "canary-completion-7b1"
CREATED = 1_793_498_400


def openai(number: int, **changes: Any) -> dict[str, Any]:
    body = {
        "id": f"chatcmpl-{number}", "object": "chat.completion", "created": CREATED + number, "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": CANARY}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}},
    }  # fmt: skip
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": f"batch_req_{number}", "custom_id": f"task-{number}", "response": response, "error": None, **changes}


def anthropic(number: int, result: dict[str, Any] | None = None) -> dict[str, Any]:
    message = {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": CANARY}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 500, "cache_read_input_tokens": 400, "output_tokens": 100, "service_tier": "batch"},
    }  # fmt: skip
    return {"custom_id": f"task-{number}", "result": result or {"type": "succeeded", "message": message}}


OPENAI = [
    openai(1),
    openai(2, response={"status_code": 429, "request_id": "r", "body": {"error": {"code": "rate_limit_exceeded"}}}),
    openai(3, response=None, error={"code": "batch_expired", "message": CANARY}),
    {"id": "batch_req_4", "custom_id": "e", "error": None, "response": {"status_code": 200, "body": {
        "object": "list", "model": "text-embedding-3-small", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 8}}}},
]  # fmt: skip
ANTHROPIC = [
    anthropic(1),
    anthropic(
        2,
        {"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request_error", "message": CANARY}}},
    ),
    anthropic(3, {"type": "canceled"}),
    anthropic(4, {"type": "expired"}),
]


def written(path: Path, results: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(result) + "\n" for result in results))
    return path


def rows(url: str) -> list[dict[str, Any]]:
    with open_store(url).read() as connection:
        found = connection.execute(text("SELECT * FROM calls ORDER BY ended_at_ns, attributes")).mappings().all()
    return [dict(row) for row in found]


def test_openais_results_are_calls_once(tmp_path: Path, database_url: str) -> None:
    written(tmp_path / "out.jsonl", OPENAI)
    for _ in range(2):
        done = run(tmp_path, "--database", database_url, "ingest", "--openai-batch", "out.jsonl")
        assert (done.returncode, done.stdout) == (0, "out.jsonl: 4 lines, 0 bad\n")
        os.utime(tmp_path / "out.jsonl", (CREATED + 10, CREATED + 10))  # as if it had been fetched again
    found = {json.loads(row["attributes"])["custom_id"]: row for row in rows(database_url)}
    assert found.keys() == {"task-1", "task-2", "task-3", "e"}
    first = found["task-1"]
    assert (first["provider"], first["model"], first["operation"]) == ("openai", "gpt-4o-2024-08-06", "chat")
    assert (first["status"], first["price_class"], first["usage_status"]) == ("success", "batch", "complete")
    assert (first["input_tokens"], first["cache_read_tokens"], first["output_tokens"]) == (1000, 400, 100)
    assert (first["ended_at_ns"], first["duration_ns"], first["finish_reason"]) == ((CREATED + 1) * 10**9, None, "stop")
    told = {name: (row["status"], row["error_type"], row["http_status"]) for name, row in found.items()}
    assert told["task-2"] == ("error", "rate_limit_exceeded", 429)
    assert told["task-3"] == ("timeout", "batch_expired", None)
    assert (found["e"]["operation"], found["e"]["input_tokens"]) == ("embeddings", 8)


@pytest.mark.parametrize("made", [CREATED + 0.75, "yesterday", True, -1, 10**30, None])
def test_whatever_a_result_says_of_when_it_was_made_it_counts_once(tmp_path: Path, made: object) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    result = openai(1)
    result["response"]["body"]["created"] = made
    for moment in (CREATED + 10, CREATED + 20):
        os.utime(written(tmp_path / "out.jsonl", [result]), (moment, moment))
        assert run(tmp_path, "--database", url, "ingest", "--openai-batch", "out.jsonl").returncode == 0
    told_ns = CREATED * 10**9 + 750_000_000 if isinstance(made, float) else (CREATED + 10) * 10**9
    assert [row["ended_at_ns"] for row in rows(url)] == [told_ns]


def test_anthropics_results_are_calls_once_and_end_when_the_file_was_written(tmp_path: Path, database_url: str) -> None:
    for moment in (CREATED, CREATED + 60):
        path = written(tmp_path / "out.jsonl", ANTHROPIC)
        os.utime(path, (moment, moment))
        done = run(tmp_path, "--database", database_url, "ingest", "--anthropic-batch", "out.jsonl")
        assert done.returncode == 0, done.stderr
    found = {json.loads(row["attributes"])["custom_id"]: row for row in rows(database_url)}
    assert {name: (row["status"], row["error_type"]) for name, row in found.items()} == {
        "task-1": ("success", None), "task-2": ("error", "invalid_request_error"), "task-3": ("cancelled", "canceled"),
        "task-4": ("timeout", "expired"),
    }  # fmt: skip
    first = found["task-1"]
    assert (first["input_tokens"], first["cache_read_tokens"], first["price_class"]) == (900, 400, "batch")
    assert first["ended_at_ns"] == CREATED * 10**9


@pytest.mark.parametrize("option", ["--openai-batch", "--anthropic-batch"])
def test_what_is_no_result_is_told_and_nothing_of_it_kept(tmp_path: Path, database_url: str, option: str) -> None:
    lines = [f'{{"prompt": "{CANARY}"}}', f"{CANARY} no JSON", "[]", json.dumps(openai(1)), json.dumps(anthropic(1))]
    (tmp_path / "out.jsonl").write_text("\n".join(lines) + "\n")
    done = run(tmp_path, "--database", database_url, "ingest", option, "out.jsonl")
    assert (done.returncode, done.stdout) == (1, "out.jsonl: 5 lines, 4 bad, see out.jsonl.bad\n")
    assert len(rows(database_url)) == 1
    reasons = (tmp_path / "out.jsonl.bad").read_text()
    assert reasons.count("\n") == 4
    assert CANARY not in reasons + done.stderr + str(rows(database_url))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "--database", f"sqlite:///{tmp_path}/jobs.db", "ingest", "--openai-batch", "nowhere.jsonl")
    assert (done.returncode, done.stderr) == (1, "reporter: nowhere.jsonl: can't be read: No such file or directory\n")

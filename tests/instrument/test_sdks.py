"""Every SDK, old and new: one right row a call, whatever happens on the wire, and nothing of what was said."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from reporter import Recorder
from reporter.sinks.memory import MemorySink
from tests.instrument.llm_server import CANARY, LLMServer

SDKS = Path(sys.prefix) / "sdks"
"""Each SDK in a directory of its own, because two versions of one can't be installed together (`make test` does that)."""
ROOT = Path(__file__).parent.parent.parent
KINDS = {
    "openai-2": "openai", "openai-3": "openai", "anthropic-0": "anthropic", "anthropic-2": "anthropic", "groq": "groq",
    "google-genai": "genai", "google-genai-aiohttp": "genai", "google-genai-1": "genai", "mistralai": "mistral",
}  # fmt: skip
THROUGH_AIOHTTP = ("google-genai-aiohttp", "google-genai-1")  # their asynchronous calls
OPENAI_LIKE = ("openai-2", "openai-3", "groq")
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "groq": "groq", "genai": "google", "mistral": "mistral"}
TOKENS = {"input_tokens": 1000, "cache_read_tokens": 400, "output_tokens": 100, "usage_status": "complete"}
SUCCESS = {"status": "success", "error_type": None, "http_status": 200, "operation": "chat", "retries": 0, "model": "m"}
WHOLE = {**SUCCESS, **TOKENS, "stream": None, "ttft_ns": None, "response_model": "m-2026"}
STREAM = {**SUCCESS, **TOKENS, "stream": 1, "response_model": "m-2026"}
UNTOLD = {"input_tokens": None, "output_tokens": None, "usage_status": "missing"}
TOLD = {**UNTOLD, "status": "error", "error_type": "502", "http_status": 200, "stream": None}
"""An error with status 200; read as a stream, it is none."""
ODD = {
    "status": "success",
    "input_tokens": None,
    "output_tokens": 100,
    "flags": "input_tokens",
    "usage_status": "partial",
}
FAULTY: dict[str, dict[str, Any]] = {
    "short stream": {"status": "error", "error_type": "StreamCut", "http_status": 200, "stream": 1},
    "error-event stream": {"status": "error", "http_status": 200, "stream": 1},
    "flat-error stream": {"status": "error", "http_status": 200, "stream": 1},
    "told": TOLD,
    "told stream": TOLD,
    "half": {**UNTOLD, "status": "error", "http_status": 200},
    "half stream": {"http_status": 200, "stream": 1},
    "odd": ODD,
    "odd stream": ODD,
}
ERROR_TYPES = {"anthropic": "overloaded_error", "genai": "503"}  # of the error event; elsewhere server_error
EXPECTED: dict[str, dict[str, Any]] = {
    "whole": WHOLE,
    "raw": WHOLE,
    "azure": {**WHOLE, "provider": "azure"},
    "stream": STREAM,
    "helper": STREAM,
    "stream, no usage": {**STREAM, **UNTOLD, "cache_read_tokens": None},
    "zipped": {**WHOLE, "model": "gzip-m", "response_model": "gzip-m-2026"},
    "zipped stream": {**STREAM, "model": "gzip-m", "response_model": "gzip-m-2026"},
    "busy": {**WHOLE, "retries": 2, "model": "busy-2", "response_model": "busy-2-2026"},
    "busy stream": {**STREAM, "retries": 1, "model": "gzip-busy-1", "response_model": "gzip-busy-1-2026"},
    "broken": {  # nothing was served whose usage could be missing
        **UNTOLD, "status": "error", "error_type": "500", "http_status": 500, "retries": 1, "usage_status": None,
    },
    "hang": {**UNTOLD, "status": "timeout", "error_type": "ReadTimeout", "http_status": None, "retries": 0},
    "cut": {**UNTOLD, "status": "error", "error_type": "RemoteProtocolError", "http_status": 200, "stream": 1},
    "stall": {**UNTOLD, "status": "timeout", "error_type": "ReadTimeout", "http_status": 200, "stream": 1},
    "error event": {"status": "error", "http_status": 200, "stream": 1},
    "refused": {**UNTOLD, "status": "error", "error_type": "ConnectError", "http_status": None},
    "left": {**UNTOLD, "status": "abandoned", "error_type": None, "http_status": 200, "stream": 1},
    "closed": {**UNTOLD, "status": "abandoned", "error_type": None, "http_status": 200, "stream": 1},
    "responses": WHOLE,
    "responses stream": STREAM,
    "embeddings": {
        **WHOLE, "operation": "embeddings", "input_tokens": 8, "cache_read_tokens": None, "output_tokens": None,
    },
    "of its own accord": {**WHOLE, "retries": 1, "model": "busy-1", "response_model": "busy-1-2026"},
    "fim": {**WHOLE, "operation": "completion"},
    "agent": {**WHOLE, "model": "ag-1-2026", "response_model": "ag-1-2026"},
    "async": WHOLE,
    "async stream": STREAM,
    "async busy": {**WHOLE, "model": None, "response_model": None, "retries": None},
    "async hang": {**UNTOLD, "status": "timeout", "http_status": None, "retries": 0},
    "async left": {"status": "abandoned", "error_type": None, "http_status": 200, "stream": 1},
    "async inside a call": {**STREAM, "operation": "my-step", "model": "m", "input_tokens": 2000, "output_tokens": 200,
        "cache_read_tokens": 800},
    "async cancelled": {**UNTOLD, "status": "cancelled", "error_type": "CancelledError", "http_status": None},
}  # fmt: skip


def directory_of(sdk: str) -> Path:
    """Where an SDK is installed; without it a test is left out, and fails in CI."""
    if not (SDKS / sdk).is_dir():
        message = f"no SDK in {SDKS / sdk}: run `make test`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return SDKS / sdk


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each SDK's program recorded; each runs once."""
    known: dict[str, dict[str, Any]] = {}

    def run(sdk: str) -> dict[str, Any]:
        if sdk not in known:
            directory = directory_of(sdk)
            with LLMServer() as server:
                done = subprocess.run(
                    [sys.executable, "-m", "tests.instrument.sdk_program", KINDS[sdk], server.url], cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": f"{directory}{os.pathsep}{ROOT}"}, capture_output=True, text=True,
                    timeout=120, check=False,
                )  # fmt: skip
            assert done.returncode == 0, done.stderr[-3000:]
            assert "reporter:" not in done.stderr
            known[sdk] = json.loads(done.stdout)
        return known[sdk]

    return run


@pytest.mark.parametrize("sdk", KINDS)
def test_each_call_of_an_sdk_is_one_right_row(recorded: Any, sdk: str) -> None:
    told = recorded(sdk)
    wrong = {}
    for name, expected in EXPECTED.items():
        if name not in told:
            continue
        calls = told[name]["calls"]
        if len(calls) != 1:
            wrong[name] = f"{len(calls)} calls"
            continue
        expected = {"provider": PROVIDERS[KINDS[sdk]], **expected}
        if name == "stream, no usage" and sdk == "groq":  # which tells it unasked
            expected.update(TOKENS)
        if name == "async busy":
            expected = {**TOKENS, "retries": 1 if KINDS[sdk] == "genai" else 2, "status": "success"}
        differing = {
            column: (calls[0][column], value) for column, value in expected.items() if calls[0][column] != value
        }
        if differing:
            wrong[name] = str(differing)
        if expected.get("stream") == 1 and name not in ("closed", "left"):
            assert 0 < calls[0]["ttft_ns"] <= calls[0]["duration_ns"], name
    assert wrong == {}
    assert {"whole", "stream", "async", "async stream"} <= told.keys()


@pytest.mark.parametrize("sdk", KINDS)
def test_an_answer_that_is_no_success_or_malformed_is_a_row_that_says_so_and_nothing_else_changes(
    recorded: Any, sdk: str
) -> None:
    told, kind = recorded(sdk), KINDS[sdk]
    wrong = {}
    for scenario, columns in FAULTY.items():
        expected = dict(columns)
        if scenario == "error-event stream" or (scenario == "flat-error stream" and kind == "genai"):
            expected["error_type"] = ERROR_TYPES.get(kind, "server_error")
        elif scenario == "flat-error stream":
            expected["error_type"] = "server_error"
        elif scenario == "odd stream" and kind == "openai":  # which tells no usage unasked
            expected = {"status": "success", **UNTOLD}
        for name in (scenario, f"async {scenario}"):
            calls = told[name]["calls"]
            if len(calls) != 1:
                wrong[name] = f"{len(calls)} calls"
            elif differing := {column: calls[0][column] for column in expected if calls[0][column] != expected[column]}:
                wrong[name] = str(differing)
            bare = told[f"bare {name}"]
            assert (bare["error"], bare["calls"]) == (told[name]["error"], []), name
    assert wrong == {}


@pytest.mark.parametrize("sdk", OPENAI_LIKE)
def test_a_call_around_them_gets_what_its_requests_tell(recorded: Any, sdk: str) -> None:
    (call,) = recorded(sdk)["inside a call"]["calls"]
    assert (call["operation"], call["provider"], call["model"]) == ("my-step", "mine", "m")
    assert (call["input_tokens"], call["output_tokens"], call["cache_read_tokens"]) == (2000, 200, 800)
    assert (call["retries"], call["http_status"], call["usage_status"]) == (0, 200, "complete")


@pytest.mark.parametrize("sdk", OPENAI_LIKE)
def test_a_call_while_a_stream_is_open_is_another_call(recorded: Any, sdk: str) -> None:
    calls = recorded(sdk)["while streaming"]["calls"]
    assert sorted((call["model"], call["output_tokens"]) for call in calls) == [("m", 100), ("other", 100)]


@pytest.mark.parametrize("sdk", OPENAI_LIKE)
def test_a_stream_that_outlives_the_call_around_it_is_a_call_of_its_own(recorded: Any, sdk: str) -> None:
    around, stream = recorded(sdk)["a stream returned"]["calls"]
    assert (around["operation"], around["model"], around["usage_status"]) == ("my-step", "m", "missing")
    assert (stream["operation"], stream["model"], stream["usage_status"]) == ("chat", "m", "complete")
    assert (stream["input_tokens"], stream["output_tokens"], stream["stream"]) == (1000, 100, 1)
    assert 0 < stream["ttft_ns"] <= stream["duration_ns"]


@pytest.mark.parametrize("sdk", OPENAI_LIKE)
def test_calls_at_once_are_told_apart(recorded: Any, sdk: str) -> None:
    calls = recorded(sdk)["async together"]["calls"]
    assert sorted(call["model"] for call in calls) == sorted(f"m{number}" for number in range(10))
    assert {call["output_tokens"] for call in calls} == {100}
    assert {call["response_model"] for call in calls} == {f"m{number}-2026" for number in range(10)}


@pytest.mark.parametrize("sdk", ["mistralai", "google-genai", *THROUGH_AIOHTTP])
def test_a_client_is_restored_with_all_its_parts(recorded: Any, sdk: str) -> None:
    assert recorded(sdk)["uninstrumented"] == {"calls": [], "error": None, "starts": 0}


@pytest.mark.parametrize("sdk", THROUGH_AIOHTTP)
def test_requests_through_aiohttp_that_go_to_no_model_are_api_calls(recorded: Any, sdk: str) -> None:
    (got,) = recorded(sdk)["async get"]["calls"]
    assert re.fullmatch(r"GET /v1\w*/models/m", got["operation"])
    assert (got["provider"], got["model"], got["status"], got["http_status"]) == ("127.0.0.1", None, "success", 200)
    told = [(call["status"], call["error_type"]) for call in recorded(sdk)["async refused"]["calls"]]
    assert told == [("error", "ClientConnectorError")]


def test_a_version_that_hides_its_requests_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    class Hiding:  # as google-genai 1.25 to 1.44, which are not in the matrix
        _httpx_client = httpx.Client()

        def _use_aiohttp(self) -> bool:
            return True

    client = SimpleNamespace(_api_client=Hiding())
    Recorder(sink=MemorySink()).instrument(client)
    assert "asynchronous calls are not recorded" in capsys.readouterr().err


@pytest.mark.parametrize("sdk", OPENAI_LIKE)
def test_what_the_program_sees_is_what_it_would_see_without_us(recorded: Any, sdk: str) -> None:
    told = recorded(sdk)
    errors = {name: found["error"] for name, found in told.items() if found["error"] and name in EXPECTED}
    assert set(errors) == {"broken", "hang", "cut", "stall", "error event", "refused"}
    assert (errors["broken"], errors["hang"]) == ("InternalServerError", "APITimeoutError")
    assert told["uninstrumented"] == {"calls": [], "error": None, "starts": 0}


@pytest.mark.parametrize("sdk", KINDS)
def test_nothing_of_what_was_said_is_kept(recorded: Any, sdk: str) -> None:
    kept = json.dumps(recorded(sdk))
    for canary in (CANARY, "canary-prompt-5f2", "canary-key-9c4"):
        assert canary not in kept


def test_the_pages_programs_do_what_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "instrument.md").read_text()
    first, around, by_hand, patience = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    sdk = directory_of("openai-3")
    with LLMServer() as server:
        subprocess.run(
            [sys.executable, "-c", first.replace("URL", repr(f"{server.url}/v1")) + around + by_hand + patience],
            check=True, timeout=60,
            env={
                **os.environ, "PYTHONPATH": f"{sdk}{os.pathsep}{ROOT}", "REPORTER_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.db",
            },
        )  # fmt: skip
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        told = connection.execute(
            "SELECT operation, provider, model, input_tokens, retries FROM calls ORDER BY 1, 2"
        ).fetchall()
    assert told == [
        ("chat", "aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 1000, None),
        ("chat", "openai", "gpt-4o", 1000, 0),
        ("summarise", "openai", "gpt-4o", 2000, 0),
    ]


MODELS = (
    "gpt-4o", "broken", "busy-9", "hang", "cut", "short", "error-event", "flat-error", "told", "half", "odd", "gzip-m",
)  # fmt: skip
LEAKY = """
import asyncio, json, logging, os, sys
import reporter
url, prompt, key, models = sys.argv[1], "canary-prompt-5f2", "canary-key-9c4", json.loads(sys.argv[2])
said = [{"role": "user", "content": prompt}]
errors = []


def attempt(ask):
    try:
        return list(ask())
    except Exception as error:  # what the job does with it is the job's
        errors.append(error)


async def drained(ask):
    try:
        answer = await ask
        if hasattr(answer, "__aiter__"):
            async for _ in answer:
                pass
    except Exception as error:
        errors.append(error)

"""
LEAKS = {
    "openai-3": """
import openai
how = {"api_key": key, "base_url": url + "/v1", "max_retries": 0, "timeout": 1}
client = reporter.instrument(openai.OpenAI(**how))
for model in models:
    for stream in (False, True):
        asked = {"model": model, "messages": said, "stream": stream, "user": prompt}
        attempt(lambda: client.chat.completions.create(**asked))
        later = reporter.instrument(openai.AsyncOpenAI(**how))
        asyncio.run(drained(later.chat.completions.create(**asked)))
    attempt(lambda: client.responses.create(model=model, input=prompt, stream=True))
    attempt(lambda: client.get("/users/" + prompt + "@example.org?token=" + key, cast_to=object))
""",
    "google-genai-aiohttp": """
from google import genai
how = {"base_url": url, "timeout": 1000}
for model in models:
    client = reporter.instrument(genai.Client(api_key=key, http_options=how))
    attempt(lambda: client.models.generate_content_stream(model=model, contents=prompt))
    later = reporter.instrument(genai.Client(api_key=key, http_options=how))
    asyncio.run(drained(later.aio.models.generate_content(model=model, contents=prompt)))
    later = reporter.instrument(genai.Client(api_key=key, http_options=how))
    asyncio.run(drained(later.aio.models.generate_content_stream(model=model, contents=prompt)))
""",
    "anthropic-2": """
import anthropic
how = {"api_key": key, "base_url": url, "max_retries": 0, "timeout": 1}
client = reporter.instrument(anthropic.Anthropic(**how))
for model in models:
    for stream in (False, True):
        asked = {"model": model, "messages": said, "stream": stream, "system": prompt, "max_tokens": 9}
        attempt(lambda: client.messages.create(**asked))
        later = reporter.instrument(anthropic.AsyncAnthropic(**how))
        asyncio.run(drained(later.messages.create(**asked)))
""",
}
COMMANDS = (
    ["report"], ["report", "--format", "json"], ["push", "--dry-run"], ["cost"],
    ["sql", "SELECT * FROM v_calls"], ["sql", "SELECT * FROM v_errors"],
)  # fmt: skip


@pytest.mark.parametrize(("sdk", "database"), [*((sdk, "sqlite") for sdk in LEAKS), ("openai-3", "postgresql")])
def test_neither_prompts_nor_answers_nor_keys_are_in_any_file_or_output(
    tmp_path: Path, sdk: str, database: str
) -> None:
    directory = directory_of(sdk)
    url = f"sqlite:///{tmp_path}/jobs.db" if database == "sqlite" else "postgresql://127.0.0.1:1/down"  # into the spool
    environment = {**os.environ, "REPORTER_DATABASE_URL": url, "XDG_STATE_HOME": str(tmp_path)}
    with LLMServer() as server:
        job = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LEAKY + LEAKS[sdk], server.url, json.dumps(MODELS)],
            capture_output=True, check=True, env={**environment, "PYTHONPATH": f"{directory}{os.pathsep}{ROOT}"},
        )  # fmt: skip
    outputs = [job.stdout, job.stderr]
    for command in COMMANDS if database == "sqlite" else ():
        done = subprocess.run(
            [sys.executable, "-m", "reporter", *command], env=environment, cwd=tmp_path, capture_output=True, check=True
        )
        outputs += [done.stdout, done.stderr]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"gpt-4o" in content for content in files)
    assert any(b"StreamCut" in content for content in files)
    for canary in (CANARY, "canary-prompt-5f2", "canary-key-9c4"):
        assert not [content for content in (*files, *outputs) if canary.encode() in content], canary

"""A later price catalogue: fetched when a person says so, whole or not at all, and then what calls cost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from genai_prices.update_prices import DEFAULT_UPDATE_URL

from reporter.catalogue import UPDATE_URL, Catalogue
from reporter.config import load_config
from reporter.errors import ConfigError
from reporter.pricing import PriceList, Usage
from tests.cli.console import run

AT_NS = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * 10**9
THOUSAND = Usage(1000, None, None, None, 1000)
MODEL = {"id": "gpt-next", "match": {"equals": "gpt-next"}, "prices": {"input_mtok": 1.5, "output_mtok": 6}}
CATALOGUE: list[dict[str, Any]] = [
    {"id": "openai", "name": "OpenAI", "api_pattern": "https://api\\.openai\\.com", "models": [MODEL]}
]


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, tuple[int, bytes]]]]:
    """A server on loopback, and what it answers by path."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()


def test_the_address_is_the_library_s_own() -> None:
    assert UPDATE_URL == DEFAULT_UPDATE_URL


def test_a_fetched_catalogue_is_what_calls_cost_once_it_is_configured(
    tmp_path: Path, served: tuple[str, dict[str, tuple[int, bytes]]]
) -> None:
    url, answers = served
    answers["/later.json"] = (200, json.dumps(CATALOGUE).encode())
    fetched = run(tmp_path, "prices", "update", "--to", "later.json", "--from", f"{url}/later.json")
    assert (fetched.returncode, fetched.stdout[:23]) == (0, "later.json: 1 models; 1")
    assert "price_catalogue: later.json" in fetched.stderr
    (tmp_path / "reporter.yaml").write_text("price_catalogue: later.json\n")
    prices = load_config(tmp_path / "reporter.yaml", {"HOME": str(tmp_path)}).price_list
    assert prices.price("openai", "gpt-next", AT_NS, THOUSAND) == (7_500_000, "genai-prices")
    assert prices.price("openai", "gpt-4o", AT_NS, THOUSAND) == (None, None)
    assert PriceList().price("openai", "gpt-next", AT_NS, THOUSAND) == (None, None)  # the library's own is untouched
    explained = run(tmp_path, "prices", "explain", "gpt-next", "--provider", "openai")
    assert "1.5" in explained.stdout


@pytest.mark.parametrize(
    ("path", "status", "body", "code", "why"),
    [
        ("/gone", 404, b"", 75, "answered 404"),
        ("/broken", 500, b"", 75, "answered 500"),
        ("/text", 200, b"<html>", 2, "is no price catalogue"),
        ("/object", 200, b"{}", 2, "a list of providers is expected"),
        ("/other", 200, b'[{"name": 1}]', 2, "is no price catalogue"),
    ],
)
def test_what_is_no_catalogue_replaces_none(
    tmp_path: Path,
    served: tuple[str, dict[str, tuple[int, bytes]]],
    path: str,
    status: int,
    body: bytes,
    code: int,
    why: str,
) -> None:
    url, answers = served
    answers[path] = (status, body)
    (tmp_path / "later.json").write_text("as before")
    refused = run(tmp_path, "prices", "update", "--to", "later.json", "--from", url + path)
    assert (refused.returncode, why in refused.stderr) == (code, True), refused.stderr
    assert (tmp_path / "later.json").read_text() == "as before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["later.json"]


def test_without_a_network_it_says_so_and_can_be_tried_again(tmp_path: Path) -> None:
    refused = run(tmp_path, "prices", "update", "--to", "later.json", "--from", "http://127.0.0.1:9/x")
    assert (refused.returncode, "is there a network?" in refused.stderr) == (75, True)
    assert run(tmp_path, "prices", "update", "--to", "x", "--from", "ftp://x").returncode == 2


def test_a_missing_or_broken_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"price_catalogue: .*nowhere\.json: No such file"):
        PriceList(catalogue=Catalogue(tmp_path / "nowhere.json")).price("openai", "gpt-4o", AT_NS, THOUSAND)
    (tmp_path / "broken.json").write_text("[")
    with pytest.raises(ConfigError, match="is no price catalogue"):
        PriceList(catalogue=Catalogue(tmp_path / "broken.json")).price("openai", "gpt-4o", AT_NS, THOUSAND)

"""Money is exact or absent: whatever is wrong with a call's counts, its cost is the right one or none, and it is counted."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reporter import cycle
from reporter.config import parse_config
from reporter.ingest import ingest_file
from reporter.query import ask
from reporter.store import open_store
from tests.cli.console import run

NOW = int(time.time())
PRICES = """
prices:
  - {model: chat, input: 1, cache_read: 0.5, cache_write: 2, output: 10}
  - {model: chat, price_class: batch, input: 0.5, output: 5}
  - {model: embed, input: 1}
  - {model: served-large, input: 100, output: 100}
  - {model: ours-at-azure, input: 7, output: 7}
"""
FULL = {"model": "chat", "input_tokens": 1000, "output_tokens": 100}  # 1000 × 1 + 100 × 10 USD a million
OWN = "reporter.yaml"
CASES: dict[str, tuple[dict[str, Any], int | None, str | None]] = {
    "all is told": (FULL, 2_000_000, OWN),
    "the class is the standard one by name": ({**FULL, "price_class": "standard"}, 2_000_000, OWN),
    "the class is the default one by name": ({**FULL, "price_class": "Default"}, 2_000_000, OWN),
    "the class has a price": ({**FULL, "price_class": "Batch"}, 1_000_000, OWN),
    "the class has none": ({**FULL, "price_class": "flex"}, None, None),
    "usage is of a part": ({**FULL, "usage_status": "partial"}, None, None),
    "output is not told, and so is none": ({"model": "chat", "input_tokens": 1000}, 1_000_000, OWN),
    "output is not told, and usage is of a part": (
        {"model": "chat", "input_tokens": 1000, "usage_status": "partial"}, None, None,
    ),
    "output has no price": ({"model": "embed", "input_tokens": 1000}, 1_000_000, OWN),
    "output has no price and is there": ({"model": "embed", "input_tokens": 1000, "output_tokens": 1}, None, None),
    "tokens are too many to be true": ({**FULL, "input_tokens": 10**18}, None, None),
    "tokens are negative": ({**FULL, "output_tokens": -5}, None, None),
    "tokens are words": ({**FULL, "input_tokens": "many"}, None, None),
    "cached tokens are negative": ({**FULL, "cache_read_tokens": -5}, None, None),
    "more is cached than there was": ({**FULL, "cache_read_tokens": 1001}, None, None),
    "it is written to a cache in part": ({**FULL, "cache_write_tokens": 500}, 2_500_000, OWN),
    "several models were asked": ({**FULL, "flags": "models"}, None, None),
    "the cost is told": ({**FULL, "cost_usd": "0.5"}, 500_000_000, "reported"),
    "the cost told is too much to be true": ({**FULL, "cost_usd": 1e18}, 2_000_000, OWN),
    "the model is told by the answer alone": (
        {"response_model": "chat", "input_tokens": 1000, "output_tokens": 100}, 2_000_000, OWN,
    ),
    "the model asked for is an alias that nobody sells": (
        {**FULL, "model": "house-alias", "response_model": "served-large"}, 110_000_000, OWN,
    ),
    "the model asked for is sold, and served by another name": (
        {**FULL, "model": "gpt-4o", "provider": "openai", "response_model": "served-large"}, 110_000_000, OWN,
    ),
    "the catalogue has the model asked for and the one that answered": (
        {**FULL, "model": "gpt-4o", "provider": "openai", "response_model": "gpt-4o-mini"}, 3_500_000, "genai-prices",
    ),
    "a deployment at Azure is called like another model": (
        {**FULL, "model": "gpt-4o", "provider": "azure", "response_model": "gpt-4o-mini-2024-07-18"}, 210_000, "genai-prices",
    ),
    "a deployment at Azure has a price of our own": (
        {**FULL, "model": "ours-at-azure", "provider": "azure", "response_model": "gpt-4o-mini-2024-07-18"}, 7_700_000, OWN,
    ),
    "it was refused": ({"model": "chat", "status": "error", "error_type": "429", "http_status": 429}, 0, "refused"),
    "it was refused for want of capacity": (
        {"model": "nobody-knows", "status": "error", "error_type": "529", "http_status": 529}, 0, "refused",
    ),
    "it was refused after something was served that told no usage": (
        {"model": "chat", "status": "error", "error_type": "429", "http_status": 429, "usage_status": "missing"}, None, None,
    ),
    "a gateway gave up waiting": ({"model": "chat", "status": "error", "error_type": "504", "http_status": 504}, None, None),
    "it broke off": ({"model": "chat", "status": "error", "error_type": "ReadError"}, None, None),
    "it was lost": ({"model": "chat", "status": "lost"}, None, None),
    "Google's name of a model": (
        {**FULL, "model": "models/gemini-2.5-flash", "provider": "google"}, 550_000, "genai-prices",
    ),
    "nobody knows the model": ({**FULL, "model": "nobody-knows"}, None, None),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Path:
    """A directory whose reporter.yaml names a database with a call of each case, folded."""
    lines = (
        {"call_id": name, "operation": name, "provider": "us", "ended_at": NOW - 60, "duration_seconds": 1, **told}
        for name, (told, _, _) in CASES.items()
    )
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    document = f"database: {json.dumps(database_url)}\n{PRICES}"
    (tmp_path / "reporter.yaml").write_text(document)
    store = open_store(database_url)
    assert ingest_file(store, tmp_path / "calls.jsonl").bad == 0
    cycle.report(store, parse_config(document, environ={}), (NOW + 60) * 10**9)
    return tmp_path


def test_each_call_has_its_exact_cost_or_none(place: Path, database_url: str) -> None:
    with open_store(database_url).read() as connection:
        told = {
            call_id: (nanousd, source)
            for call_id, nanousd, source in connection.execute(
                text("SELECT call_id, cost_nanousd, cost_source FROM calls")
            )
        }
    assert told == {name: (nanousd, source) for name, (_, nanousd, source) in CASES.items()}


def test_sums_have_what_is_known_and_count_what_is_not(place: Path) -> None:
    known = [nanousd for _, nanousd, _ in CASES.values() if nanousd is not None]
    told = json.loads(run(place, "cost", "--by", "operation", "--format", "json").stdout)
    assert told["total"]["unpriced_calls"] == len(CASES) - len(known)
    assert told["total"]["cost_usd"] == pytest.approx(sum(known) / 1e9, rel=1e-12)
    again = run(place, "prices", "reprice", "--since", "7d")
    assert again.stdout == "Every call has the price it would get now.\n"


def test_on_another_model_each_call_costs_what_its_counts_allow(place: Path, database_url: str) -> None:
    whole = {name for name, (_, _, source) in CASES.items() if source not in (None, "refused")}
    question = """SELECT operation FROM v_what_if w JOIN v_calls c ON c.call_id = w.call_id
      WHERE on_model = 'chat' AND on_provider = 'us' AND on_price_class = '' AND on_cost_usd IS NOT NULL"""
    with ask(open_store(database_url), question, seconds=30) as answer:
        on_chat = [row[0] for row in answer.rows]
    told = json.loads(
        run(place, "cost", "--on", "chat", "--on-class", "standard", "--by", "operation", "--format", "json").stdout
    )
    by_command = [row["operation"] for row in told["rows"] if row["on_cost_usd"] is not None]
    unknown_here = {"the class has none", "nobody knows the model", "output has no price and is there"}
    assert sorted(on_chat) == sorted(whole | unknown_here)
    assert sorted(by_command) == sorted(whole | {"it was refused", "it was refused for want of capacity"})


def test_what_has_no_price_is_listed_with_the_reason(place: Path, database_url: str) -> None:
    question = """SELECT sum(calls), sum(calls_without_usage), sum(calls_with_partial_usage), sum(calls_with_wrong_counts)
      FROM v_unpriced"""
    with ask(open_store(database_url), question, seconds=30) as answer:
        (told,) = [tuple(int(value) for value in row) for row in answer.rows]
    unpriced = sum(nanousd is None for _, nanousd, _ in CASES.values())
    assert told == (unpriced, 4, 2, 5)

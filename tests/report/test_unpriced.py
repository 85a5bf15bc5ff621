"""What has no price, or another than the usual one: classes of processing, and calls that asked several models."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from genai_prices import Usage, calc_price

from tests.cli.console import run

FACTS = {
    "kind": "call", "operation": "chat", "provider": "openai", "model": "gpt-4o", "duration_ns": 1, "input_tokens": 3_000,
    "cache_read_tokens": 1_000, "output_tokens": 700,
}  # fmt: skip


def told(directory: Path, *calls: dict[str, object]) -> dict[str, float | None]:
    """What `reporter report` says of these calls: money and how many have no price."""
    lines = [
        {**FACTS, "call_id": f"0-{number}", "ended_at_ns": time.time_ns(), **call} for number, call in enumerate(calls)
    ]
    (directory / "calls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(directory, "ingest", "calls.jsonl").returncode == 0
    (row,) = json.loads(run(directory, "report", "--format", "json").stdout)["calls"]
    return {name: row["windows"]["1h"][name] for name in ("cost_usd", "unpriced_calls")}


def by_the_library(context: dict[str, str] | None) -> Decimal:
    usage = Usage(input_tokens=3_000, cache_read_tokens=1_000, output_tokens=700)
    return calc_price(
        usage, "gpt-4o", provider_id="openai", genai_request_timestamp=datetime.now(UTC), price_context=context
    ).total_price


def test_a_batch_is_priced_as_one(tmp_path: Path) -> None:
    batch, standard = by_the_library({"processing": "batch"}), by_the_library(None)
    assert batch < standard
    expected = {"cost_usd": float(batch + standard), "unpriced_calls": 0}
    assert told(tmp_path, {"price_class": "batch"}, {"price_class": "default"}) == expected


def test_a_class_that_nobody_has_a_price_of_has_none(tmp_path: Path) -> None:
    expected = {"cost_usd": float(by_the_library(None)), "unpriced_calls": 2}
    assert told(tmp_path, {"price_class": "flex"}, {"price_class": "ours"}, {}) == expected


def test_tokens_of_several_models_have_no_price_unless_the_call_said_its_cost(tmp_path: Path) -> None:
    asked = {"flags": "input_tokens,models"}
    assert told(tmp_path, asked, {**asked, "cost_usd": "0.5"}) == {"cost_usd": 0.5, "unpriced_calls": 1}


def test_money_that_is_not_known_at_all_is_null(tmp_path: Path) -> None:
    assert told(tmp_path, {"flags": "models"}) == {"cost_usd": None, "unpriced_calls": 1}

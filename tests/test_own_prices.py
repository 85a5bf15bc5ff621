"""Prices of one's own in reporter.yaml: private models, and what one has agreed with a provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reporter.config import parse_config
from reporter.errors import ConfigError
from reporter.pricing import OWN, SOURCE, UNKNOWN, Price, PriceList, Usage
from reporter.store import open_store
from tests.cli.console import run

DAY_NS = 86_400 * 10**9
AT_NS = 1_793_534_400 * 10**9  # 2026-11-01T12:00:00Z
PRICES = """
prices:
  - {model: "llama-*", provider: in-house, input: 0.2, output: 0.6}
  - {model: gpt-4o, since: 2026-11-01, input: 2, output: 8, cache_read: 0.5, cache_write: 3, cache_write_1h: 4}
  - {model: gpt-4o, since: 2026-12-01, input: 1, output: 4}
  - {model: gpt-4o, price_class: batch, input: 0.0375, output: 4}
  - {model: our-embedding, input: 0.01}
  - {model: free, input: 0, output: 0}
"""


def listed(document: str = PRICES) -> PriceList:
    return PriceList(parse_config(document, environ={}).prices)


@pytest.mark.parametrize(
    ("provider", "model", "days", "usage", "price_class", "price"),
    [
        ("in-house", "llama-70b", 0, Usage(1000, None, None, None, 100), None, Price(260_000, OWN)),
        ("elsewhere", "llama-70b-of-nobody", 0, Usage(1000, None, None, None, 100), None, UNKNOWN),
        ("openai", "gpt-4o", 0, Usage(1000, 400, 100, 60, 10), None, Price(1_640_000, OWN)),
        ("openai", "gpt-4o", 30, Usage(1000, 400, None, None, 10), None, Price(1_040_000, OWN)),
        ("openai", "gpt-4o", -1, Usage(1000, None, None, None, 10), None, Price(2_600_000, SOURCE)),
        ("openai", "gpt-4o", 0, Usage(1, None, None, None, 0), "batch", Price(38, OWN)),  # 37.5, half to even
        ("us", "our-embedding", 0, Usage(1000, None, None, None, None), None, Price(10_000, OWN)),
        ("us", "our-embedding", 0, Usage(1000, None, None, None, 5), None, UNKNOWN),
        ("us", "free", 0, Usage(1000, None, None, None, 5), None, Price(0, OWN)),
        ("us", "free", 0, Usage(None, None, None, None, None), None, UNKNOWN),
    ],
)
def test_an_own_price_comes_before_the_catalogues(
    provider: str, model: str, days: int, usage: Usage, price_class: str | None, price: Price
) -> None:
    assert listed().price(provider, model, AT_NS + days * DAY_NS, usage, price_class) == price


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{model: m}", "prices[0].input: is required"),
        ("{input: 1}", "prices[0].model: is required"),
        ("{model: m, input: -1}", "prices[0].input: must not be negative"),
        ("{model: m, input: nan}", "prices[0].input: must be a finite number"),
        ("{model: m, input: 1, outptu: 2}", "prices[0].outptu: unknown key; did you mean output?"),
        ("{model: m, input: 1, since: yesterday}", "prices[0].since: must be a day like 2026-11-01"),
    ],
)
def test_a_price_that_can_not_be_meant_is_refused_where_it_stands(entry: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(f"prices:\n  - {entry}\n", environ={})
    assert says in str(refused.value)


def test_calls_get_their_own_price_with_its_source(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "reporter.yaml").write_text(f"database: {json.dumps(database_url)}\n{PRICES}")
    call: dict[str, Any] = {"operation": "chat", "provider": "in-house", "ended_at": AT_NS // 10**9 - 60}
    told = [
        {**call, "model": "llama-70b", "input_tokens": 1000, "output_tokens": 100},
        {**call, "model": "gpt-4o", "provider": "openai", "input_tokens": 1000, "output_tokens": 100},
        {**call, "model": "nobody-knows", "input_tokens": 1000, "output_tokens": 100},
        {**call, "model": "llama-70b", "input_tokens": 1000, "output_tokens": 100, "cost_usd": "0.5"},
    ]
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    assert run(tmp_path, "ingest", "calls.jsonl").returncode == 0
    done = run(tmp_path, "cost", "--by", "model", "--as-of", "2026-11-01T12:00:00Z", "--format", "json")
    costs = {row["model"]: row["cost_usd"] for row in json.loads(done.stdout)["rows"]}
    assert costs == {"llama-70b": 0.50026, "gpt-4o": 0.0028, "nobody-knows": None}
    with open_store(database_url).read() as connection:
        sources = connection.execute(text("SELECT DISTINCT model, cost_source FROM calls")).fetchall()
    assert {tuple(row) for row in sources} == {
        ("gpt-4o", OWN), ("llama-70b", OWN), ("llama-70b", "reported"), ("nobody-knows", None),
    }  # fmt: skip

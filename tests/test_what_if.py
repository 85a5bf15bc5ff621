"""What calls would have cost on another model: in SQL and by command, both what the price list says of each call."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reporter import cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.lease import acquire
from reporter.pricing import PriceList, Usage
from reporter.reprice import reprice
from reporter.store import Store, open_store
from reporter.what_if import what_if
from tests.cli.console import run
from tests.publish.pushing import bring_in

NOW = datetime.now(UTC).replace(microsecond=0)
NS = 10**9
MODELS = [
    ("openai", "gpt-4o", None), ("openai", "gpt-4o", "batch"), ("openai", "gpt-4o-mini-2024-07-18", None),
    ("anthropic", "claude-sonnet-4-5", None), ("anthropic", "claude-sonnet-4-20250514", "batch"),
    ("google", "gemini-2.5-pro", None), ("ours", "embedder", None), ("nobody", "unheard-of", None),
]  # fmt: skip
OWN = [
    {"model": "embedder", "provider": "ours", "input": "0.0375"},
    {
        "model": "gpt-4o",
        "provider": "openai",
        "since": (NOW - timedelta(days=4)).date().isoformat(),
        "input": 2,
        "output": 7,
    },
]


def settled(url: str, tmp_path: Path) -> tuple[Store, Config, list[dict[str, Any]]]:
    dice = random.Random(11)
    calls = []
    for number in range(400):
        provider, model, price_class = dice.choice(MODELS)
        tokens = dice.choice([0, 1, 999, 200_000, 200_001, 3_000_000])
        read = dice.randint(0, tokens)
        write = dice.randint(0, tokens - read)
        calls.append(
            {
                "kind": "call", "call_id": f"c-{number}", "operation": "chat", "status": "success", "duration_seconds": 1,
                "provider": provider, "model": model, "price_class": price_class, "batch_job": dice.choice(["a", "b"]),
                "ended_at": (NOW - timedelta(seconds=dice.randrange(8 * 86_400))).timestamp(),
                "input_tokens": tokens, "cache_read_tokens": read, "cache_write_tokens": write,
                "cache_write_1h_tokens": dice.randint(0, write),
                "output_tokens": 0 if model == "embedder" else dice.randint(0, 5000),
            }
        )  # fmt: skip
    store = open_store(url)
    config = parse_config(json.dumps({"database": url, "prices": OWN}), environ={})
    bring_in(store, tmp_path, calls)
    cycle.report(store, config, int(NOW.timestamp()) * NS)
    return store, config, calls


def on(prices: PriceList, call: dict[str, Any], provider: str, model: str, price_class: str) -> int | None:
    usage = Usage(*(call[name] for name in Usage._fields))
    return prices.price(provider, model, int(call["ended_at"] * NS), usage, price_class or None).nanousd


def test_the_view_prices_each_call_on_each_model_as_the_price_list_does(database_url: str, tmp_path: Path) -> None:
    store, config, calls = settled(database_url, tmp_path)
    by_id = {call["call_id"]: call for call in calls}
    with store.read() as connection:
        rows = connection.execute(text("SELECT * FROM v_what_if")).mappings().all()
    assert len({(row["call_id"], row["on_provider"], row["on_model"], row["on_price_class"]) for row in rows}) == len(
        rows
    )
    kinds = {(row["on_provider"], row["on_model"], row["on_price_class"]) for row in rows}
    assert {
        ("openai", "gpt-4o", "batch"),
        ("anthropic", "claude-sonnet-4-5", "batch"),
        ("ours", "embedder", ""),
    } <= kinds
    assert not any(provider == "nobody" for provider, _, _ in kinds)
    for row in rows:
        exact = on(config.price_list, by_id[row["call_id"]], row["on_provider"], row["on_model"], row["on_price_class"])
        assert (exact is None) == (row["on_cost_usd"] is None), row
        assert exact is None or abs(row["on_cost_usd"] * 1e9 - exact) <= 1, row
    own = [row for row in rows if (row["on_provider"], row["on_model"]) == (row["provider"], row["model"])]
    priced = [row for row in own if row["on_price_class"] == row["price_class"] and row["cost_usd"] is not None]
    assert len(priced) > 250
    assert all(abs(row["cost_usd"] - row["on_cost_usd"]) * 1e9 <= 1 for row in priced)


def test_the_cache_view_tells_what_caches_saved(database_url: str, tmp_path: Path) -> None:
    store, config, calls = settled(database_url, tmp_path)
    with store.read() as connection:
        told = {(row.provider, row.model): row for row in connection.execute(text("SELECT * FROM v_cache"))}
    for provider, model in {(provider, model) for provider, model, _ in MODELS}:
        mine = [call for call in calls if (call["provider"], call["model"]) == (provider, model)]
        saved, without = 0.0, 0
        for call in mine:
            uncached = {**call, "cache_read_tokens": 0, "cache_write_tokens": 0, "cache_write_1h_tokens": 0}
            both = [on(config.price_list, one, provider, model, call["price_class"] or "") for one in (uncached, call)]
            if both[0] is None or both[1] is None:
                without += call["cache_read_tokens"] + call["cache_write_tokens"] > 0
            else:
                saved += (both[0] - both[1]) / 1e9
        row = told[provider, model]
        assert row.calls_without_rates == without
        assert (row.saved_usd or 0) == pytest.approx(saved, abs=len(mine) * 1e-9)


def test_prices_are_listed_anew_when_they_change(database_url: str, tmp_path: Path) -> None:
    store, _, _ = settled(database_url, tmp_path)

    def listed() -> list[tuple[Any, ...]]:
        with store.read() as connection:
            rows = connection.execute(
                text("SELECT since, until, input_usd_per_mtok, output_usd_per_mtok, source FROM v_prices"
                     " WHERE model = 'gpt-4o' AND price_class = '' ORDER BY since")
            )  # fmt: skip
            return [tuple(row) for row in rows]

    changed = (NOW - timedelta(days=4)).date().isoformat()
    assert listed() == [("1970-01-01", changed, 2.5, 10, "genai-prices"), (changed, None, 2, 7, "reporter.yaml")]
    config = parse_config(json.dumps({"database": database_url, "prices": [{**OWN[1], "input": 3}]}), environ={})
    cycle.report(store, config, int(NOW.timestamp()) * NS)
    assert listed()[1][2] == 3


def test_a_model_without_a_price_is_listed_when_it_is_priced_again(database_url: str, tmp_path: Path) -> None:
    store, _, _ = settled(database_url, tmp_path)
    own = [*OWN, {"model": "unheard-of", "provider": "nobody", "input": 1, "output": 1}]
    config = parse_config(json.dumps({"database": database_url, "prices": own}), environ={})
    lease = acquire(store, -1)
    now_ns = int(NOW.timestamp()) * NS
    reprice(store, lease, [], config.price_list, since_ns=0, now_ns=now_ns, most_errors=100, apply=True)
    with store.read() as connection:
        (row,) = connection.execute(text("SELECT * FROM v_prices WHERE model = 'unheard-of'")).mappings()
    assert (row["input_usd_per_mtok"], row["source"]) == (1, "reporter.yaml")


def test_the_command_sums_what_the_price_list_says_of_each_call(database_url: str, tmp_path: Path) -> None:
    store, config, calls = settled(database_url, tmp_path)
    until_ns = int(NOW.timestamp() + 60) * NS
    since_ns = until_ns - 7 * 86_400 * NS
    for other in [("openai", "gpt-4o-mini", None), ("openai", "gpt-4o-mini", ""), (None, None, "batch")]:
        with store.read() as connection:
            found, _ = what_if(
                connection, config.price_list, ["job", "model"], on=other, since_ns=since_ns, until_ns=until_ns
            )
            costs = {row.call_id: row.cost_nanousd for row in connection.execute(text("SELECT * FROM calls"))}
        for one in found:
            mine = [c for c in calls if (c["batch_job"], c["model"]) == tuple(one.values.values())]
            mine = [call for call in mine if since_ns <= call["ended_at"] * NS < until_ns]
            pairs = [
                (
                    costs[c["call_id"]],
                    on(
                        config.price_list,
                        c,
                        other[0] or c["provider"],
                        other[1] or c["model"],
                        c["price_class"] or "" if other[2] is None else other[2],
                    ),
                )
                for c in mine
            ]
            both = [(cost, there) for cost, there in pairs if cost is not None and there is not None]
            assert (one.calls, one.unpriced_calls) == (len(mine), len(mine) - len(both))
            assert (one.nanousd, one.on_nanousd) == (sum(cost for cost, _ in both), sum(there for _, there in both))
        assert sum(one.calls for one in found) > 300


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--on-class", "btach"], "--on-class btach: nothing is sold in that class; did you mean batch?"),
        (["--on-class", "gold"], "there are batch, fast, flex, priority, standard"),
        (["--on-provider", "openai"], "--on-provider openai: whose model? --on names it"),
        (["--on", "gpt-4oo"], "--on gpt-4oo: nobody names a price of it; there are gpt-4o"),
    ],
)
def test_what_can_not_be_meant_is_told(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = run(tmp_path, "cost", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_the_command_reads_well_and_knows_what_was_meant(tmp_path: Path) -> None:
    settled(f"sqlite:///{tmp_path}/jobs.db", tmp_path)
    (tmp_path / "reporter.yaml").write_text(json.dumps({"database": f"sqlite:///{tmp_path}/jobs.db", "prices": OWN}))
    told = run(tmp_path, "cost", "--on", "gpt-4o-mini", "--by", "model")
    assert "would have cost" in told.stdout, told.stderr
    assert "calls have no price, here or there" in told.stdout
    batch = json.loads(run(tmp_path, "cost", "--on-class", "batch", "--format", "json").stdout)
    assert batch["on"] == {"provider": None, "model": None, "price_class": "batch"}
    assert batch["total"]["difference_usd"] < 0
    typo = run(tmp_path, "cost", "--on", "gpt-4o-mni")
    assert (typo.returncode, "gpt-4o-mini" in typo.stderr) == (2, True)
    empty = run(tmp_path, "--database", f"sqlite:///{tmp_path}/none.db", "cost", "--on", "gpt-4o")
    assert "No calls of models" in empty.stdout

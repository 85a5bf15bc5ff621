"""Every question of docs/questions.md, on both databases, against the same sums done by hand over the same calls."""

from __future__ import annotations

import calendar
import json
import math
import random
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from reporter import cycle
from reporter.cli.rows import plain
from reporter.config import parse_config
from reporter.ingest import ingest_file
from reporter.query import ask
from reporter.store import Store, open_store
from tests.cli.console import run
from tests.servers import Postgres

PAGE = (Path(__file__).parent.parent / "docs" / "questions.md").read_text()
QUESTIONS = dict(re.findall(r"^## ([^\n]+)\n\n```sql\n(SELECT.*?|WITH.*?)```", PAGE, re.MULTILINE | re.DOTALL))
DAY = 86_400
Row = dict[str, Any]


RATES = {  # USD a million tokens: input, read from a cache, written to one, output
    "llama-large": {"": (4, 1, 5, 20), "batch": (2, 0.5, 2.5, 10)},
    "llama-small": {"": (1, 0.25, 1.25, 5), "batch": (0.5, 0.125, 0.625, 2.5)},
}


def priced(call: Row, model: str, price_class: str) -> float:
    """The cost of a call of one of RATES, on one of them."""
    plain_, read, write, output = RATES[model][price_class]
    written = call.get("cache_write_tokens", 0)
    rest = call["input_tokens"] - call["cache_read_tokens"] - written
    parts = (rest * plain_, call["cache_read_tokens"] * read, written * write, call.get("output_tokens", 0) * output)
    return sum(parts) / 1e6


def its_class(call: Row) -> str:
    """ "" is the list price, which providers call standard."""
    return str(call.get("price_class", "standard")).replace("standard", "")


def tells_all(call: Row) -> bool:
    """Whether its counts are of all that it used, and don't contradict each other."""
    return "input_tokens" in call and call.get("usage_status") != "partial" and not contradicts(call)


def contradicts(call: Row) -> bool:
    return bool(call.get("cache_read_tokens", 0) + call.get("cache_write_tokens", 0) > call.get("input_tokens", 0))


def its_cost(call: Row) -> float | None:
    """As it came with the call, 0 where it was refused, or by the rates."""
    if call.get("http_status") == 429:
        return 0.0
    if call["model"] in RATES:
        return priced(call, call["model"], its_class(call)) if tells_all(call) else None
    return call.get("cost_usd")


def known_calls(now: float) -> tuple[list[Row], list[Row]]:
    """Calls and runs of the last 20 days, with every trap that a sum can fall into."""
    dice = random.Random(7)
    calls, runs = [], []
    for number in range(40):
        job = dice.choice(["nightly", "hourly"])
        started = now - 60 - dice.random() * 20 * DAY
        run_id = f"run-{number:02}"
        status = dice.choice(["success", "success", "failed"])
        runs.append(
            {
                "kind": "run", "run_id": run_id, "batch_job": job, "started_at": started, "ended_at": started + 30,
                "status": status, "items": dice.choice([None, 0, *range(1, 9)]),
            }
        )  # fmt: skip
        for index in range(dice.randint(0, 9)):
            outcome = dice.choice(
                [("success", None)] * 6 + [("error", "429"), ("timeout", "ReadTimeout"), ("abandoned", None)]
            )
            model = dice.choice(["gpt-4o", "gpt-4o-mini", "our-own", *RATES])
            call = {
                "kind": "call", "call_id": f"{number:02}-{index}", "run_id": run_id, "batch_job": job, "operation": "chat",
                "provider": "openai" if model.startswith("gpt") else "in-house", "model": model, "status": outcome[0],
                "error_type": outcome[1], "ended_at": started + index, "duration_seconds": dice.randint(1, 5000) / 1000,
                "input_tokens": dice.randint(1, 5000), "output_tokens": dice.randint(1, 500), "retries": dice.randint(0, 2),
                "cache_read_tokens": dice.randint(0, 1), "price_class": dice.choice(["batch", "standard", None, None]),
                "cost_usd": dice.randint(1, 10**6) / 10**6 if model.startswith("gpt") else None,
                "attributes": {"user_id": dice.choice(["u-1", "u-2"]), "step": index},
            }  # fmt: skip
            call["ttft_seconds"] = dice.choice([None, call["duration_seconds"] / 4])
            if model in RATES:  # priced by the rates in the configuration
                call |= {
                    "input_tokens": 4000,
                    "cache_read_tokens": 1500,
                    "cache_write_tokens": 500,
                    "output_tokens": 900,
                }
                traps = [{"usage_status": "partial"}, {"cache_read_tokens": 9000}, {"output_tokens": None}]
                call |= dice.choice([{}] * 6 + traps)
            if model == "llama-small" and dice.random() < 0.3:  # another sells it too
                call["provider"] = "elsewhere"
            if call["error_type"] == "429":
                call |= {"http_status": 429, "cost_usd": None} | {
                    name: None for name in call if name.endswith("_tokens")
                }
            call["reasoning_tokens"] = (
                call["output_tokens"] // 2 if call["output_tokens"] and model in ("gpt-4o", "llama-large") else None
            )
            calls.append({name: value for name, value in call.items() if value is not None})
    return calls, runs


class Known:
    """The calls as the views show them."""

    def __init__(self, calls: list[Row], runs: list[Row], now: float) -> None:
        self.now = now
        self.asked = now  # when a question was asked
        self.today = datetime.fromtimestamp(now, UTC).date().isoformat()
        self.calls = [
            {
                **call, "day": datetime.fromtimestamp(call["ended_at"], UTC).date().isoformat(),
                "hour": datetime.fromtimestamp(call["ended_at"], UTC).strftime("%Y-%m-%dT%H:00Z"),
                "days_ago": int((now - call["ended_at"]) // DAY),
                "usd": its_cost(call),
            }
            for call in calls
        ]  # fmt: skip
        self.runs = []
        for found in runs:
            mine = [call for call in self.calls if call["run_id"] == found["run_id"]]
            costs = [call["usd"] for call in mine if call["usd"] is not None]
            self.runs.append({**found, "calls": mine, "usd": sum(costs) if costs else None})

    def by(self, *names: str, where: Callable[[Row], bool] = lambda call: True) -> dict[Any, list[Row]]:
        groups = defaultdict(list)
        for call in self.calls:
            if where(call):
                groups[tuple(call.get(name) for name in names)].append(call)
        return dict(sorted(groups.items()))


def unpriced(calls: list[Row]) -> int:
    return sum(call["usd"] is None for call in calls)


def usd(calls: list[Row]) -> float | None:
    costs = [call["usd"] for call in calls if call["usd"] is not None]
    return sum(costs) if costs else None


def total(calls: list[Row], name: str) -> int:
    return sum(call.get(name) or 0 for call in calls)


def ranked(calls: list[Row], share: float) -> float:
    durations = sorted(call["duration_seconds"] for call in calls)
    return float(durations[math.ceil(share * len(durations)) - 1])


def dearer_runs(known: Known) -> list[list[Any]]:
    rows = []
    for job in ("nightly", "hourly"):
        costs = sorted(run["usd"] for run in known.runs if run["batch_job"] == job and run["usd"] is not None)
        median = statistics.median(costs)
        rows += [
            [job, r["run_id"], r["usd"], median]
            for r in known.runs
            if r["batch_job"] == job and (r["usd"] or 0) > 2 * median
        ]
    return sorted(rows, key=lambda row: row[1])


def day_over_day(known: Known) -> list[list[Any]]:
    days = [(day, usd(calls), unpriced(calls)) for (day,), calls in known.by("day").items()]
    before = [(None, None, None), *days]
    return [
        [day, cost, None if cost is None or earlier is None else cost - earlier, count]
        for (day, cost, count), (_, earlier, _) in zip(days, before, strict=False)
    ]


def this_month(known: Known) -> list[Row]:
    return [call for call in known.calls if call["day"][:7] == known.today[:7]]


def projected(known: Known) -> float:
    year, month, _ = map(int, known.today.split("-"))
    gone = (known.asked // 60 + 1) * 60 - datetime(year, month, 1, tzinfo=UTC).timestamp()
    return (usd(this_month(known)) or 0.0) / gone * calendar.monthrange(year, month)[1] * DAY


CONFIG = json.dumps(
    {
        "budgets": [{"name": "month", "usd": 1000, "calendar": "month"}, {"name": "rolls", "usd": 1, "period": "21d"}],
        "prices": [
            {
                "model": model, "provider": ["in-house", "elsewhere"], **({"price_class": price_class} if price_class else {}),
                "input": rates[0], "cache_read": rates[1], "cache_write": rates[2], "output": rates[3],
            }
            for model, classes in RATES.items()
            for price_class, rates in classes.items()
        ],
    }
)  # fmt: skip


def budget_left(known: Known) -> list[list[Any]]:
    at = -(-known.now // 60) * 60  # the report's minute
    first = datetime.fromtimestamp(at - 1, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = first.timestamp() + calendar.monthrange(first.year, first.month)[1] * DAY
    costs = sorted((call["ended_at"], call["usd"]) for call in known.calls if call["usd"] is not None)
    month = sum(cost for ended, cost in costs if ended >= first.timestamp())
    rate = sum(cost for ended, cost in costs if ended >= at - 7 * DAY) / (7 * DAY)
    total, gone = 0.0, None
    for ended, cost in costs:
        total += cost
        if total >= 1 and gone is None:
            gone = datetime.fromtimestamp(ended // 60 * 60 + 60, UTC).date().isoformat()
    missing = [unpriced(this_month(known)), unpriced(known.calls)]
    return [
        ["month", 1000 - month, month + rate * (end - at), None, missing[0]],
        ["rolls", 1 - total, rate * 21 * DAY, gone, missing[1]],
    ]


def latest_run(known: Known) -> list[Any]:
    latest = max(known.runs, key=lambda run: run["started_at"])
    calls = latest["calls"]
    errors = sum(call["status"] != "success" for call in calls)
    counts = [len(calls), errors, latest["usd"], unpriced(calls)] if calls else [None] * 4
    return [latest["batch_job"], latest["run_id"], *counts]


def per_item(known: Known) -> list[list[Any]]:
    rows = []
    for job in ("hourly", "nightly"):
        runs = [
            run
            for run in known.runs
            if run["batch_job"] == job and run["status"] == "success" and run["items"] is not None
        ]
        missing = sum(unpriced(run["calls"]) for run in runs)
        rows.append([job, sum(run["usd"] or 0 for run in runs) / sum(run["items"] for run in runs), missing])
    return rows


def shares(known: Known) -> list[list[Any]]:
    groups = known.by("model", where=lambda call: call["days_ago"] < 7)
    together = sum(usd(calls) or 0 for calls in groups.values())
    return [
        [m, usd(c), None if usd(c) is None else 100 * (usd(c) or 0) / together, unpriced(c)]
        for (m,), c in groups.items()
    ]


def weeks(known: Known) -> list[list[Any]]:
    groups = defaultdict(list)
    for call in known.calls:
        if "input_tokens" in call:
            groups[call["batch_job"], call["days_ago"] // 7].append(call)
    return [[job, ago, total(calls, "input_tokens") / len(calls)] for (job, ago), calls in sorted(groups.items())]


def cached(calls: list[Row]) -> list[Any]:
    """Tokens from caches, their share, what they saved, of how many that can't be told, and how many contradict themselves."""
    left = [call for call in calls if not contradicts(call)]
    read, asked = total(left, "cache_read_tokens"), total(left, "input_tokens")
    told = [read, read / asked if asked else None]
    if calls[0]["model"] not in RATES:
        return [*told, None, sum(call.get("cache_read_tokens", 0) > 0 for call in left), len(calls) - len(left)]
    saved = 0.0
    for call in (call for call in left if "input_tokens" in call):
        without = {**call, "cache_read_tokens": 0, "cache_write_tokens": 0}
        saved += priced(without, call["model"], its_class(call)) - priced(call, call["model"], its_class(call))
    return [*told, saved, 0, len(calls) - len(left)]


def failures(known: Known) -> list[list[Any]]:
    groups = defaultdict(list)
    for call in known.calls:
        if call["status"] != "success" or call["retries"]:
            groups[call["status"], "retried" if call["retries"] else "at once"].append(call)
    return [[*key, len(calls), total(calls, "retries"), usd(calls)] for key, calls in sorted(groups.items())]


def on_another_model(known: Known) -> list[list[Any]]:
    groups = known.by("model", where=lambda call: call["days_ago"] < 7 and call["usd"] is not None and tells_all(call))
    return [
        [model, seller, usd(c), sum(priced(call, "llama-small", "") for call in c), len(c)]
        for (model,), c in groups.items()
        for seller in ("elsewhere", "in-house")
    ]


def with_rates(call: Row) -> bool:
    """Whether the rates say what it cost."""
    return call["model"] in RATES and tells_all(call)


def reasoning_usd(model: str, calls: list[Row]) -> float | None:
    if model not in RATES:
        return None
    return sum(call["reasoning_tokens"] * RATES[model][its_class(call)][3] for call in calls) / 1e6


IN_AND_OUT = ("input_tokens", "output_tokens")
EXPECTED: dict[str, Callable[[Known], list[list[Any]]]] = {
    "Spend today and this month": lambda k: [
        [usd([c for c in k.calls if c["day"] == k.today]) or 0.0, usd(this_month(k)), unpriced(this_month(k))]
    ],
    "By model in the last 7 days, with shares": shares,
    "By job": lambda k: [
        [j, usd(c), len(c), unpriced(c)] for (j,), c in k.by("batch_job", where=lambda c: c["days_ago"] < 7).items()
    ],
    "Of one run": lambda k: [latest_run(k)],
    "Per successful item": per_item,
    "By tag or user": lambda k: [
        [user, usd(calls), unpriced(calls)]
        for user in ("u-1", "u-2")
        if (calls := [call for call in k.calls if call["attributes"]["user_id"] == user])
    ],
    "The 20 dearest calls": lambda k: [
        [c["call_id"], c["model"], c.get("input_tokens"), c.get("output_tokens"), c["usd"]]
        for c in sorted((c for c in k.calls if c["usd"]), key=lambda c: (-c["usd"], c["call_id"]))[:20]
    ],
    "Day over day": day_over_day,
    "Runs above twice their job's median": dearer_runs,
    "What this month will have cost at its end": lambda k: [[projected(k), unpriced(this_month(k))]],
    "Budget left, and the day it is gone": budget_left,
    "Cache hits and the money they saved": lambda k: [
        [*key, *cached(c)] for key, c in k.by("provider", "model").items()
    ],
    "Money spent on failures, retries and aborted streams": failures,
    "Last week on another model": on_another_model,
    "Batch savings had": lambda k: [
        [model, sum(priced(call, model, "") - priced(call, model, "batch") for call in c)]
        for (model,), c in k.by("model", where=lambda c: with_rates(c) and its_class(c) == "batch").items()
    ],
    "Batch savings possible": lambda k: [
        [model, sum(priced(call, model, "") - priced(call, model, "batch") for call in c)]
        for (model,), c in k.by("model", where=lambda c: with_rates(c) and its_class(c) == "").items()
    ],
    "Retries and 429s by provider and hour": lambda k: [
        [*key, Counter(call.get("error_type") for call in c)["429"] / len(c), total(c, "retries") / len(c)]
        for key, c in k.by("hour", "provider").items()
    ],
    "Models without a price": lambda k: [
        [
            *key, len(c), sum("input_tokens" not in call for call in c),
            sum(call.get("usage_status") == "partial" for call in c), 0, total(c, "input_tokens"), total(c, "output_tokens"),
        ]
        for key, c in k.by("provider", "model", where=lambda call: call["usd"] is None).items()
    ],
    "Percentiles by model and day": lambda k: [
        [*key, len(c), *(ranked(c, share) for share in (0.5, 0.95, 0.99))] for key, c in k.by("model", "day").items()
    ],
    "Growth of the input, by job and week": weeks,
    "The share of reasoning, and what it cost": lambda k: [
        [model, total(c, "reasoning_tokens") / total(c, "output_tokens"), reasoning_usd(model, c)]
        for (model,), c in k.by("model", where=lambda call: "reasoning_tokens" in call).items()
    ],
    "Beside an invoice, by provider and day": lambda k: [
        [*key, len(c), *(total(c, n) if any(n in call for call in c) else None for n in IN_AND_OUT), usd(c), unpriced(c)]
        for key, c in k.by("day", "provider").items()
    ],
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> tuple[Store, Known]:
    now = time.time()
    calls, runs = known_calls(now)
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(told) + "\n" for told in (*calls, *runs)))
    store = open_store(database_url)
    assert ingest_file(store, tmp_path / "facts.jsonl").bad == 0
    cycle.report(store, parse_config(CONFIG, environ={}), int(now * 1e9))
    return store, Known(calls, runs, now)


def test_every_question_has_the_answer_that_hand_made_sums_have(place: tuple[Store, Known]) -> None:
    store, known = place
    assert QUESTIONS.keys() == EXPECTED.keys()
    wrong = {}
    for title, question in QUESTIONS.items():
        while True:
            known.asked = time.time()
            with ask(store, question, seconds=30) as answer:
                rows = [[plain(value) for value in row] for row in answer.rows]
            if known.asked // 60 == time.time() // 60:  # the answer is of one minute
                break
        expected = EXPECTED[title](known)
        assert rows, title
        if len(rows) != len(expected) or any(
            told != pytest.approx(hoped, rel=1e-9) if isinstance(hoped, float) else told != hoped
            for row, hopes in zip(rows, expected, strict=True)
            for told, hoped in zip(row, hopes, strict=True)
        ):
            wrong[title] = (rows[:5], expected[:5])
    assert wrong == {}


def test_the_role_for_people_who_ask_may_ask_every_question(
    tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    (grants,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", PAGE, re.DOTALL)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(grants.encode())
        url = postgres.url(connection.info.dbname).replace("//owner@", "//asker@")
    store = open_store(url, check_version=False)
    for question in QUESTIONS.values():
        with ask(store, question, seconds=30) as answer:
            assert answer.columns
    asked = run(tmp_path, "--database", url, "sql", QUESTIONS["Of one run"], "--format", "json")
    assert (asked.returncode, asked.stderr) == (0, "")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY asker")
        connection.execute("DROP ROLE asker")

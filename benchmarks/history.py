"""Thirty days of calls to measure with: 60 series, everything drawn from one seed, written straight into the table.

Only the writing is short-cut (a job writes one row at a time); what follows reads these rows as it reads any others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

from reporter.store import Store

END_NS = 1_793_000_040 * 10**9  # a whole minute
DAYS = 30
_MODELS = (
    ("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro")
)  # fmt: skip
SERIES = tuple((f"job-{job}", operation, *model) for job in range(5) for operation in ("chat", "extract", "rank")
               for model in _MODELS)  # fmt: skip
COLUMNS = (
    "call_id", "ended_at_ns", "started_at_ns", "duration_ns", "ttft_ns", "batch_job", "operation", "provider", "model",
    "status", "error_type", "http_status", "stream", "input_tokens", "cache_read_tokens", "output_tokens", "usage_status",
)  # fmt: skip


def calls(
    count: int, *, seed: int = 7, shuffled: bool = False, begin_ns: int = 0, end_ns: int = END_NS
) -> Iterator[tuple[Any, ...]]:
    """`count` calls of 60 series between two moments, in order of their end unless `shuffled`; values of COLUMNS."""
    begin_ns = begin_ns or end_ns - DAYS * 86_400 * 10**9
    dice = random.Random(seed)
    uniform, gauss = dice.random, dice.lognormvariate
    step_ns = (end_ns - begin_ns) / count
    order: Any = range(count)
    if shuffled:
        order = list(order)
        dice.shuffle(order)
    for number in order:
        ended_ns = begin_ns + int((number + uniform()) * step_ns)
        duration_ns = int(gauss(21, 1))
        first = int(duration_ns * (0.1 + 0.4 * uniform()))
        job, operation, provider, model = SERIES[int(60 * uniform())]
        tokens, output = int(gauss(7, 1)), int(gauss(5, 1))
        luck = uniform()
        milliseconds = ended_ns // 10**6
        call_id = f"{milliseconds >> 16:08x}-{milliseconds & 65535:04x}-7{seed % 4096:03x}-8000-{number:012x}"
        begun = (call_id, ended_ns, ended_ns - duration_ns, duration_ns)
        if luck < 0.97:
            yield (
                *begun,
                first,
                job,
                operation,
                provider,
                model,
                "success",
                None,
                200,
                1,
                tokens,
                tokens // 3,
                output,
                "complete",
            )
        elif luck < 0.99:
            yield (*begun, None, job, operation, provider, model, "error", "429", 429, 1, None, None, None, "missing")
        else:
            yield (
                *begun,
                None,
                job,
                operation,
                provider,
                model,
                "timeout",
                "ReadTimeout",
                None,
                1,
                None,
                None,
                None,
                "missing",
            )


def write(store: Store, rows: Iterator[tuple[Any, ...]]) -> None:
    """Put calls into the table."""
    while chunk := list(islice(rows, 100_000)):
        with store.write() as connection:
            cursor: Any = connection.connection.cursor()
            if store.dialect == "sqlite":
                marks = ", ".join("?" * len(COLUMNS))
                cursor.executemany(f"INSERT INTO calls ({', '.join(COLUMNS)}) VALUES ({marks})", chunk)
            else:
                with cursor.copy(f"COPY calls ({', '.join(COLUMNS)}) FROM STDIN") as copy:
                    for row in chunk:
                        copy.write_row(row)

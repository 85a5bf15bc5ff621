"""What folding costs: a call in bulk, priced, on SQLite and Postgres, and a tick of 200 new calls at two sizes of history.

    python benchmarks/fold.py [--calls 1000000] [--small 100000] [--database sqlite|postgresql]

Microseconds are of this process' CPU and of the clock, per call; compare with the bars of DESIGN §10.  Those are of one
machine, the floor makes others comparable: the same columns read and the same marks written by the bare driver, in batches and
transactions of the same size.  Fewer calls are drawn from fewer days, so that an hour has as many as 1,000,000 give it in 30.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.history import DAYS, END_NS, calls, write
from reporter import migrate
from reporter.config import parse_config
from reporter.fold import BATCH, CHUNK, FoldRules, fold
from reporter.fold.rows import Rows
from reporter.lease import acquire, release
from reporter.slo.spec import SLO
from reporter.store import Store, open_store
from reporter.tally import FOLDED
from tests.servers import Postgres

TICKS, TICK = 15, 200
BARS = {"sqlite": 10, "postgresql": 20}
FLOOR = 2.5
SLOS = parse_config(
    "slos: [{name: a, sli: p50 < 500ms}, {name: b, sli: p95 < 2.5s}, {name: c, sli: availability, objective: 99}]",
    environ={"HOME": "/"},
).slos


@contextmanager
def databases(kind: str) -> Iterator[Iterator[str]]:
    """As many fresh databases of one kind as one asks for."""
    with tempfile.TemporaryDirectory() as directory:
        if kind == "sqlite":
            yield (f"sqlite:///{directory}/{number}.db" for number in range(100))
            return
        import psycopg

        server = Postgres()

        def fresh() -> Iterator[str]:
            for number in range(100):
                with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE bench_{number}".encode())
                migrate.upgrade(server.url(f"bench_{number}"))
                yield server.url(f"bench_{number}")

        try:
            yield fresh()
        finally:
            server.stop()


def timed(store: Store, slos: tuple[SLO, ...]) -> tuple[int, float, float]:
    """Fold once: calls, CPU seconds of this process, seconds by the clock."""
    lease = acquire(store, 10**12)
    cpu, clock = time.process_time(), time.perf_counter()
    done = fold(store, lease, slos, FoldRules(), now_ns=END_NS)
    spent = time.process_time() - cpu, time.perf_counter() - clock
    release(store, lease)
    return done.calls, *spent


def write_history(store: Store, count: int, *, shuffled: bool = False) -> None:
    """Calls of as many days as make it a usual history."""
    days_ns = int(DAYS * 86_400 * 10**9 * min(1, count / 10**6))
    write(store, calls(count, shuffled=shuffled, begin_ns=END_NS - days_ns))
    if store.dialect == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def floor(url: str, count: int) -> tuple[float, float]:
    """(CPU µs, clock µs) a call of reading the columns and writing the marks, and nothing else."""
    store = open_store(url)
    write_history(store, count)
    cpu, clock, after = time.process_time(), time.perf_counter(), ""
    while True:
        with store.read() as connection:
            cursor = Rows(connection).cursor
            cursor.execute(
                f"SELECT {', '.join(FOLDED)} FROM calls WHERE folded = 0 AND call_id > '{after}'"
                f" ORDER BY call_id LIMIT {BATCH}"
            )
            rows = cursor.fetchall()
        if not rows:
            return (time.process_time() - cpu) / count * 1e6, (time.perf_counter() - clock) / count * 1e6
        marks = [(1, "floor", None, row[0]) for row in rows]
        after = rows[-1][0]
        for first in range(0, len(marks), CHUNK):
            with store.write() as connection:
                Rows(connection).mark(marks[first : first + CHUNK])


def bulk(url: str, count: int, slos: tuple[SLO, ...], *, shuffled: bool) -> tuple[Store, float, float]:
    """(store, CPU µs, clock µs) a call of folding `count` calls at once."""
    store = open_store(url)
    timed(store, slos)  # SLOs are registered, modules imported
    write_history(store, count, shuffled=shuffled)
    folded, cpu, clock = timed(store, slos)
    assert folded == count
    return store, cpu / count * 1e6, clock / count * 1e6


def tick(store: Store, slos: tuple[SLO, ...]) -> float:
    """Milliseconds, the quickest of several, of folding 200 new calls of the last minute."""
    seconds = []
    for number in range(TICKS):
        write(store, calls(TICK, seed=100 + number, begin_ns=END_NS - 60 * 10**9))
        seconds.append(timed(store, slos)[2])
    return min(seconds) * 1e3


def verdict(value: float, bar: float) -> str:
    """`ok` or `MISSED`, beside the bar."""
    return f"(bar {bar:g}: {'ok' if value <= bar else 'MISSED'})"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=200_000)
    arguments.add_argument("--small", type=int, default=20_000)
    arguments.add_argument("--database", choices=list(BARS))
    given = arguments.parse_args()
    for kind, bar in BARS.items():
        if given.database in (None, kind):
            with databases(kind) as urls:
                small, *_ = bulk(next(urls), given.small, (), shuffled=False)
                store, cpu, clock = bulk(next(urls), given.calls, (), shuffled=False)
                print(
                    f"{kind}: {given.calls} calls, priced: {cpu:.1f} µs CPU, {clock:.1f} µs a call {verdict(clock, bar)}"
                )
                low_cpu, low_clock = floor(next(urls), given.calls)
                print(f"{kind}: floor {low_cpu:.1f} µs CPU, {low_clock:.1f} µs a call; the fold takes {cpu / low_cpu:.2f} ×"
                      f" the CPU, {clock / low_clock:.2f} × the time {verdict(clock / low_clock, FLOOR)}")  # fmt: skip
                few, many = tick(small, ()), tick(store, ())
                print(f"{kind}: a tick of {TICK}: {few:.1f} ms at {given.small}, {many:.1f} ms at {given.calls} calls of "
                      f"history, {many / few:.2f} × {verdict(many / few, 1.5)}")  # fmt: skip
                _, cpu, clock = bulk(next(urls), given.calls, SLOS, shuffled=False)
                print(f"{kind}: with {len(SLOS)} SLOs: {cpu:.1f} µs CPU, {clock:.1f} µs a call")
                _, cpu, clock = bulk(next(urls), given.calls, (), shuffled=True)
                print(f"{kind}: in no order: {cpu:.1f} µs CPU, {clock:.1f} µs a call")


if __name__ == "__main__":
    main()

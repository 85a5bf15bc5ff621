"""What a report costs at two sizes of history, beside DuckDB over the raw rows, and 60 SLOs beside one COUNT each.

    python benchmarks/report.py [--calls 1000000] [--small 100000] [--directory DIRECTORY]

A directory keeps the histories for the next run.  Milliseconds by the clock, medians; memory is the growth of the resident
set in a process of its own.  Compare with the bars of DESIGN §10, which are meant for 10,000,000 calls.
"""

from __future__ import annotations

import argparse
import csv
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.history import END_NS, SERIES, calls, write
from reporter.config import parse_config
from reporter.fold import FoldRules, fold
from reporter.lease import acquire, release
from reporter.report.build import build
from reporter.report.events import EventReader
from reporter.report.model import Report
from reporter.report.slos import read_slos
from reporter.slo.spec import SLO
from reporter.store import Store, open_store

MINUTE_NS = 60 * 10**9
WINDOWS = {"5m": 5, "30m": 30, "1h": 60, "2h": 120, "6h": 360, "1d": 1440, "3d": 4320, "7d": 10_080, "30d": 43_200}
LABELS = ("batch_job", "operation", "provider", "model")
SLOS = parse_config(
    "slos:\n" + "".join(
        f"- {{name: slo-{number}, sli: p95 < 2.5s, alerts: [],"
        f" where: {{batch_job: {job}, operation: {operation}, model: {model}}}}}\n"
        for number, (job, operation, _, model) in enumerate(SERIES)
    ),
    environ={"HOME": "/"},
).slos  # fmt: skip
SLO_WINDOWS = [minutes * MINUTE_NS for label, minutes in WINDOWS.items() if label != "2h"]


def folded(directory: Path, count: int) -> Store:
    """A SQLite database with so many calls, folded."""
    path = directory / f"history-{count}.db"
    unfinished = path.with_suffix(".part")
    if not path.exists():
        store = open_store(f"sqlite:///{unfinished}")
        write(store, calls(count))
        count_slos(store, ())
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        unfinished.rename(path)
    return open_store(f"sqlite:///{path}")


def count_slos(store: Store, slos: tuple[SLO, ...]) -> None:
    """Fold what is new and count SLOs that are."""
    lease = acquire(store, 10**12)
    fold(store, lease, slos, FoldRules(), now_ns=END_NS)
    release(store, lease)


def report(store: Store) -> Report:
    """Counts, sums and percentiles of 60 series in nine windows."""
    with store.read() as connection:
        lengths = [minutes * MINUTE_NS for minutes in WINDOWS.values()]
        return build(connection, (), as_of_ns=END_NS, windows_ns=lengths, labels=LABELS, max_values_per_label=100)


def median(function: Callable[[], object], runs: int = 9) -> float:
    """Milliseconds of one run, after a first one for the caches."""
    function()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e3


def duckdb_pass(directory: Path, count: int) -> tuple[float, float]:
    """Milliseconds of the same numbers from the raw rows in one pass: with exact percentiles, and with sketched ones."""
    import duckdb

    path = directory / f"history-{count}.duckdb"
    with duckdb.connect(str(path)) as connection:
        names = (
            *LABELS,
            "status",
            "ended_at_ns",
            "duration_ns",
            "ttft_ns",
            "input_tokens",
            "output_tokens",
            "cost_nanousd",
        )
        if not connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()[0]:  # type: ignore[index]
            exported = directory / "calls.csv"
            with sqlite3.connect(directory / f"history-{count}.db") as source, exported.open("w") as file:
                csv.writer(file).writerows(source.execute(f"SELECT {', '.join(names)} FROM calls"))
            types = {name: "VARCHAR" if name in (*LABELS, "status") else "BIGINT" for name in names}
            connection.execute(f"CREATE TABLE calls AS FROM read_csv('{exported}', header = false, columns = {types})")
            exported.unlink()

        def one_pass(percentile: str) -> float:
            told = []
            for minutes in WINDOWS.values():
                within = f"FILTER (ended_at_ns >= {END_NS - minutes * MINUTE_NS})"
                told += [f"count(*) {within}", f"sum(CASE WHEN status <> 'success' THEN 1 ELSE 0 END) {within}"]
                told += [f"sum({name}) {within}" for name in ("input_tokens", "output_tokens", "cost_nanousd")]
                told += [f"{percentile}({name}, [0.5, 0.95, 0.99]) {within}" for name in ("duration_ns", "ttft_ns")]
            query = (
                f"SELECT {', '.join(LABELS)}, {', '.join(told)} FROM calls WHERE ended_at_ns < {END_NS} GROUP BY ALL"
            )
            return median(lambda: connection.execute(query).fetchall(), 3)

        return one_pass("quantile_disc"), one_pass("approx_quantile")


def memory_megabytes(store: Store) -> float:
    """Growth of the resident set by one report."""
    # VmHWM, not ru_maxrss: that begins with what the parent had, and hides what the child grew by.
    program = (
        "import re, sys; sys.path.insert(0, '.'); from benchmarks import report as r; "
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]); "
        f"store = r.open_store({store.url!r}); before = peak(); r.report(store); print(peak() - before)"
    )
    root = Path(__file__).parents[1]
    return int(subprocess.run([sys.executable, "-c", program], cwd=root, check=True, capture_output=True).stdout) / 1024


def one_count_each(store: Store) -> float:
    """Milliseconds of a COUNT for good and one for total, for each SLO and window, over an index on time."""
    with store.write() as connection:
        connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS by_time ON calls (ended_at_ns)")
    began = time.perf_counter()
    with store.read() as connection:
        for slo, (job, operation, _, model) in zip(SLOS, SERIES, strict=True):
            good, counted = slo.sql("sqlite")
            for length in SLO_WINDOWS:
                for condition in (good, counted):
                    connection.exec_driver_sql(
                        f"SELECT count(*) FROM calls WHERE ended_at_ns >= {END_NS - length} AND ended_at_ns < {END_NS}"
                        f" AND batch_job = '{job}' AND operation = '{operation}' AND model = '{model}' AND {condition}"
                    ).scalar_one()
    seconds = time.perf_counter() - began
    with store.write() as connection:
        connection.exec_driver_sql("DROP INDEX by_time")
    return seconds * 1e3


def slo_milliseconds(store: Store) -> float:
    """Milliseconds of 60 SLOs in eight windows, from tallies."""

    def read() -> None:
        with store.read() as connection:
            end = END_NS // MINUTE_NS
            read_slos(EventReader(connection, end, []), SLOS, end, SLO_WINDOWS, {})

    return median(read)


def line(what: str, value: str, met: bool | None, bar: str) -> None:
    """One measure beside its bar; `met` None: the bar is for a larger history."""
    verdict = "not judged here" if met is None else "ok" if met else "MISSED"
    print(f"{what:<58} {value:>16}   (bar {bar}: {verdict})", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=300_000)
    arguments.add_argument("--small", type=int, default=30_000)
    arguments.add_argument("--slo-calls", type=int, default=100_000)
    arguments.add_argument("--directory", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = given.directory or Path(temporary)
        small, large = folded(directory, given.small), folded(directory, given.calls)
        few, many = median(lambda: report(small)), median(lambda: report(large))
        print(f"a report over {given.small} calls {few:.1f} ms, over {given.calls} calls {many:.1f} ms")
        line("large ÷ small", f"{many / few:.2f} ×", many / few <= 4, "≤ 4")
        exact, sketched = duckdb_pass(directory, given.calls)
        print(
            f"DuckDB over {given.calls} raw calls: {exact:.0f} ms exact, {sketched:.0f} ms with approximate percentiles"
        )
        line(
            "faster than DuckDB's quicker pass",
            f"{min(exact, sketched) / many:.1f} ×",
            min(exact, sketched) / many >= 10 if given.calls >= 10**7 else None,
            "≥ 10 at 10,000,000 calls",
        )
        grown = memory_megabytes(large)
        line(f"memory of a report over {given.calls} calls", f"{grown:.1f} MB", grown <= 100, "≤ 100")
        store = folded(directory, given.slo_calls)
        count_slos(store, SLOS)
        ours, counted = slo_milliseconds(store), one_count_each(store)
        print(
            f"{len(SLOS)} SLOs × {len(SLO_WINDOWS)} windows over {given.slo_calls} calls: {ours:.1f} ms;"
            f" a COUNT each: {counted:.0f} ms"
        )
        line("faster than one COUNT each", f"{counted / ours:.0f} ×", counted / ours >= 50, "≥ 50")
        count_slos(store, ())


if __name__ == "__main__":
    main()

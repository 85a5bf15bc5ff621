"""What recording costs, beside its peers, as ratios within one run: a process that records one call; one call, start and end;
eight processes into one file.

CPU time, medians of batches taken in turn, so that a noisy neighbour strikes all alike.  The bars are DESIGN §10's.
"""

from __future__ import annotations

import compileall
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import reporter
from reporter import Recorder
from reporter.sinks.postgresql import PostgresSink

ROUNDS, CALLS, PROCESSES = 40, 250, 21
WRITERS, WRITES = 8, 3_000


def verdict(value: float, bar: float, *, at_least: bool = False) -> str:
    met = value >= bar if at_least else value <= bar
    return f"bar {'≥' if at_least else '≤'} {bar:g}: {'met' if met else 'MISSED'}"


# ── one call ──


class Nowhere(SpanExporter):
    """Takes spans and keeps none."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def otel_span() -> Callable[[], object]:
    """A span with five attributes, in a batch processor: gone with its process when that is killed."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    tracer = provider.get_tracer("benchmark")

    def span() -> None:
        with tracer.start_as_current_span("chat") as current:
            for name, value in (("a", "x"), ("b", "y"), ("c", 3), ("d", 4), ("e", "z")):
                current.set_attribute(name, value)

    return span


def prometheus_observation() -> Callable[[], object]:
    """A histogram observation with four labels: in memory, and never seen if nobody scrapes."""
    from prometheus_client import CollectorRegistry, Histogram

    names = ("job", "operation", "provider", "model")
    histogram = Histogram("duration_seconds", "Durations.", names, registry=CollectorRegistry())
    return lambda: histogram.labels("nightly", "chat", "openai", "gpt-4o").observe(0.3)


def recorded(recorder: Recorder) -> Callable[[], object]:
    """A decorated function, as people write it."""

    @recorder.call("chat", provider="openai", model="gpt-4o")
    def chat() -> None:
        return

    return chat


def plain_insert(directory: str) -> Callable[[], object]:
    """The floor: a three-column insert, committed by itself."""
    connection = sqlite3.connect(f"{directory}/floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE floor (a, b, c)")
    return lambda: connection.execute("INSERT INTO floor VALUES (1, 2, 'x')")


def measure_calls(directory: str) -> None:
    peers = {
        "OTel span, 5 attributes": otel_span(),
        "prometheus_client observe, 4 labels": prometheus_observation(),
        "bare 3-column SQLite insert (floor)": plain_insert(directory),
        "@call into SQLite": recorded(Recorder(f"sqlite:///{directory}/jobs.db")),
        "@call into the spool": recorded(Recorder(sink=PostgresSink("postgresql://nobody@nowhere/none"))),
    }
    bars = {"@call into SQLite": 1.0, "@call into the spool": 0.25}
    taken: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, peer in peers.items():
            began = time.process_time_ns()
            for _ in range(CALLS):
                peer()
            taken[name].append((time.process_time_ns() - began) / CALLS / 1e3)
    span = statistics.median(taken["OTel span, 5 attributes"])
    for name, microseconds in taken.items():
        middle = statistics.median(microseconds)
        bar = verdict(middle / span, bars[name]) if name in bars else ""
        print(f"{name:<36} {middle:7.1f} µs {middle / span:6.2f} × OTel span  {bar}")


# ── one process ──

PROGRAMS = {
    "bare Python": "pass",
    "import sqlite3": "import sqlite3",
    "reporter, one call into SQLite": "import reporter\nwith reporter.call('chat'):\n    pass",
    "prometheus_client, one observation, text": (
        "from prometheus_client import CollectorRegistry, Histogram, generate_latest\n"
        "r = CollectorRegistry()\nHistogram('d', 'D.', registry=r).observe(1)\ngenerate_latest(r)"
    ),
    "OpenTelemetry, one span": (
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "with TracerProvider().get_tracer('x').start_as_current_span('y'):\n    pass"
    ),
    "SQLAlchemy, one row": (
        "import os\nfrom sqlalchemy import create_engine, text\n"
        "with create_engine('sqlite:///' + os.environ['PEER']).begin() as c:\n"
        "    c.execute(text('CREATE TABLE IF NOT EXISTS t (a)'))\n    c.execute(text('INSERT INTO t VALUES (1)'))"
    ),
}


def process_ms(program: str, environment: dict[str, str]) -> float:
    """CPU of a whole Python process, start to exit."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def measure_processes(directory: str) -> None:
    compileall.compile_dir(
        Path(reporter.__file__).parent, quiet=1
    )  # as pip does with whatever it installs, peers included
    environment = {
        **os.environ, "REPORTER_DATABASE_URL": f"sqlite:///{directory}/process.db", "PEER": f"{directory}/peer.db",
    }  # fmt: skip
    environment.pop("REPORTER_SPOOL_DIR", None)
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for turn in range(PROCESSES + 1):
        for name, program in PROGRAMS.items():
            milliseconds = process_ms(program, environment)
            if turn:  # the first one compiles modules and creates the database
                taken[name].append(milliseconds)
    bare = statistics.median(taken["bare Python"])
    for name, milliseconds in taken.items():
        middle = statistics.median(milliseconds)
        bar = verdict(middle / bare, 2.0) if name.startswith("reporter") else ""
        print(f"{name:<42} {middle:6.1f} ms {middle / bare:6.2f} × bare Python  {bar}")


# ── eight processes, one file ──

WRITER = """
import sys, time
from reporter import Recorder
recorder = Recorder(sys.argv[1])
recorder.record(operation="first")
sys.stdin.readline()
latencies = []
began = time.perf_counter_ns()
for _ in range({writes}):
    before = time.perf_counter_ns()
    recorder.record(operation="chat", provider="openai", model="gpt-4o", duration_seconds=0.5)
    latencies.append(time.perf_counter_ns() - before)
print(time.perf_counter_ns() - began, sorted(latencies)[len(latencies) * 99 // 100])
recorder.close()
"""


def rows_per_second(directory: str, writers: int) -> tuple[float, float, int]:
    """(rows/s of all writers together, the worst p99 in ms, rows that are nowhere)."""
    path = Path(directory) / f"writers-{writers}-{time.monotonic_ns()}.db"
    program = WRITER.format(writes=WRITES)
    environment = {name: value for name, value in os.environ.items() if name != "REPORTER_SPOOL_DIR"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"sqlite:///{path}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
        for _ in range(writers)
    ]  # fmt: skip
    time.sleep(1)  # all have opened the file; the clock starts with the line below
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate()[0].split() for process in processes]
    with sqlite3.connect(path) as connection:
        stored = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
    connection.close()
    spooled = sum(file.read_text().count('"kind":"call"') for file in Path(f"{path}.spool").glob("*.jsonl"))
    slowest = max(int(nanoseconds) for nanoseconds, _ in told)
    missing = writers * (WRITES + 1) - stored - spooled
    return writers * WRITES / slowest * 1e9, max(int(p99) for _, p99 in told) / 1e6, missing


def measure_writers(directory: str) -> None:
    alone = [rows_per_second(directory, 1) for _ in range(3)]
    together = [rows_per_second(directory, WRITERS) for _ in range(3)]
    one, many = (statistics.median(rate for rate, _, _ in runs) for runs in (alone, together))
    p99 = statistics.median(worst for _, worst, _ in together)
    lost = sum(missing for _, _, missing in (*alone, *together))
    print(f"1 process, one file   {one:9.0f} rows/s")
    print(
        f"{WRITERS} processes, one file {many:9.0f} rows/s {many / one:6.2f} ×  {verdict(many / one, 0.8, at_least=True)}"
    )
    print(f"                      worst p99 {p99:.2f} ms  {verdict(p99, 2.0)};  {lost} lost  {verdict(lost, 0)}")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.environ["REPORTER_SPOOL_DIR"] = f"{directory}/spool"
        measure_calls(directory)
        measure_processes(directory)
        measure_writers(directory)
        sys.stdout.flush()
        os._exit(0)  # the spool's facts have nowhere to go, and the directory goes with the machine's temporary files


if __name__ == "__main__":
    main()

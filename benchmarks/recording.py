"""What recording costs, as ratios within one run: a process that records one call, and one call, start and end.

Medians of several runs, of CPU time; compare with the bars of DESIGN §10.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from reporter import Recorder
from reporter.sinks.postgresql import PostgresSink

RUNS, CALLS = 7, 5_000


def process_seconds(program: str, directory: str) -> float:
    """CPU of a whole Python process, start to exit."""
    environment = {
        **os.environ,
        "REPORTER_DATABASE_URL": f"sqlite:///{directory}/process.db",
        "PYTHONPATH": os.getcwd(),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-S", "-c", program], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def call_microseconds(function: Callable[[], object]) -> float:
    """CPU of one call of `function`."""
    began = time.process_time()
    for _ in range(CALLS):
        function()
    return (time.process_time() - began) / CALLS * 1e6


class Nowhere(SpanExporter):
    """Takes spans and keeps none."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def otel() -> Callable[[], object]:
    """A span with five attributes, in a batch processor."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    tracer = provider.get_tracer("benchmark")

    def span() -> ReadableSpan | None:
        with tracer.start_as_current_span("chat") as current:
            for name, value in (("a", "x"), ("b", "y"), ("c", 3), ("d", 4), ("e", "z")):
                current.set_attribute(name, value)
        return None

    return span


def recorded(recorder: Recorder) -> Callable[[], object]:
    """A decorated function, as people write it."""

    @recorder.call("chat", provider="openai", model="gpt-4o")
    def chat() -> None:
        return

    return chat


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.environ["REPORTER_SPOOL_DIR"] = f"{directory}/spool"
        sqlite = Recorder(f"sqlite:///{directory}/jobs.db")
        spool = Recorder(sink=PostgresSink("postgresql://nobody@nowhere/none"))
        peers = {"OTel span": otel(), "call into SQLite": recorded(sqlite), "call into spool": recorded(spool)}
        measured = {
            name: statistics.median(call_microseconds(peer) for _ in range(RUNS)) for name, peer in peers.items()
        }
        for name, microseconds in measured.items():
            print(f"{name:<18} {microseconds:6.1f} µs  {microseconds / measured['OTel span']:5.2f} × OTel span")
        program = "import reporter\nwith reporter.call('chat'):\n    pass"
        bare = statistics.median(process_seconds("pass", directory) for _ in range(RUNS * 2))
        ours = statistics.median(process_seconds(program, directory) for _ in range(RUNS * 2))
        print(f"process            {ours * 1e3:6.1f} ms  {ours / bare:5.2f} × bare Python ({bare * 1e3:.1f} ms)")
        os._exit(0)  # the spool's facts have nowhere to go


if __name__ == "__main__":
    main()

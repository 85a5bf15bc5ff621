"""The demo itself: each step says in a line what it shows, does it with real parts, and checks what it claims."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import httpx
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy import text

from reporter import migrate
from reporter.demo.history import DAYS, write_history
from reporter.demo.processes import DemoFailed, Processes, clean_environment, ended_by_signals
from reporter.demo.questions import QUESTIONS
from reporter.demo.server import ModelServer
from reporter.errors import ConfigError
from reporter.store import Store, open_store

STEPS = 6
KILLED = "night-translation"
RUN_LOST_AFTER_SECONDS = 4

CREWS = (  # job, provider, model, calls, further options of the worker
    ("hourly-triage", "openai", "gpt-4o-mini", "50"),
    ("nightly-summaries", "anthropic", "claude-sonnet-4-5", "40"),
    ("support-drafts", "google", "gemini-2.5-flash", "25", "--stream"),
    (KILLED, "openai", "gpt-4o", "40", "--stall-after", "12"),
)

CONFIG = """\
# What `reporter demo` measures.  Yours: `reporter init` writes a commented one.
database: {database}
pushgateway: {{url: "{gateway}", new_series_delay: 1s}}
report: {{windows: [5m, 30m, 1h, 2h, 6h, 1d, 3d, 7d, 30d]}}
jobs:
  {killed}: {{max_duration: {lost_after}s}}
slos:
  - {{name: available-gold, service: llm-batch, sli: availability, objective: 99.9, period: 30d, where: {{model: "?*"}}}}
  - {{name: available-bronze, service: llm-batch, sli: availability, objective: 98, period: 30d, where: {{model: "?*"}}}}
  - {{name: triage-p95-2.5s, service: llm-batch, sli: p95 < 2.5s, period: 30d, where: {{batch_job: hourly-triage}}}}
  - {{name: summaries-p95-8s, service: llm-batch, sli: p95 < 8s, period: 30d, where: {{batch_job: nightly-summaries}}}}
"""


@dataclass(slots=True)
class Acknowledged:
    """What the workers said of their calls, each after it was recorded: status by call id."""

    statuses: dict[str, str] = field(default_factory=dict)


def tell(console: Console, database: str | None, keep: Path | None) -> None:
    """Tell the whole story.

    `database` is a URL of an empty database (None: a SQLite file of the demo's own), `keep` a directory to leave
    everything in (None: a temporary one, removed at the end).

    Raises:
        ConfigError: the directory or the database holds something already.
        DemoFailed: a part did not do what it shows.
    """
    began = time.monotonic()
    with ended_by_signals(), _directory(keep) as directory:
        url = database or f"sqlite:///{directory.resolve()}/demo.db"
        store = _empty_store(url)
        own = str(directory.resolve())
        places = {"REPORTER_SPOOL_DIR": f"{own}/spool", "XDG_CONFIG_HOME": own, "XDG_STATE_HOME": own}
        with (
            ModelServer() as server,
            Processes(
                directory, clean_environment(REPORTER_DATABASE_URL=url, OPENAI_BASE_URL=server.base_url, **places)
            ) as processes,
        ):
            Story(console, directory, store, server, processes, is_own=database is None).run()
        _say_what_next(console, time.monotonic() - began, keep, store if database else None)


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        directory = Path(mkdtemp(prefix="reporter-demo-"))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise ConfigError(f"demo: {keep} is not empty; name a new directory for --keep")
    except OSError as error:
        raise ConfigError(f"demo: {keep} can't be used: {error.strerror}") from None
    yield keep


def _empty_store(url: str) -> Store:
    """The store, at head and without a fact in it: the demo mixes its calls with nobody's."""
    migrate.upgrade(url)
    store = open_store(url)
    with store.read() as connection:
        for table in ("calls", "runs", "starts"):
            if connection.execute(text(f"SELECT 1 FROM {table} LIMIT 1")).first() is not None:
                raise ConfigError(
                    f"demo: {store.url} holds {table} already; give the demo an empty database of its own"
                )
    return store


class Story:
    """One telling."""

    def __init__(
        self, console: Console, directory: Path, store: Store, server: ModelServer, processes: Processes, *, is_own: bool
    ) -> None:  # fmt: skip
        self.console, self.directory, self.store = console, directory, store
        self.server, self.processes, self.is_own = server, processes, is_own
        self.acknowledged = Acknowledged()
        self.killed_at = 0.0
        self._step = 0

    def run(self) -> None:
        """All steps, in order."""
        self.console.print(
            Text.assemble(
                ("reporter demo", "bold"),
                ": a language model on loopback, four batch jobs, a month of history, a gateway.  All of it is real,"
                " nothing leaves this machine.",
            )
        )
        self.record()
        self.bring_history()
        self.prove()
        self.report()
        self.push()
        self.ask()

    # ── the steps ──

    def record(self) -> None:
        """Workers call the model; one is killed."""
        self.step(
            "Record", "four processes call a model that refuses 10 % and hangs at times; one is killed in mid-call"
        )
        workers = {
            crew[0]: self.processes.start(
                sys.executable, "-m", "reporter.demo.worker", *crew, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for crew in CREWS
        }
        talk = {job: _Listener(worker, self.acknowledged) for job, worker in workers.items()}
        with self.progress() as bar:
            task = bar.add_task("calls", total=sum(int(crew[3]) for crew in CREWS))
            deadline = time.monotonic() + 40
            while any(worker.poll() is None for worker in workers.values()):
                bar.update(task, completed=len(self.acknowledged.statuses))
                if self.server.stalling.wait(0.05) and not self.killed_at:
                    workers[KILLED].send_signal(signal.SIGKILL)
                    self.killed_at = time.monotonic()
                if time.monotonic() > deadline:
                    raise DemoFailed("demo: the workers did not finish within 40 s; is this machine very busy?")
                time.sleep(0.02)
        for job, listener in talk.items():
            expected = -signal.SIGKILL if job == KILLED else 0
            if listener.finish() != expected:
                raise DemoFailed(f"demo: the worker of {job} failed: {listener.trouble.strip()[-300:]}")
        if not self.killed_at:
            raise DemoFailed(f"demo: the call of {KILLED} that should be killed was never made")
        counts = Counter(self.acknowledged.statuses.values())
        said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        self.say(f"acknowledged: {said}.  {KILLED} got SIGKILL and could say nothing more.")

    def bring_history(self) -> None:
        """A month comes in as JSON Lines."""
        self.step("Bring in history", f"{DAYS} days of six jobs as JSON Lines, which any language can write")
        path = self.directory / "history.jsonl"
        write_history(path, time.time_ns())
        with path.open(encoding="utf-8") as file:
            self.say(_shortened(file.readline().strip(), self.console.width - 4))
        self.command("ingest", "--spool", "history.jsonl")

    def prove(self) -> None:
        """What was acknowledged is there, and the killed call is not forgotten."""
        self.step("Check", "nothing acknowledged is lost or counted twice, and what was killed counts as lost")
        self.configure("http://127.0.0.1:9091")
        left = self.killed_at + RUN_LOST_AFTER_SECONDS + 0.5 - time.monotonic()
        if left > 0:
            time.sleep(left)  # until the killed run's time is up
        self.run_quietly("report", "--format", "json")
        with self.store.read() as connection:
            recent = connection.execute(
                text("SELECT call_id, status FROM calls WHERE attributes LIKE '%\"document\"%'")
            ).fetchall()
            lost = connection.execute(text("SELECT call_id FROM calls WHERE status = 'lost'")).fetchall()
            runs = connection.execute(
                text("SELECT status FROM runs WHERE batch_job = :job"), {"job": KILLED}
            ).fetchall()
        expected = sorted(self.acknowledged.statuses.items())
        if sorted((row.call_id, row.status) for row in recent) != expected:
            raise DemoFailed(f"demo: {len(expected)} calls were acknowledged, the database has {len(recent)} of them")
        if len(lost) != 1 or [row.status for row in runs] != ["lost"]:
            raise DemoFailed(
                f"demo: one call and its run should be lost, not {len(lost)} and {[r.status for r in runs]}"
            )
        self.say(
            f"{len(expected)} calls acknowledged, the same {len(recent)} in the database, each once, same outcome."
        )
        self.say("1 call and 1 run lost: the kill.  They count against the SLOs instead of vanishing.")

    def report(self) -> None:
        """The table."""
        self.step("Report", "exact SLOs, burn rates, alerts and money, from one command")
        self.command("report")

    def push(self) -> None:
        """One PUT, read back."""
        self.step("Push", "the whole truth in one PUT; a gateway that forgot everything is whole again a minute later")
        gateway = self.processes.gateway()
        if gateway is None:
            target = self.directory / "reporter.prom"
            target.write_text(self.run_quietly("push", "--dry-run"), encoding="utf-8")
            series = sum(not line.startswith("#") for line in target.read_text(encoding="utf-8").splitlines())
            self.say("No Pushgateway is installed here (Debian: apt-get install prometheus-pushgateway).")
            self.say(f"What would have been pushed, {series} series, is in {target}:")
            self.series(target.read_text(encoding="utf-8"))
            return
        self.configure(gateway)
        self.say(f"a Pushgateway of our own listens at {gateway}")
        self.command("push")
        time.sleep(1.0)  # pushgateway.new_series_delay: only then counters show more than 0
        self.command("push")
        self.say("and the gateway has, among others:")
        self.series(httpx.get(f"{gateway}/metrics", trust_env=False, timeout=10).text)

    def ask(self) -> None:
        """SQL."""
        self.step("Ask", "every call is a row, so every question is SQL")
        for question in QUESTIONS:
            self.console.print()
            self.console.print(Text(f"  {question.asks}", style="bold"))
            for line in question.sql.strip().splitlines():
                self.console.print(Text(f"  {line}", style="cyan"), soft_wrap=True)
            with self.store.read() as connection:
                found = connection.execute(text(question.sql))
                table = _table(list(found.keys()), [tuple(row) for row in found])
            self.console.print(Padding(table, (0, 0, 0, 2)))

    # ── how it is told ──

    def step(self, what: str, why: str) -> None:
        self._step += 1
        self.console.print()
        self.console.print(Text.assemble((f"{self._step}/{STEPS} {what}", "bold"), f": {why}"))

    def say(self, sentence: str) -> None:
        self.console.print(Text(f"  {sentence}"))

    def command(self, *arguments: str) -> None:
        """Show a command, and run it."""
        self.console.print(Text(f"  $ reporter {' '.join(arguments)}", style="cyan"), soft_wrap=True)
        self.processes.reporter(*arguments)

    def run_quietly(self, *arguments: str) -> str:
        """Run a command for its output."""
        process = self.processes.start(
            sys.executable, "-m", "reporter", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output, trouble = process.communicate()
        if process.returncode != 0:
            raise DemoFailed(f"demo: reporter {' '.join(arguments)}: {trouble.strip()}")
        return output

    def progress(self) -> Progress:
        """A bar on stderr, on a terminal only."""
        shown = Console(stderr=True)
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
        return Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True)

    def configure(self, gateway: str) -> None:
        """Write reporter.yaml, which the commands find in their working directory."""
        own = f"sqlite:///{self.directory.resolve()}/demo.db"
        database = json.dumps(own) if self.is_own else '"${REPORTER_DATABASE_URL}"'
        (self.directory / "reporter.yaml").write_text(
            CONFIG.format(database=database, gateway=gateway, killed=KILLED, lost_after=RUN_LOST_AFTER_SECONDS),
            encoding="utf-8",
        )

    def series(self, exposed: str) -> None:
        """A few series people look for."""
        for pattern in _SHOWN_SERIES:
            found = re.search(pattern, exposed, re.MULTILINE)
            if found is None:
                raise DemoFailed(f"demo: no series {pattern} at the gateway")
            name, _, rest = found[0].partition("{")
            labels, _, value = rest.rpartition("} ")
            kept = ",".join(part for part in labels.split(",") if part.startswith(("slo=", "window=", "model=")))
            self.say((f"{name}{{{kept}}}" if kept else name or found[0]) + f" {value}")


_SHOWN_SERIES = (
    r'^slo_burn_rate\{.*slo="available-gold".*window="1h".*$',
    r'^slo_error_budget_remaining_ratio\{.*slo="available-bronze".*$',
    r'^llm_request_cost_usd_total\{.*model="claude-sonnet-4-5".*$',
    r"^reporter_lost_calls_total.*$",
)


class _Listener:
    """Hears a worker's acknowledgements while it runs, so that no pipe is ever full."""

    def __init__(self, worker: subprocess.Popen[str], acknowledged: Acknowledged) -> None:
        self.worker, self.trouble = worker, ""
        self._acknowledged = acknowledged
        self._threads = [threading.Thread(target=hear, daemon=True) for hear in (self._hear, self._hear_trouble)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> int:
        """The worker's exit code, once all it said is heard."""
        for thread in self._threads:
            thread.join(10)
        return self.worker.wait(10)

    def _hear(self) -> None:
        assert self.worker.stdout is not None
        with self.worker.stdout as lines:
            for line in lines:
                if line.endswith("}\n"):  # a kill may cut the last line
                    told = json.loads(line)
                    self._acknowledged.statuses[told["call_id"]] = told["status"]

    def _hear_trouble(self) -> None:
        assert self.worker.stderr is not None
        with self.worker.stderr as words:
            self.trouble = words.read()


def _table(names: list[str], rows: list[tuple[object, ...]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    numeric = [any(isinstance(row[at], int | float) for row in rows) for at in range(len(names))]
    for name, right in zip(names, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(name, value)) for name, value in zip(names, row, strict=True)))
    return table


def _cell(name: str, value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}" if name.endswith("_usd") else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return _MOMENT.sub(r"\1 \2", str(value))


_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)\S*")  # minutes are enough for eyes


def _shortened(line: str, most: int) -> str:
    return line if len(line) <= most else line[: most - 1] + "…"


def _say_what_next(console: Console, seconds: float, keep: Path | None, store: Store | None) -> None:
    """The person's own turn."""
    command = "reporter"
    if shutil.which("reporter") is None:
        command = str(Path(sys.executable).with_name("reporter"))
        if Path(command).is_relative_to(Path.cwd()):
            command = str(Path(command).relative_to(Path.cwd()))
    console.print()
    kept = "its files and processes are gone again." if keep is None else "to look around:"
    console.print(Text.assemble(("Done", "bold"), f" in {seconds:.0f} s; {kept}"))
    if keep is not None:
        console.print(
            Text(
                f"  cd {keep} && {shutil.which('reporter') or Path(sys.executable).with_name('reporter')} report",
                "cyan",
            ),
            soft_wrap=True,
        )
    if store is not None:
        console.print(Text(f"The demo's calls stay in {store.url}; drop that database when you have seen enough."))
    lines = (
        f"$ {command} init          # writes a commented reporter.yaml",
        "import reporter           # in your job, then, above its main function:",
        '@reporter.job("my-job")   # and above the function that calls a model:',
        '@reporter.call("chat", provider="openai", model="gpt-4o")',
        f"$ {command} report        # after a run: your SLOs, calls and cost",
    )
    console.print(Text("\nYour turn, with a job of your own:", style="bold"))
    for line in lines:
        console.print(Text(f"  {line}", style="cyan"), soft_wrap=True)
    console.print(Text("examples/batch_job.py is a whole one; crontab.example pushes every minute."))

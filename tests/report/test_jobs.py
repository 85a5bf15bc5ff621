"""Jobs are told from their runs: counts never fall, a lost run hides no earlier one, what is not evaluated is not said."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from reporter import cycle
from reporter.report.jobs import read_jobs_as_of
from reporter.report.json_form import as_json
from reporter.report.model import JobStatus
from reporter.report.runs import read_runs
from reporter.store import open_store
from tests.publish.pushing import bring_in, configured, exposed
from tests.report.effort import Effort
from tests.report.test_every_number import config_for, empty
from tests.servers import Server

NS, HOUR_NS, DAY_NS = 10**9, 3600 * 10**9, 86_400 * 10**9
AS_OF_NS = 1_790_000_040 * NS


def a_run(number: int, ended_ago_ns: int, status: str, **more: Any) -> dict[str, Any]:
    ended_ns = time.time_ns() - ended_ago_ns
    return {
        "kind": "run", "run_id": f"r-{number}", "batch_job": "nightly", "started_at_ns": ended_ns - 60 * NS,
        "ended_at_ns": ended_ns, "duration_ns": 60 * NS, "status": status, **more,
    }  # fmt: skip


def of_job(url: str) -> dict[str, float]:
    """The samples of the job at the gateway, by name and status."""
    return {
        name.removeprefix("batch_job_") + "".join(f" {value}" for label, value in labels if label == "status"): value
        for (name, labels), value in exposed(url).items()
        if name.startswith("batch_job_")
    }


def test_counts_of_runs_outlive_the_runs(database_url: str, tmp_path: Path, pushgateway: Server) -> None:
    store = open_store(database_url)
    statuses = ["failed", "timeout", "lost", "timeout", "success"]
    bring_in(store, tmp_path, [a_run(n, 30 * DAY_NS + n, status) for n, status in enumerate(statuses)])
    kept = "retention: {calls: 1d, minutes: 8d, hours: 9d, days: 10d}\nreport: {windows: [1h]}\n"
    config = configured(tmp_path, database_url, pushgateway.url, more=kept)
    cycle.push(store, config, time.time_ns())
    bring_in(store, tmp_path, [a_run(9, HOUR_NS, "success")])
    for _ in range(2):  # the first already prunes
        made = cycle.push(store, config, time.time_ns())
        assert made.held == 0
    (job,) = as_json(made.report)["jobs"]
    assert (job["failed_runs"], job["lost_runs"], job["overruns"], job["state"]) == (1, 1, 2, "ok")
    shown = of_job(pushgateway.url)
    assert {name: value for name, value in shown.items() if "_total" in name} == {
        "overruns_total": 2, "runs_total failed": 1, "runs_total lost": 1, "runs_total success": 2, "runs_total timeout": 2
    }  # fmt: skip

    past = cycle.push(store, config, time.time_ns() - 10 * DAY_NS)

    assert past.held == 0
    assert of_job(pushgateway.url)["overruns_total"] == 2
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
    cycle.push(store, config, time.time_ns())
    assert of_job(pushgateway.url)["runs_total success"] == 2


def test_a_lost_run_hides_nothing_of_the_one_before(database_url: str, tmp_path: Path, pushgateway: Server) -> None:
    store = open_store(database_url)
    done = a_run(1, 3 * HOUR_NS, "failed", exit_code=3, items=17)
    bring_in(store, tmp_path, [done, a_run(2, HOUR_NS, "lost", duration_ns=None)])
    config = configured(tmp_path, database_url, pushgateway.url)
    pushed = cycle.push(store, config, time.time_ns())
    assert pushed.report.jobs[0].state == "lost"
    shown = of_job(pushgateway.url)
    names = ("last_completion_timestamp_seconds", "last_duration_seconds", "last_exit_code", "items")
    assert [shown[name] for name in names] == [pytest.approx(done["ended_at_ns"] / 1e9, abs=1e-3), 60, 3, 17]
    assert not {"late_runs_total", "overlaps_total", "missed_runs_total"} & shown.keys()


_runs = st.lists(
    st.tuples(
        st.integers(0, 60), st.integers(0, 60), st.sampled_from(["success", "failed", "timeout", "lost", "running"]),
        st.sampled_from(["a", "b"]),
    ),
    max_size=12, unique_by=lambda run: run[0],
)  # fmt: skip


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=_runs, later=_runs, minute=st.integers(0, 130))
def test_any_runs_are_told_as_brute_force_tells_them(
    database_url: str, tmp_path: Path, first: list[Any], later: list[Any], minute: int
) -> None:
    store = open_store(database_url)
    empty(store)
    config, facts = config_for(database_url), list[dict[str, Any]]()
    for number, runs in enumerate((first, later)):
        base_ns = time.time_ns() // (60 * NS) * 60 * NS - 200 * 60 * NS + number * 60 * NS
        facts += (fresh := [_fact(base_ns, number, *run) for run in runs])
        bring_in(store, tmp_path, fresh)
        for as_of_ns in (base_ns + minute * 60 * NS, time.time_ns()):
            as_of_ns = -(-as_of_ns // (60 * NS)) * 60 * NS
            told = {job.batch_job: job for job in cycle.report(store, config, as_of_ns).jobs}
            assert told.keys() == {run["batch_job"] for run in facts if run["started_at_ns"] < as_of_ns}
            for name, job in told.items():
                _check(job, [run for run in facts if run["batch_job"] == name], as_of_ns)


def _fact(base_ns: int, number: int, start: int, minutes: int, status: str, job: str) -> dict[str, Any]:
    started_ns = base_ns + start * 60 * NS + number
    ended = {} if status == "running" else {"ended_at_ns": started_ns + minutes * 60 * NS, "duration_ns": minutes}
    identity = {"kind": "run", "run_id": f"{number}-{start}", "batch_job": job, "items": start}
    return {**identity, "started_at_ns": started_ns, "status": status, **ended}


def _check(job: JobStatus, runs: list[dict[str, Any]], as_of_ns: int) -> None:
    started = [run for run in runs if run["started_at_ns"] < as_of_ns]
    ended = [run for run in started if run.get("ended_at_ns", as_of_ns) < as_of_ns]
    done = [run for run in ended if run["status"] != "lost"]
    last = max(done, key=lambda run: (run["ended_at_ns"], run["started_at_ns"]), default=None)
    assert job.last_start_at_ns == max(run["started_at_ns"] for run in started)
    assert job.running == len(started) - len(ended)
    assert (job.last_completion_at_ns, job.last_items) == (last and last["ended_at_ns"], last and last["items"])
    succeeded = [run["ended_at_ns"] for run in ended if run["status"] == "success"]
    assert job.last_success_at_ns == max(succeeded, default=None)
    for status, count in (("failed", job.failed_runs), ("lost", job.lost_runs), ("timeout", job.overruns)):
        assert count == sum(run["status"] == status for run in ended)


def test_a_report_reads_no_more_for_a_long_history_of_runs(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    config, now_ns, effort = config_for(store.url), time.time_ns(), Effort(store)
    taken = []
    for first, end in ((0, 1_000), (1_000, 20_000)):
        with store.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO runs (run_id, batch_job, status, started_at_ns, ended_at_ns) VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        f"r-{n}",
                        f"job-{n % 3}",
                        ("failed", "success")[n % 7 > 0],
                        *(now_ns - (n - m) * 60 * NS for m in (0, 1)),
                    )
                    for n in range(first, end)
                ],
            )
        cycle.report(store, config, now_ns)
        effort.taken = 0
        told = [cycle.make_report(store, config, now_ns - ago_ns, folded=True).jobs for ago_ns in (0, HOUR_NS)]
        taken.append(effort.taken)
    assert [sum(job.runs for job in jobs) for jobs in told] == [19_999, 19_939]
    assert taken[1] < 1.5 * taken[0]


def test_the_last_runs_of_all_jobs_are_read_without_the_others(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    effort, taken = Effort(store), []
    for first, end in ((0, 1_000), (1_000, 20_000)):
        with store.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO runs (run_id, batch_job, status, folded_status, started_at_ns)"
                " VALUES (?, ?, 'failed', 'failed', ?)",
                [(f"r-{n * 7919 % 20_000}", f"job-{n % 30}", AS_OF_NS - n * NS) for n in range(first, end)],
            )
            if not first:
                connection.exec_driver_sql("INSERT INTO job_totals SELECT DISTINCT batch_job, 'failed', 1 FROM runs")
        effort.taken = 0
        with store.read() as connection:
            told = read_runs(connection, job=None, since_ns=0, as_of_ns=AS_OF_NS + 1, limit=50)
        taken.append(effort.taken)
        assert [run.started_at_ns for run in told] == [AS_OF_NS - n * NS for n in range(50)]
    assert taken[1] < 1.5 * taken[0]


def test_a_past_moment_is_asked_for_all_jobs_at_once(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    asked: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    took = []
    for jobs in (2, 30):
        now_ns = time.time_ns()
        lasted = {"started_at_ns": now_ns - 3 * HOUR_NS, "duration_ns": 2 * HOUR_NS}
        facts = [a_run(n, HOUR_NS, "success") | lasted | {"batch_job": f"job-{n}"} for n in range(jobs)]
        bring_in(store, tmp_path, facts)
        cycle.report(store, config_for(database_url), time.time_ns())
        with store.read() as connection:
            asked.clear()
            told = read_jobs_as_of(connection, now_ns - 2 * HOUR_NS, {})
        took.append(len(asked))
        assert [(job.batch_job, job.running, job.runs) for job in told] == [
            (name, 1, 0) for name in sorted(f"job-{n}" for n in range(jobs))
        ]
    assert took[0] == took[1]

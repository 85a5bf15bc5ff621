"""Airflow: each try of a task instance is one run, by a listener in the process that executes it.

Put this file into Airflow's plugins folder; the workers need `reporter` and REPORTER_DATABASE_URL.  A try whose process is
killed, by the OOM killer for instance, leaves a lost run.  One that skips itself is a success; so is the stretch of a task up
to where it defers itself or is rescheduled, and the next stretch is a run of its own: the attribute `ended` tells these.
Without a plugin, @reporter.job below @task records a Python task, and `reporter exec --job … -- …` a BashOperator's command.
Source: https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/listeners.html
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

import reporter

_runs: dict[str, Any] = {}  # of this process, by task instance and try


def _key(task_instance: Any) -> str:
    return ".".join(
        str(getattr(task_instance, name, "")) for name in ("dag_id", "task_id", "run_id", "map_index", "try_number")
    )


@hookimpl
def on_task_instance_running(previous_state: Any, task_instance: Any) -> None:
    """Begin the run; the job is `DAG.task`."""
    run = reporter.job(
        f"{task_instance.dag_id}.{task_instance.task_id}", scheduled_for=_due_at(task_instance),
        run=task_instance.run_id, try_number=task_instance.try_number, map_index=getattr(task_instance, "map_index", -1),
    )  # fmt: skip
    _runs[_key(task_instance)] = run.__enter__()


def _due_at(task_instance: Any) -> datetime | None:
    """The moment that the schedule meant, which is the end of the data's interval; none for what somebody started by hand."""
    context = task_instance.get_template_context()
    is_scheduled = getattr(context.get("dag_run"), "run_type", None) == "scheduled"
    found = context.get("data_interval_end") if is_scheduled else None
    return datetime.fromtimestamp(found.timestamp(), UTC) if found is not None else None


def _end(task_instance: Any, error: BaseException | None, **attributes: str) -> None:
    run = _runs.pop(_key(task_instance), None)
    if run is not None:
        run.set(**attributes)
        run.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:
    """End it well."""
    _end(task_instance, None)


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:
    """End it with what went wrong."""
    _end(task_instance, error if isinstance(error, BaseException) else RuntimeError(str(error)))


@hookimpl
def on_task_instance_skipped(previous_state: Any, task_instance: Any) -> None:
    """End it well: that there was nothing to do is no failure."""
    _end(task_instance, None, ended="skipped")


@hookimpl
def before_stopping(component: Any) -> None:
    """End what was not told the end of: it was deferred or is rescheduled, and goes on in another process."""
    for key in list(_runs):
        run = _runs.pop(key)
        run.set(ended="deferred or rescheduled")
        run.__exit__(None, None, None)


class ReporterPlugin(AirflowPlugin):
    """What Airflow looks for."""

    name = "reporter"
    listeners = [sys.modules[__name__]]  # noqa: RUF012  # as Airflow wants it

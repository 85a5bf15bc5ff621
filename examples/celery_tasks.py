"""Celery: each task that a worker takes up is one run, with its calls, whatever ends the worker's process.

    REPORTER_DATABASE_URL=postgresql://… celery --app celery_tasks worker

The job is the task's name; `jobs:` in reporter.yaml says how long one may take.  How its executions end:

    returns, or raises Ignore     success
    raises                        failed, with the type of what was raised; a try that asks for another one with Retry
    `task_soft_time_limit`        timeout
    `task_time_limit`, or revoked with terminate=True
                                  failed, with SystemExit: the worker's process is told to go
    the process is killed         lost, once max_duration is over
    revoked before it began       no run: nothing ran, which a schedule in `jobs:` tells as missed
"""

from __future__ import annotations

import os
from typing import Any

import celery
import celery.exceptions

import reporter


class RecordedTask(celery.Task):
    """A task whose every execution is a run."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request, ignored = self.request, None
        with reporter.job(self.name, task_id=request.id, retries=request.retries, queue=self._queue()):
            try:
                return super().__call__(*args, **kwargs)
            except celery.exceptions.Ignore as raised:  # it has no result, and did not fail
                ignored = raised
        raise ignored

    def _queue(self) -> str | None:
        found = (self.request.delivery_info or {}).get("routing_key")
        return str(found) if found else None


app = celery.Celery("celery_tasks", broker=os.environ.get("CELERY_BROKER_URL", "memory://"), task_cls=RecordedTask)


@app.task
def summarise(text: str) -> str:
    """A task like any other."""
    with reporter.call("summarise", provider="openai", model="gpt-4o-mini") as call:
        call.usage({"usage": {"prompt_tokens": len(text), "completion_tokens": 5}})
        return text[:5]

"""Celery: each task that a worker takes up is one run, with its calls, whatever ends the worker's process.

    REPORTER_DATABASE_URL=postgresql://… celery --app celery_tasks worker

The job is the task's name; `jobs:` in reporter.yaml says how long one may take.  A try that asks for another one is a run that
failed, with the error type Retry; one that `task_time_limit` ends failed with SystemExit; a process that is killed leaves a
lost run.
"""

from __future__ import annotations

import os
from typing import Any

import celery

import reporter


class RecordedTask(celery.Task):
    """A task whose every execution is a run."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        with reporter.job(self.name, task_id=request.id, retries=request.retries, queue=self._queue()):
            return super().__call__(*args, **kwargs)

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

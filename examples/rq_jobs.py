"""RQ: each job that a worker performs is one run, also in the process that RQ forks for it and ends by os._exit.

    REPORTER_DATABASE_URL=postgresql://… rq worker --job-class rq_jobs.RecordedJob

The job's name is that of its function.  Each try is a run; one that `job_timeout` ends is a timeout, and a work horse that is
killed, or stopped by `rq.command.send_stop_job_command`, leaves a lost run.
"""

from __future__ import annotations

from typing import Any

from rq.job import Job

import reporter


class RecordedJob(Job):
    """A job whose execution is a run."""

    def perform(self) -> Any:
        with reporter.job(self.func_name, job_id=self.id, queue=self.origin):
            return super().perform()


def summarise(text: str) -> str:
    """A function like any other: queue.enqueue(summarise, "…")."""
    with reporter.call("summarise", provider="openai", model="gpt-4o-mini") as call:
        call.usage({"usage": {"prompt_tokens": len(text), "completion_tokens": 5}})
        return text[:5]

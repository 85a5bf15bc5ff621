"""SLIs over the runs of batch jobs.  One small class a kind.

`job_success` and `job_duration` judge each run when it has ended; one that never did and was declared lost is bad.
`freshness` judges each minute of each job: is the last success young enough?  So a job that does not run at all burns
budget, too, which no count of runs could show.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Protocol

from pydantic import Field

from reporter.slo.durations import format_duration
from reporter.slo.fields import PositiveDuration, Spec
from reporter.slo.indicators import Predicates


class JudgedRun(Protocol):
    """What an SLI looks at: a row of `runs`, or anything else with these attributes.  NULL is None."""

    @property
    def status(self) -> str: ...
    @property
    def error_type(self) -> str | None: ...
    @property
    def duration_ns(self) -> int | None: ...


class RunIndicator(Spec):
    """An SLI over runs that ended."""

    over: ClassVar[Literal["calls", "runs", "minutes"]] = "runs"

    @abstractmethod
    def judge(self, run: JudgedRun) -> bool | None:
        """Return whether the run is good (True), bad (False) or out of total, because it still goes on (None)."""

    @abstractmethod
    def sql(self, dialect: str) -> Predicates:
        """Return the same judgement as SQL over `runs`."""

    @abstractmethod
    def describe(self) -> str:
        """Return the SLI in a few words."""


class JobSuccess(RunIndicator):
    """Good: the run succeeded.  Failed, timed out and lost ones are bad."""

    kind: Literal["job_success"] = "job_success"

    def judge(self, run: JudgedRun) -> bool | None:
        return None if run.status == "running" else run.status == "success"

    def sql(self, dialect: str) -> Predicates:
        return Predicates("status = 'success'", "status <> 'running'")

    def describe(self) -> str:
        return "job success"


class JobDuration(RunIndicator):
    """Good: the run succeeded and took no longer than this.  A success of unknown length is bad."""

    kind: Literal["job_duration"] = "job_duration"
    max_ns: PositiveDuration = Field(alias="max")

    def judge(self, run: JudgedRun) -> bool | None:
        if run.status == "running":
            return None
        return run.status == "success" and run.duration_ns is not None and run.duration_ns <= self.max_ns

    def sql(self, dialect: str) -> Predicates:
        good = f"status = 'success' AND duration_ns IS NOT NULL AND duration_ns <= {self.max_ns}"
        return Predicates(good, "status <> 'running'")

    def describe(self) -> str:
        return f"job duration <= {format_duration(self.max_ns)}"


class Freshness(Spec):
    """Good: a minute at whose end the job's last success was no older than this; bad: any other since its first run."""

    over: ClassVar[Literal["calls", "runs", "minutes"]] = "minutes"

    kind: Literal["freshness"] = "freshness"
    max_age_ns: PositiveDuration = Field(alias="max_age")

    def is_fresh(self, age_ns: int | None) -> bool:
        """Return whether a last success of that age is young enough; None: there was none."""
        return age_ns is not None and age_ns <= self.max_age_ns

    def describe(self) -> str:
        return f"freshness <= {format_duration(self.max_age_ns)}"


RUN_KINDS: tuple[type[RunIndicator] | type[Freshness], ...] = (JobSuccess, Freshness, JobDuration)
"""A kind over runs is one of these classes."""

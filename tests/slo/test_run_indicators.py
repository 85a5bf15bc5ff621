"""SLI kinds over runs: which runs and which minutes are good, bad, or no matter of the SLO."""

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from reporter.slo import SLO
from reporter.slo.run_indicators import RUN_KINDS, Freshness
from reporter.store import open_store

HOUR = 3600 * 10**9


@dataclass(frozen=True, kw_only=True)
class Run:
    status: str = "success"
    error_type: str | None = None
    duration_ns: int | None = HOUR


def slo(sli: Any, **more: Any) -> SLO:
    return SLO.model_validate({"name": "a", "sli": sli, "objective": 99, **more})


SUCCESS = "job_success"
DURATION = {"job_duration": {"max": "1h"}}
FRESHNESS = {"freshness": {"max_age": "26h"}}


@pytest.mark.parametrize(
    ("sli", "run", "judgement"),
    [
        (SUCCESS, Run(), True),
        (SUCCESS, Run(duration_ns=None), True),
        (SUCCESS, Run(status="failed"), False),
        (SUCCESS, Run(status="timeout"), False),
        (SUCCESS, Run(status="lost", duration_ns=None), False),
        (SUCCESS, Run(status="running", duration_ns=None), None),
        (DURATION, Run(), True),
        (DURATION, Run(duration_ns=HOUR + 1), False),
        (DURATION, Run(duration_ns=None), False),
        (DURATION, Run(status="failed", duration_ns=1), False),
        (DURATION, Run(status="lost", duration_ns=None), False),
        (DURATION, Run(status="running", duration_ns=None), None),
    ],
)
def test_a_run_is_judged_at_the_boundary_and_by_what_is_missing(sli: Any, run: Run, judgement: bool | None) -> None:
    assert slo(sli).judge(run) is judgement


def test_both_databases_judge_every_combination_of_boundaries_and_nulls(database_url: str) -> None:
    rows = [
        Run(status=status, error_type=error_type, duration_ns=length)
        for status, error_type, length in itertools.product(
            ["success", "failed", "timeout", "lost", "running"],
            [None, "ValueError", "it's"],
            [None, 0, HOUR, HOUR + 1],
        )
    ]
    store = open_store(database_url)
    insert = (
        "INSERT INTO runs (run_id, batch_job, started_at_ns, status, error_type, duration_ns)"
        " VALUES (:run_id, 'nightly', 0, :status, :error_type, :duration_ns)"
    )
    with store.write() as connection:
        connection.execute(text(insert), [{"run_id": f"{n:03d}", **vars(row)} for n, row in enumerate(rows)])
    for sli in (SUCCESS, DURATION):
        spec = slo(sli, exclude_error_types=["it's"])
        good, counted = spec.sql(database_url.partition(":")[0])
        query = f"SELECT CAST({good} AS INTEGER), CAST({counted} AS INTEGER) FROM runs ORDER BY run_id"
        with store.read() as connection:
            answers = [tuple(answer) for answer in connection.execute(text(query))]
        assert answers == [{True: (1, 1), False: (0, 1), None: (0, 0)}[spec.judge(row)] for row in rows]


def test_freshness_judges_an_age_inclusively_and_no_success_as_stale() -> None:
    sli = slo(FRESHNESS).sli
    assert isinstance(sli, Freshness)
    assert [sli.is_fresh(age) for age in (0, 26 * HOUR, 26 * HOUR + 1, None)] == [True, True, False, False]
    with pytest.raises(TypeError, match="judges minutes"):
        slo(FRESHNESS).judge(Run())


def test_an_slo_over_runs_counts_no_calls() -> None:
    assert not slo(SUCCESS).matches("nightly", "chat", "openai", "gpt-4o")


def test_every_kind_describes_itself_on_one_line() -> None:
    written = [SUCCESS, FRESHNESS, DURATION]
    assert [slo(sli).sli.describe() for sli in written] == ["job success", "freshness <= 1d2h", "job duration <= 1h"]
    assert len(RUN_KINDS) == len(written)

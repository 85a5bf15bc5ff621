"""Counters of SLOs over runs: every run that ended once, every minute once, whatever is folded when and changed how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reporter import cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.fold import FoldRules, fold
from reporter.lease import acquire
from reporter.store import Store, open_store
from tests.publish.pushing import bring_in

NS, MINUTE_NS = 10**9, 60 * 10**9
NOW_NS = 1_790_000_040 * NS


def configured(store: Store, *slos: dict[str, Any]) -> Config:
    return parse_config(json.dumps({"database": store.url, "slos": slos}), environ={})


def a_run(number: int, status: str, ended_ago_minutes: int, job: str = "nightly") -> dict[str, Any]:
    ended_ns = NOW_NS - ended_ago_minutes * MINUTE_NS
    told = {"kind": "run", "run_id": f"r-{number}", "batch_job": job, "started_at_ns": ended_ns - MINUTE_NS}
    return told | ({"status": status} if status == "running" else {"status": status, "ended_at_ns": ended_ns})


def folded(store: Store, config: Config, now_ns: int) -> dict[str, tuple[int, int]]:
    """(good, bad) of each SLO's counter after a fold."""
    fold(store, acquire(store, -1), config.slos, FoldRules(run_lost_after_ns=30 * MINUTE_NS), now_ns=now_ns)
    made = cycle.make_report(store, config, now_ns, folded=True)
    return {slo.slo: (int(slo.good_total), int(slo.bad_total)) for slo in made.slos}


RUNS = {"name": "runs", "sli": "job_success", "objective": 90, "period": "1d"}
NIGHTLY = {**RUNS, "name": "nightly", "where": {"batch_job": "nightly"}}
FRESH = {"name": "fresh", "sli": {"freshness": {"max_age": "30m"}}, "objective": 90, "period": "1d"}


@pytest.fixture
def store(database_url: str) -> Store:
    return open_store(database_url)


def brought(store: Store, tmp_path: Path, runs: Sequence[dict[str, Any]]) -> None:
    bring_in(store, tmp_path, list(runs))


def test_a_run_counts_once_and_one_that_came_back_is_no_longer_bad(store: Store, tmp_path: Path) -> None:
    config = configured(store, RUNS, NIGHTLY)
    brought(store, tmp_path, [a_run(1, "success", 50), a_run(2, "failed", 40, "hourly"), a_run(3, "running", 60)])
    assert folded(store, config, NOW_NS) == {"runs": (1, 2), "nightly": (1, 1)}  # r-3 ran too long: lost
    assert folded(store, config, NOW_NS) == {"runs": (1, 2), "nightly": (1, 1)}
    brought(store, tmp_path, [a_run(3, "success", 1)])
    assert folded(store, config, NOW_NS) == {"runs": (2, 1), "nightly": (2, 0)}


def test_a_new_slo_counts_the_runs_of_before_and_a_changed_one_goes_on(store: Store, tmp_path: Path) -> None:
    brought(store, tmp_path, [a_run(1, "success", 50), a_run(2, "failed", 40, "hourly")])
    assert folded(store, configured(store), NOW_NS) == {}
    assert folded(store, configured(store, RUNS), NOW_NS) == {"runs": (1, 1)}
    changed = {**RUNS, "where": {"batch_job": "hourly"}}
    assert folded(store, configured(store, changed), NOW_NS) == {"runs": (1, 1)}
    brought(store, tmp_path, [a_run(3, "failed", 1, "hourly"), a_run(4, "failed", 1)])
    assert folded(store, configured(store, changed), NOW_NS) == {"runs": (1, 2)}
    assert folded(store, configured(store, {**changed, "name": "renamed"}), NOW_NS) == {"renamed": (1, 2)}


def test_every_minute_of_freshness_counts_once_however_often_it_is_folded(store: Store, tmp_path: Path) -> None:
    config = configured(store, FRESH)
    brought(store, tmp_path, [a_run(1, "success", 50)])
    # it began 51 minutes ago and succeeded 50 minutes ago: a stale minute, 30 fresh ones, 20 stale ones
    assert folded(store, config, NOW_NS) == {"fresh": (30, 21)}
    assert folded(store, config, NOW_NS + 30 * NS) == {"fresh": (30, 21)}
    assert folded(store, config, NOW_NS + 5 * MINUTE_NS) == {"fresh": (30, 26)}
    brought(store, tmp_path, [a_run(2, "success", -6)])
    assert folded(store, config, NOW_NS + 8 * MINUTE_NS) == {"fresh": (32, 27)}
    assert folded(store, configured(store, {**FRESH, "name": "renamed"}), NOW_NS + 9 * MINUTE_NS) == {
        "renamed": (33, 27)
    }
    changed = {**FRESH, "name": "renamed", "sli": {"freshness": {"max_age": "1m"}}}
    assert folded(store, configured(store, changed), NOW_NS + 10 * MINUTE_NS) == {"renamed": (33, 27)}
    assert folded(store, configured(store, changed), NOW_NS + 11 * MINUTE_NS) == {"renamed": (33, 28)}

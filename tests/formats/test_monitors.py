"""Checks of healthchecks.io and monitors of Cronitor become jobs, or it is said why not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from reporter.config import parse_config
from reporter.errors import ConfigError
from reporter.formats import monitors
from tests.cli.console import run

CHECK = {
    "name": "Database Backup",
    "slug": "database-backup",
    "grace": 1200,
    "schedule": "15 5 * * *",
    "tz": "Europe/Riga",
}
MONITOR = {"key": "nightly", "type": "job", "schedule": "0 3 * * *", "timezone": "Europe/Berlin", "grace_seconds": 90}


def imported(directory: Path, kind: str, data: Any) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """What the command said, and the jobs that reporter.yaml takes of it."""
    file = directory / "file.json"
    file.write_text(json.dumps(data))
    done = run(directory, "import", kind, str(file))
    jobs = yaml.safe_load(done.stdout)["jobs"] if done.stdout else {}
    assert parse_config(done.stdout, environ={}).jobs.keys() == jobs.keys()
    return done, jobs


def test_checks_are_jobs_by_slug(tmp_path: Path) -> None:
    done, jobs = imported(
        tmp_path, "healthchecks", {"checks": [CHECK, {"name": "b", "schedule": "@daily", "status": "up"}]}
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert jobs == {
        "database-backup": {"schedule": "15 5 * * *", "timezone": "Europe/Riga", "start_grace": "20m"},
        "b": {"schedule": "@daily", "timezone": "UTC"},
    }


def test_a_check_without_a_schedule_is_a_job_every_so_often(tmp_path: Path) -> None:
    done, jobs = imported(tmp_path, "healthchecks", {"checks": [{"name": "sync", "timeout": 5400, "grace": 600}]})

    assert (done.returncode, jobs) == (0, {"sync": {"schedule": "every 1h30m", "start_grace": "10m"}})


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (CHECK | {"status": "paused"}, "database-backup: left out: it is paused"),
        (CHECK | {"schedule": "61 * * * *"}, "database-backup: left out: schedule has '61' for its minute"),
        (CHECK | {"tz": "Europe/Atlantis"}, "database-backup: left out: timezone "),
        ({"name": "Plain", "slug": ""}, "Plain: left out: it has neither schedule nor timeout"),
        ({}, "one without a name: left out"),
    ],
)
def test_a_check_that_cannot_be_taken_over_is_told(tmp_path: Path, check: dict[str, Any], why: str) -> None:
    done, jobs = imported(tmp_path, "healthchecks", {"checks": [check, CHECK | {"slug": "other"}]})

    assert (done.returncode, list(jobs)) == (1, ["other"])
    assert why in done.stderr


def test_two_checks_of_one_name_are_one_job_and_told(tmp_path: Path) -> None:
    done, jobs = imported(tmp_path, "healthchecks", {"checks": [CHECK, CHECK | {"grace": 60}]})

    assert (done.returncode, jobs["database-backup"]["start_grace"]) == (1, "20m")
    assert "database-backup: left out: the name is there twice" in done.stderr


@pytest.mark.parametrize(
    "data",
    [
        {"monitors": [MONITOR, {"key": "site", "type": "check", "url": "https://example.org"}]},
        {"jobs": {"nightly": {key: value for key, value in MONITOR.items() if key not in ("key", "type")}}},
    ],
)
def test_monitors_are_jobs_by_key(tmp_path: Path, data: dict[str, Any]) -> None:
    done, jobs = imported(tmp_path, "cronitor", data)

    assert jobs == {"nightly": {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "start_grace": "1m30s"}}
    assert ("site: left out: a check is no job" in done.stderr, done.returncode) in ((True, 1), (False, 0))


def test_a_heartbeat_every_so_often_has_no_zone(tmp_path: Path) -> None:
    heartbeat = {"key": "sync", "type": "heartbeat", "schedule": "every 15m", "timezone": "Europe/Berlin"}

    assert imported(tmp_path, "cronitor", {"monitors": [heartbeat]})[1] == {"sync": {"schedule": "every 15m"}}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("every 5 minutes", {"schedule": "every 5m"}),
        ("Every  1 hour", {"schedule": "every 1h"}),
        ("every 90 mins", {"schedule": "every 1h30m"}),
        ("every 1.5 hours", {"schedule": "every 1h30m"}),
        ("every 120 s", {"schedule": "every 2m"}),
        ("every day", {"schedule": "every 1d"}),
        ("every 2 weeks", {"schedule": "every 14d"}),
        ("at 10:20", {"schedule": "20 10 * * *", "timezone": "Europe/Berlin"}),
        ("0 3 * * *", {"schedule": "0 3 * * *", "timezone": "Europe/Berlin"}),
    ],
)
def test_cronitors_words_for_a_schedule_become_ours(tmp_path: Path, theirs: str, ours: dict[str, str]) -> None:
    monitor = {"key": "sync", "type": "job", "schedule": theirs, "timezone": "Europe/Berlin"}

    assert imported(tmp_path, "cronitor", {"monitors": [monitor]})[1] == {"sync": ours}


def test_a_monitors_longest_duration_is_its_jobs_and_what_else_it_asserts_is_told(tmp_path: Path) -> None:
    assertions = ["metric.duration < 5 min", "metric.error_count < 3"]
    done, jobs = imported(tmp_path, "cronitor", {"monitors": [MONITOR | {"assertions": assertions}]})

    assert (done.returncode, jobs["nightly"]["max_duration"]) == (1, "5m")
    assert done.stderr.endswith("file.json: nightly: metric.error_count < 3: left out: `jobs:` can't say it\n")


def test_a_name_that_can_be_no_label_becomes_one_and_that_is_told(tmp_path: Path) -> None:
    names = [" Nightly\n\texport\x07 ", "x" * 300, "${HOME}: # <<", "\u202e"]
    checks = [{"name": name, "timeout": 3600} for name in names]
    done, jobs = imported(tmp_path, "healthchecks", {"checks": checks})

    assert list(jobs) == ["Nightly export", "x" * 200, "${HOME}: # <<"]
    assert '# was called " Nightly\\n\\texport\\u0007 "\n' in done.stdout
    assert (done.returncode, "one without a name: left out" in done.stderr) == (1, True)


SIGNS = "aZ9 \n\t\r\x00\x07\x85\u200b\u202e\u2028é中\U0001f680:#{}[]$'\"-?<=&*!|>%@`,~\\"
LIKE_YAML = ["<<", "=", "null", "~", "1", "1.5", "yes", "? a", "- b", "a: b", "${HOME}", "$${", "#", "x" * 999]


def test_a_name_beyond_the_basic_plane_stays_what_it_is(tmp_path: Path) -> None:
    assert list(imported(tmp_path, "healthchecks", {"checks": [{"name": "\U0001f680 sync", "timeout": 60}]})[1]) == [
        "\U0001f680 sync"
    ]


ODD = st.one_of(
    st.text(SIGNS, max_size=12), st.sampled_from(LIKE_YAML), st.integers(-1, 10**20), st.booleans(), st.none(),
    st.just(1.5), st.just(["a"]),
)  # fmt: skip
SCHEDULES = st.sampled_from(
    ["0 3 * * *", "@daily", "every 15m", "every 5 minutes", "every 0 days", "at 99:99", "* * *"]
)
EXPORTED = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("slug", "name", "key", "tz", "timezone", "status", "type", "paused"), ODD),
        **dict.fromkeys(("schedule",), SCHEDULES | ODD), "schedules": st.lists(SCHEDULES | ODD, max_size=2) | ODD,
        "assertions": st.lists(st.sampled_from(["metric.duration < 5 min", "metric.duration < 0 s"]) | ODD, max_size=2) | ODD,
        **dict.fromkeys(("timeout", "grace", "grace_seconds"), st.integers(0, 10**6) | ODD),
    },
)  # fmt: skip


@given(
    st.sampled_from([("checks", monitors.healthchecks), ("monitors", monitors.cronitor)]),
    st.lists(EXPORTED, max_size=4),
)
def test_whatever_was_exported_the_configuration_takes_what_is_printed(
    tmp_path_factory: pytest.TempPathFactory, kind: tuple[str, monitors.Read], exported: list[dict[str, Any]]
) -> None:
    file = tmp_path_factory.mktemp("export") / "file.json"
    file.write_text(json.dumps({kind[0]: exported}))
    try:
        found = monitors.read(file, kind[1])
    except ConfigError:  # whole files, where their text is none
        assume(False)

    config = parse_config(found.as_yaml(), environ={})

    assert list(config.jobs) == list(found.jobs)
    assert len(found.jobs) + sum("can't say it" not in told for told in found.left_out) == len(exported)


def test_a_monitor_of_several_schedules_is_told(tmp_path: Path) -> None:
    done, jobs = imported(tmp_path, "cronitor", {"monitors": [MONITOR | {"schedules": ["0 3 * * *", "0 9 * * *"]}]})

    assert (done.returncode, jobs) == (1, {})
    assert "nightly: left out: it has several schedules" in done.stderr


@pytest.mark.parametrize("kind", ["healthchecks", "cronitor"])
@pytest.mark.parametrize("text", ['{"services": []}', "", "[1]", "{"])
def test_another_kind_of_file_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    (tmp_path / "file").write_text(text)
    done = run(tmp_path, "import", kind, "file")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("reporter: file:")

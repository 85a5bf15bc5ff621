"""reporter.yaml: where it is found, what it may say, and how its mistakes are told."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from cronsim import CronSim, CronSimError
from hypothesis import given
from hypothesis import strategies as st

import reporter.config
import reporter.metrics
from reporter import config_file
from reporter.config import Config, default_database, find_config, load_config, parse_config
from reporter.config.document import parse_document
from reporter.config.gateway import METRIC_LABELS
from reporter.errors import ConfigError
from reporter.family import Metric
from reporter.schedule.due import Cron
from reporter.sinks.open import default_url
from reporter.slo.durations import parse_duration

HOME = {"HOME": "/home/x"}
ROOT = Path(__file__).parents[1]


def read(text: str, **environ: str) -> Config:
    return parse_config(text, environ=HOME | environ)


def complaints(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(text, **environ)
    assert raised.value.exit_code == 2
    return str(raised.value).splitlines()


def test_an_empty_file_means_the_defaults() -> None:
    config = read("")
    assert config.slos == ()
    assert config.database == default_database()
    assert config.pushgateway.url == "http://localhost:9091"
    assert config.pushgateway.grouping == {"job": "reporter"}
    assert [label for label, _ in config.windows] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "7d", "30d"]
    assert config.retention.minutes_ns == parse_duration("40d")
    assert (config.report.lost_after_ns, config.lease_ns) == (parse_duration("1h"), parse_duration("30s"))
    assert config.unsupported == ()


def test_sections_left_empty_mean_their_defaults() -> None:
    assert read("database:\npushgateway:\nreport:\nslos:\njobs:\n") == read("")


def test_the_design_s_example_loads_and_all_of_it_is_acted_on() -> None:
    config = read("""
database: sqlite:///reporter.db
pushgateway: {url: http://localhost:9091, grouping: {job: reporter}, timeout: 10s}
report: {windows: [5m, 1h, 30d], labels: [batch_job, operation, provider, model], max_values_per_label: 100}
retention: {calls: 35d, minutes: 40d, hours: 400d, days: 5y}
jobs:
  nightly: {schedule: "0 3 * * *", timezone: Europe/Berlin, start_grace: 10m, max_duration: 2h, max_concurrent: 1}
  plain: {max_duration: 2h}
slos:
  - name: chat-latency-silver
    service: llm-batch
    sli: {latency: {threshold: 2.5s}}
    where: {operation: chat, model: "claude-*", batch_job: nightly-*}
    objective: 95
    period: 30d
budgets:
  - {name: llm-month, usd: 500, calendar: month, timezone: UTC, where: {provider: anthropic}}
exclusions:
  - {from: 2026-11-01T02:00:00Z, to: 2026-11-01T04:00:00Z, slos: ["chat-*"], reason: provider maintenance}
""")
    assert config.jobs["plain"].max_duration_ns == parse_duration("2h")
    assert config.expected["nightly"].schedule == Cron("0 3 * * *", "Europe/Berlin")
    assert config.unsupported == ()
    assert [label for label, _ in config.windows] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]


def test_the_example_is_the_starter_and_has_three_tiers_without_warnings() -> None:
    example = ROOT / "examples" / "reporter.yaml"
    assert example.read_bytes() == (Path(reporter.config.__file__).parent / "starter.yaml").read_bytes()
    config = load_config(example, HOME)
    assert config.unsupported == ()
    assert [(slo.name, float(slo.objective), slo.sli.describe()) for slo in config.slos] == [
        ("gold-latency", 50, "latency <= 500ms"),
        ("gold-availability", 99.9, "availability"),
        ("silver-latency", 95, "latency <= 2.5s"),
        ("silver-availability", 99, "availability"),
        ("bronze-latency", 99, "latency <= 8s"),
        ("bronze-availability", 95, "availability"),
    ]


def test_what_the_starter_shows_commented_out_is_the_default() -> None:
    text = (ROOT / "examples" / "reporter.yaml").read_text(encoding="utf-8")
    for section in ("report", "retention"):
        commented = re.search(rf"^# {section}:.*\n(?:#   .*\n)+", text, re.MULTILINE)
        assert commented is not None
        shown = re.sub("^# ", "", commented[0], flags=re.MULTILINE)
        explicit, default = read(shown), read("")
        assert (explicit.lease_ns, getattr(explicit, section)) == (
            default.lease_ns,
            getattr(default, section).model_copy(
                update={"lease_ns": explicit.report.lease_ns} if section == "report" else {}
            ),
        )


def test_every_mistake_is_told_at_once_with_line_and_field() -> None:
    no_budget = "must be percent between 0 and 100, both excluded, not 100; it leaves no budget"
    assert complaints("""pushgatway: {url: x}
report:
  windows: [5m, 0m, 90s]
  labels: [modle]
slos:
  - name: a
    sli: {latency: {treshold: 2s}}
    objective: 100
    wher: {}
  - name: a
    sli: availability
    objective: 0.95
    objective: 3
  - name: ${NOPE}
    sli: p95 < 2.5s
  - 3
jobs:
  n: {timezone: Mars/X}
""") == [
        "reporter.yaml:1: pushgatway: unknown key; did you mean pushgateway?",
        "reporter.yaml:3: report.windows[1]: must be longer than 0",
        "reporter.yaml:3: report.windows[2]: must be whole minutes, because calls are tallied by the minute; not 1m30s",
        "reporter.yaml:4: report.labels[0]: must be 'batch_job', 'operation', 'provider' or 'model'",
        "reporter.yaml:7: slos[0].sli.latency.threshold: is required",
        "reporter.yaml:7: slos[0].sli.latency.treshold: unknown key; did you mean threshold?",
        f"reporter.yaml:8: slos[0].objective: {no_budget}",
        "reporter.yaml:9: slos[0].wher: unknown key; did you mean where?",
        "reporter.yaml:10: slos[1].name: 'a' is the name of slos[0] already",
        "reporter.yaml:13: slos[1].objective: is there twice; first on line 12",
        "reporter.yaml:14: slos[2].name: the environment variable NOPE is not set",
        "reporter.yaml:16: slos[3]: must be a mapping",
        "reporter.yaml:18: jobs.n.timezone: 'Mars/X' is no time zone known here; write one like Europe/Berlin or UTC",
    ]


@pytest.mark.parametrize(
    ("text", "place_and_why"),
    [
        ("databse: x", "databse: unknown key; did you mean database?"),
        ("zzz: 1", "zzz: unknown key; there are database"),
        ("pushgateway: {timout: 1s}", "pushgateway.timout: unknown key; did you mean timeout?"),
        ("slos: [{where: {modell: a}}]", "slos[0].where.modell: unknown key; did you mean model?"),
        ("slos: [{alerts: [{sever: page}]}]", "slos[0].alerts[0].sever: unknown key; did you mean severity?"),
        ("jobs: {a: {max_durations: 1h}}", "jobs.a.max_durations: unknown key; did you mean max_duration?"),
        ("exclusions: [{form: 1}]", "exclusions[0].form: unknown key; did you mean from?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(text: str, place_and_why: str) -> None:
    assert any(place_and_why in complaint for complaint in complaints(text))


@pytest.mark.parametrize(
    ("text", "place_and_why"),
    [
        ("retention: {minutes: 29d}", "retention.minutes: must be at least the longest window, 30d, not 29d"),
        ("retention: {hours: 29d}", "retention.hours: must be at least"),
        (
            "slos: [{name: a, sli: availability, objective: 9, period: 90d}]",
            "slos[0].period: needs tallies for 90d: write retention: {minutes: 90d}",
        ),
        ("report: {windows: []}", "report.windows: must not be empty"),
        ("report: {windows: [1h, 60m]}", "report.windows: 1h is there twice"),
        ("report: {max_values_per_label: 0}", "report.max_values_per_label: must be at least 1"),
        ("report: {max_values_per_label: true}", "must be a number, not true or false"),
        ("report: {lost_after: 3600}", "report.lost_after: must be a duration with its unit"),
        ("pushgateway: {url: ftp://x}", "pushgateway.url: must be an http or https URL"),
        ("pushgateway: {url: 'http://u:p@localhost'}", "pushgateway.url: must hold no credentials"),
        ("pushgateway: {grouping: {job: a, le: b}}", "pushgateway.grouping.le: is a label of the metrics"),
        ("pushgateway: {grouping: {env: a}}", "pushgateway.grouping: needs job"),
        ("pushgateway: {grouping: {job: a, a-b: c}}", "pushgateway.grouping.a-b: is no label name"),
        ("pushgateway: {grouping: {job: 3}}", "pushgateway.grouping.job: must be text; quote it"),
        ("pushgateway: {username: a}", "pushgateway.username: needs password_file"),
        ("pushgateway: {password: a}", "pushgateway.username: is missing beside the password"),
        (
            "pushgateway: {username: a, password: b, password_file: c}",
            "pushgateway.password_file: contradicts password",
        ),
        ("pushgateway: {username: a, password: b, bearer_token_file: c}", "bearer_token_file: contradicts username"),
        ("pushgateway: {client_key: a}", "pushgateway.client_key: needs client_cert"),
        ("pushgateway: {url: 'http://gw', username: a, password: b}", "pushgateway.url: must be https"),
        ("database: mysql://x/y", "database: must be a URL like sqlite:///jobs.db"),
        ("database: sqlite://jobs.db", "database: must have three slashes"),
        ("jobs: {a: {schedule: daily}}", "jobs.a.schedule: must be a cron expression of five fields"),
        ("jobs: {a: {schedule: '61 * * * *'}}", "jobs.a.schedule: has '61' for its minute: must be 0-59"),
        ("jobs: {a: {schedule: '0 0 31 4,6 *'}}", "jobs.a.schedule: never comes: within 50 years no day is"),
        ("jobs: {a: {schedule: '0 0 30 2 *'}}", "jobs.a.schedule: never comes"),
        ("jobs: {a: {schedule: every 5s}}", "jobs.a.schedule: must be every minute or longer, not 'every 5s'"),
        ("jobs: {a: {schedule: every day}}", "jobs.a.schedule: 'day' is no duration"),
        ("jobs: {a: {schedule: '@daily', timezone: Mars}}", "jobs.a.timezone: 'Mars' is no time zone known here"),
        ("jobs: {a: {schedule: every 1h, timezone: UTC}}", "jobs.a.timezone: belongs to a schedule that is a cron"),
        ("jobs: {a: {start_grace: 5m}}", "jobs.a.start_grace: belongs to a schedule, and there is none"),
        ("jobs: {a: {min_duration: 2h, max_duration: 2h}}", "jobs.a.min_duration: must be shorter than max_duration"),
        ("jobs: {a: {max_concurrent: 0}}", "jobs.a.max_concurrent: must be at least 1"),
        ("jobs:\n  a: {max_duration: 1h}\n  a: {max_duration: 2h}", "reporter.yaml:3: jobs.a: is there twice"),
        ("budgets: [{name: a, usd: 5}]", "budgets[0]: must say either period"),
        ("budgets: [{name: a, usd: 0, period: 1d}]", "budgets[0].usd: must be above 0"),
        ("budgets: [{name: a, usd: 0.0000000001, period: 1d}]", "budgets[0].usd: must be whole nano-dollars"),
        ("budgets: [{name: a, usd: 1e10, period: 1d}]", "budgets[0].usd: must be at most 9,000,000,000"),
        ("budgets: [{name: a, usd: 5, period: 1d, calendar: day}]", "budgets[0]: must say either period"),
        ("budgets: [{name: a, usd: 5, calendar: year}]", "budgets[0].calendar: must be 'day', 'week', 'month' or"),
        ("budgets: [{name: a, usd: 5, period: 1d, timezone: UTC}]", "budgets[0].timezone: belongs to calendar"),
        ("budgets: [{name: a, usd: 5, calendar: day, timezone: Mars}]", "budgets[0].timezone: 'Mars' is no time zone"),
        (
            "budgets: [{name: a, usd: 5, calendar: week, alerts: [{severity: page, long: 8d, short: 1h, factor: 2}]}]",
            "budgets[0].alerts[0]: the long window (8d) is longer than the period (7d)",
        ),
        (
            "budgets: [{name: a, usd: 5, period: 7d, alerts: [{severity: page, long: 1h, short: 1h, factor: 2}]}]",
            "budgets[0].alerts[0]: the short window (1h) must be shorter than the long one (1h)",
        ),
        (
            "budgets: [{name: a, usd: 5, period: 7d, alerts: ["
            + ", ".join(["{severity: page, long: 1h, short: 5m, factor: 2}"] * 2)
            + "]}]",
            "budgets[0].alerts[1]: page 1h/5m is there twice",
        ),
        (
            "budgets: [{name: a, usd: 5, period: 50d}]",
            "budgets[0].period: needs tallies for 50d: write retention: {minutes: 50d} or more, it is 40d",
        ),
        (
            "budgets: [{name: a, usd: 5, calendar: quarter, timezone: Asia/Kolkata}]",
            "budgets[0].calendar: needs tallies for 93d: write retention: {minutes: 93d} or more, it is 40d",
        ),
        (
            "retention: {hours: 60d}\nbudgets: [{name: a, usd: 5, calendar: quarter}]",
            "budgets[0].calendar: needs tallies for 92d: write retention: {hours: 92d} or more, it is 60d",
        ),
        (
            "exclusions: [{from: 2026-11-01T02:00:00, to: 2026-11-02T00:00:00Z, reason: a}]",
            "exclusions[0].from: must say",
        ),
        (
            "exclusions: [{from: 2026-11-02T00:00:00Z, to: 2026-11-01T00:00:00Z, reason: a}]",
            "exclusions[0].to: must be later",
        ),
        (
            "exclusions: [{from: 2026-13-02T00:00:00Z}]",
            "exclusions[0].from: '2026-13-02T00:00:00Z' is no valid timestamp",
        ),
        ("slos: {a: b}", "slos: must be a list"),
        ("slos: [{name: a, sli: availability}]", "slos[0].objective: is required"),
        ("slos: [{name: a, sli: freshness, objective: 9}]", "slos[0].sli.freshness.max_age: is required"),
        (
            "slos: [{name: a, sli: availability, objective: 9, calendar: quarter}]\nretention: {hours: 90d}",
            "retention.hours: must be at least the longest window, 92d (of the SLO a), not 90d",
        ),
        (
            "slos: [{name: a, sli: availability, objective: 9, calendar: quarter, method: timeslices}]",
            "slos[0].calendar: needs tallies for 92d: write retention: {minutes: 92d}",
        ),
        ("- 1", "must be a mapping"),
        ("400: x", "the key '400' is no text; quote it"),
        ("? [a]\n: b", "is no text; quote it"),
        ("a: 1\n---\nb: 2", "is no valid YAML: but found another document"),
        ("a: [1", "is no valid YAML"),
        ("a: \x07", "is no valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not allowed here"),
        ("a: 1" + ":1" * 50_000, "is no valid int"),
        ("a: !!binary aGk=", "is not allowed here"),
        ('database: "\\ud800"', "database: holds a lone surrogate or a NUL"),
    ],
)
def test_what_can_not_be_meant_is_refused_where_it_stands(text: str, place_and_why: str) -> None:
    told = complaints(text)
    assert any(place_and_why in complaint for complaint in told), told
    assert all(re.match(r"reporter\.yaml:\d+: ", complaint) for complaint in told)


def test_an_alert_that_can_never_fire_is_told_with_the_ceiling() -> None:
    [complaint] = complaints("""slos:
  - name: a
    sli: availability
    objective: 95
    alerts:
      - {severity: page, long: 1h, short: 5m, factor: 20}
""")
    assert complaint.startswith("reporter.yaml:6: slos[0].alerts[0]: factor 20 can never be exceeded")
    assert "at most 20" in complaint


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
        "a: &a {x: 1}\n" + "".join(f"a{n}: &b{n} {{<<: [{','.join(['*a'] * 50)}]}}\n" for n in range(1000)),
    ],
)
def test_a_bomb_is_refused_soon(bomb: str) -> None:
    started = time.process_time()
    [complaint] = complaints(bomb)
    assert "nested deeper than" in complaint or "once its aliases are followed" in complaint
    assert time.process_time() - started < 10


def test_a_file_of_more_than_a_megabyte_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "reporter.yaml"
    file.write_bytes(b"# " + b"x" * (1 << 20))
    with pytest.raises(ConfigError, match="larger than"):
        load_config(file, HOME)


def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "reporter.yaml"
    file.write_bytes(b"database: sqlite:///a\n# \xff\n")
    with pytest.raises(ConfigError, match=r"reporter\.yaml:2: is not UTF-8"):
        load_config(file, HOME)


def test_anchors_and_merges_mean_what_they_mean_in_yaml() -> None:
    first, second = read("""slos:
  - &tier {name: a, sli: availability, objective: 99, where: {model: x}}
  - {<<: *tier, name: b, objective: 90}
""").slos
    assert second == first.model_copy(update={"name": "b", "objective": Decimal(90)})


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), plain_values))
def test_plain_yaml_is_read_as_safe_load_reads_it(data: dict[str, Any]) -> None:
    text = yaml.safe_dump(data, allow_unicode=True).replace("${", "$${")
    document = parse_document(text, "a.yaml", {})
    assert document.problems == []
    assert document.data == data


def test_variables_are_expanded_and_a_doubled_dollar_is_not() -> None:
    config = read("database: sqlite:///${NAME}-$${NAME}-$5.db", NAME="jobs")
    assert config.database == "sqlite:///jobs-${NAME}-$5.db"


@pytest.mark.parametrize("written", ["${}", "${A-B}", "${A", "${1A}"])
def test_a_malformed_variable_is_refused(written: str) -> None:
    [complaint] = complaints(f"database: 'sqlite:///{written}'", A="x")
    assert complaint.startswith("reporter.yaml:1: database: ${ must be followed by")


def test_the_environment_s_database_wins() -> None:
    assert read("database: sqlite:///a.db", REPORTER_DATABASE_URL="sqlite:///b.db").database == "sqlite:///b.db"


def test_a_senseless_database_in_the_environment_is_told_without_its_password() -> None:
    with pytest.raises(ConfigError, match="REPORTER_DATABASE_URL: must be a URL") as raised:
        read("", REPORTER_DATABASE_URL="oracle://user:canary@host/db")
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("variables", [{}, {"XDG_STATE_HOME": "/state"}, {"HOME": "/nowhere", "XDG_STATE_HOME": ""}])
def test_without_settings_the_reporter_reads_what_the_recorder_writes(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPORTER_DATABASE_URL", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_database() == default_url()


def test_secrets_are_in_no_repr_and_no_message(tmp_path: Path) -> None:
    text = """database: postgresql://u:canary-1@host/db?password=canary-2
pushgateway: {url: "https://gw", username: u, password: "${PASSWORD}"}
"""
    config = read(text, PASSWORD="canary-3")
    assert config.pushgateway.read_password() == "canary-3"
    shown = [repr(config), str(config), config.masked_database, *complaints(text + "x: 1", PASSWORD="canary-3")]
    shown += complaints(text.replace("username: u, ", ""), PASSWORD="canary-3")
    shown += complaints(text.replace("postgresql", "oracle"), PASSWORD="canary-3")
    assert "canary" not in " ".join(shown)
    assert config.masked_database == "postgresql://u:***@host/db"
    odd = read("database: postgresql://u:ca@nary?canary@host/db")
    assert odd.masked_database == "postgresql://u:***@host/db"


def test_secret_files_are_found_beside_the_config_and_read_when_needed(tmp_path: Path) -> None:
    file = tmp_path / "reporter.yaml"
    file.write_text("pushgateway: {username: u, password_file: secret}\n", encoding="utf-8")
    gateway = load_config(file, HOME).pushgateway
    assert gateway.password_file == tmp_path / "secret"
    with pytest.raises(ConfigError, match=r"secret: can't be read as pushgateway\.password_file"):
        gateway.read_password()
    (tmp_path / "secret").write_text("s3cret\n", encoding="utf-8")
    assert gateway.read_password() == "s3cret"
    (tmp_path / "secret").write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="one line of text"):
        gateway.read_password()
    assert gateway.read_bearer_token() is None


def test_the_file_is_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, by_variable, here, home = (tmp_path / name for name in ("a.yaml", "b.yaml", "cwd/reporter.yaml", "reporter"))
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    assert find_config(None, environ) is None
    home.mkdir()
    (home / "reporter.yaml").touch()
    assert find_config(None, environ) == home / "reporter.yaml"
    here.touch()
    assert find_config(None, environ) == Path("reporter.yaml")
    by_variable.touch()
    assert find_config(None, environ | {"REPORTER_CONFIG": str(by_variable)}) == by_variable
    named.touch()
    assert find_config(named, environ | {"REPORTER_CONFIG": str(by_variable)}) == named
    assert load_config(named, environ).source == named


_LINES = (
    "database: sqlite:///a.db", "database: 'sqlite:///a.db'", 'database: "sqlite:///${NAME}.db" # b',
    "database: sqlite:///a b.db", "database: sqlite:///a#b.db", "database: 'sqlite:///a''b.db'",
    "database: sqlite:///$${a}.db", "database:", "database: |", "database: sqlite:///${NOT}.db",
    "database : sqlite:///c.db", "  sqlite:///d.db", '"database": sqlite:///e.db', "  more",
    "# database: sqlite:///f.db", "x: 'a", "y: b'", 'x: "\\', 'y: "', "x: {a: b,", "y: c}", "x: |", "x: &a b", "<<: *a",
    "---", "...", "slos: []", "z: 1", "- a", "x:\r", "w: plain", "  database: sqlite:///g.db", "\t", "",
    "# a\rdatabase: sqlite:///h.db", "v: a\u2028database: sqlite:///i.db", "database: !!str sqlite:///j.db",
    "database: sqlite:///k.db,", "? database", ": sqlite:///l.db",
)  # fmt: skip


@given(st.lists(st.sampled_from(_LINES), max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_what_is_read_without_a_yaml_reader_is_what_that_reads(lines: list[str], end: str) -> None:
    text, environ = end.join(lines), {"NAME": "named"}
    try:
        told = config_file.database_in(text, environ)
        document = parse_document(text, "reporter.yaml", environ)
    except (config_file.Unclear, ConfigError):
        return
    if not document.problems:  # `reporter push` would tell them
        assert told == document.data.get("database")


@pytest.mark.parametrize("variable", ["", "REPORTER_CONFIG"])
def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path, variable: str) -> None:
    missing = tmp_path / "nowhere.yaml"
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(None if variable else missing, HOME | ({variable: str(missing)} if variable else {}))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read("").report.lease_ns = 1


def test_a_group_can_have_no_label_that_metrics_have() -> None:
    metrics = [value for value in vars(reporter.metrics).values() if isinstance(value, Metric)]
    ours = {label for metric in metrics for label in metric.labels} | {"batch_job", "operation", "provider", "model"}
    assert ours <= METRIC_LABELS
    for label in sorted(ours):
        with pytest.raises(ConfigError, match=f"pushgateway.grouping.{label}: is a label of the metrics"):
            parse_config(f"pushgateway: {{grouping: {{job: reporter, {label}: x}}}}", environ={})


@pytest.mark.parametrize("url", ["foo", "mysql://u@h/x", "sqlite:///:memory:", "sqlite:///", "sqlite://x.db"])
def test_a_database_is_refused_wherever_it_is_named(tmp_path: Path, url: str) -> None:
    (tmp_path / "reporter.yaml").write_text(json.dumps({"database": url}))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPORTER_")}
    for arguments, more in (
        (["--database", url, "check"], {}),
        (["check"], {"REPORTER_DATABASE_URL": url}),
        (["--config", str(tmp_path / "reporter.yaml"), "check"], {}),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "reporter", *arguments], env={**environment, **more}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "must " in done.stderr


_item = st.one_of(
    st.just("*"),
    st.integers(0, 65).map(str),
    st.tuples(st.integers(0, 65), st.integers(0, 65)).map(lambda span: f"{span[0]}-{span[1]}"),
    st.sampled_from(
        [
            "mon",
            "SUN",
            "MON-FRI",
            "FRI-MON",
            "SAT-SUN",
            "jan",
            "DEC",
            "JAN-MAR",
            "x",
            "",
            "-",
            "1-",
            "-1",
            "1-2-3",
            "१",
            "L",
            "LW",
            "5L",
            "MON#2",
            "5#6",
        ]
    ),
)
_step = st.sampled_from(["", "", "", "/2", "/0", "/", "/x"])
_field = st.lists(st.builds(str.__add__, _item, _step), min_size=1, max_size=2).map(",".join)


@given(place=st.integers(0, 4), field=_field)
def test_a_schedule_is_refused_exactly_when_cronsim_refuses_it(place: int, field: str) -> None:
    fields = ["*"] * 5
    fields[place] = field
    schedule = " ".join(fields)
    try:
        CronSim(schedule, datetime(2026, 1, 1))
        known = True
    except CronSimError:
        known = False
    try:
        parse_config(yaml.safe_dump({"jobs": {"a": {"schedule": schedule}}}), environ={})
        accepted = True
    except ConfigError:
        accepted = False
    assert accepted == known

"""`reporter check PATH`, as a person runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.check.files import generate
from tests.cli.console import run, run_on_terminal

SLOS = "slos: [{name: up, sli: availability, objective: 99.9, period: 30d}]\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return generate(tmp_path, SLOS)


def test_what_was_generated_is_fine_and_each_file_says_what_it_is(tmp_path: Path, out: Path) -> None:
    (out / "README.md").write_text("ours\n")
    (out / "values.yaml").write_text("replicas: 3\n")
    (out / "targets.json").write_text('[{"targets": ["a:1"]}]\n')
    (out / ".hidden.yaml").write_text("groups: 3\n")
    done = run(tmp_path, "check", "out")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    lines = done.stdout.splitlines()
    assert "out/datasources/reporter.yaml: fine; Grafana data sources, 1 datasource" in lines
    assert sum(1 for line in lines if ": fine; " in line) == 14
    assert lines[-3:] == [
        "out/README.md: left out; ends with none of .yaml, .yml, .json",
        "out/targets.json: left out; of no kind that is known",
        "out/values.yaml: left out; of no kind that is known",
    ]


def test_everything_that_is_wrong_is_told_at_once_in_order_and_is_exit_2(tmp_path: Path, out: Path) -> None:
    board, alerts, rules = (
        out / "dashboards/reporter/reporter-slo.json",
        out / "alerting/reporter.yaml",
        out / "reporter.rules.yml",
    )
    board.write_text(board.read_text().replace('"lineWidth"', '"lineWidht"', 2))
    alerts.write_text(
        alerts.read_text().replace("interval: 1m", "interval: 15s", 1).replace("  folder: reporter\n", "", 1)
    )
    rules.write_text(rules.read_text().replace("groups:", "grups:", 1))
    (out / "torn.json").write_text('{"panels": [\n')
    done = run(tmp_path, "check", "out")
    assert done.returncode == 2
    told = done.stderr.splitlines()
    places = [line.split(": ")[0] for line in told[:-1]]
    assert [place.partition(":")[0] for place in places] == [
        "out/alerting/reporter.yaml", "out/alerting/reporter.yaml",
        "out/dashboards/reporter/reporter-slo.json", "out/dashboards/reporter/reporter-slo.json",
        "out/reporter.rules.yml", "out/torn.json",
    ]  # fmt: skip
    assert told[0].startswith("out/alerting/reporter.yaml:4: groups[0]: the group has no folder, which it needs")
    assert "out/reporter.rules.yml:1: was generated, but has no key that tells its kind: generate it again" in told
    assert "out/torn.json:2: is no valid JSON: it ends in the middle" in told
    assert told[-1] == "reporter: 6 complaints about 4 files of 15"
    assert "out/prometheus.yml: fine; " in done.stdout
    assert "reporter-slo.json" not in done.stdout


def test_as_json_it_tells_the_same(tmp_path: Path, out: Path) -> None:
    (out / "notes.txt").write_text("")
    sources = out / "datasources/reporter.yaml"
    sources.write_text(sources.read_text().replace("access: proxy", "access: server"))
    done = run(tmp_path, "check", "--format", "json", "out")
    told = json.loads(done.stdout)
    assert done.returncode == 2
    (complaint,) = told["complaints"]
    why = "'server' is not what may stand here; there are direct, proxy"
    expected = {"file": "out/datasources/reporter.yaml", "field": "datasources[0].access", "why": why}
    assert complaint == {**expected, "line": complaint["line"]}
    assert sources.read_text().splitlines()[complaint["line"] - 1].strip() == "access: server"
    assert {"file": "out/prometheus.yml", "kind": "Prometheus configuration", "counts": {"scrape config": 1}} in told[
        "files"
    ]
    assert told["left_out"] == [{"file": "out/notes.txt", "why": "ends with none of .yaml, .yml, .json"}]


def test_files_can_be_named_and_what_they_do_not_tell_is_not_asked_for(tmp_path: Path, out: Path) -> None:
    done = run(tmp_path, "check", "out/alerting/reporter.yaml", "out/prometheus.yml", "reporter.yaml")
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 3)
    assert "reporter.yaml: fine; 1 SLO" in done.stdout.splitlines()


def test_a_file_of_no_known_kind_that_is_named_is_refused(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("replicas: 3\n")
    done = run(tmp_path, "check", "values.yaml")
    assert done.returncode == 2
    assert (
        "values.yaml:1: is of no kind that is known: neither reporter.yaml's, Sloth's nor OpenSLO's, nor one that"
        in done.stderr
    )


def test_a_directory_with_nothing_to_check_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run(tmp_path, "check", "empty")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "reporter: empty: has no file that can be checked; `reporter generate grafana -o empty` writes some,"
        " and `reporter check` alone reads reporter.yaml\n"
    )
    missing = run(tmp_path, "check", "nowhere")
    assert (missing.returncode, missing.stderr.startswith("nowhere: can't be read: No such file or directory\n")) == (
        2,
        True,
    )


def test_a_pipe_in_a_directory_is_left_out_and_nobody_waits(tmp_path: Path, out: Path) -> None:
    os.mkfifo(out / "pipe.yaml")
    done = run(tmp_path, "check", "out")
    assert done.returncode == 0
    assert "out/pipe.yaml: left out" in done.stdout


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("bomb.yaml", "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ) + "groups: *i\n", "once its aliases are followed"),
        ("deep.json", '{"panels": ' + "[" * 100_000, "levels"),
        ("deep.yaml", "groups: " + "[" * 1000, "nested deeper than"),
        ("twice.json", '{"panels": [],\n "uid": "a", "title": "t",\n "uid": "b"}',
         "twice.json:3: uid: is there twice; first on line 2"),
        ("comma.json", '{"panels": [],}', "comma.json:1: is no valid JSON: a key in quotes is expected"),
        ("nan.json", '{"panels": [],\n"id": NaN}', "nan.json:2: is no valid JSON: a value is expected"),
        ("deep.yml", "groups: [{name: a, rules: [{alert: a, expr: '" + "(" * 60_000 + "1" + ")" * 60_000 + "'}]}]",
         "has more than 500 operators and parentheses"),
        ("chain.yml", "groups: [{name: a, rules: [{alert: a, expr: '" + "up+" * 60_000 + "up'}]}]",
         "has more than 500 operators and parentheses"),
        ("two.yml", "groups: []\n---\ngroups: []\n", "two.yml:1: holds 2 documents, and only the first is read"),
        ("list.yaml", "groups: {a: 1}\n", "list.yaml:1: groups: must be a list"),
        ("null.yaml", "apiVersion: 1\ngroups:\n- null\n- {name: a, folder: b, interval: 1m, rules: [7]}\n",
         "null.yaml:4: groups[1].rules[0]: must be a mapping"),
    ],
)  # fmt: skip
def test_what_is_hostile_or_broken_is_told_in_one_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    done = run(tmp_path, "check", name)
    assert done.returncode == 2, done.stderr[-500:]
    assert any(said in line for line in done.stderr.splitlines()), done.stderr[:1_000]
    assert "Traceback" not in done.stderr


def test_what_a_terminal_would_obey_does_not_reach_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('groups: [{name: a, "ru\\e[31mles": []}]\n')
    done = run(tmp_path, "check", "a.yaml")
    assert (done.returncode, "\x1b" in done.stderr) == (2, False)


def test_on_a_narrow_terminal_places_stay_in_one_piece(tmp_path: Path, out: Path) -> None:
    code, seen = run_on_terminal(tmp_path, "check", "out/prometheus.yml", columns=20)
    assert (code, seen) == (0, "out/prometheus.yml: fine; Prometheus configuration, 1 scrape config\n")

"""Whatever reporter.yaml says, nothing is said of what is generated from it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reporter.check import complaints_of
from reporter.check.found import find
from reporter.check.json_text import parse_json
from reporter.cli.root import root
from reporter.errors import ConfigError

NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("C", "Z")), min_size=1, max_size=30
).filter(lambda name: name.strip() == name and name)
HOSTILE = st.sampled_from(
    ["a", "{{ .x }}", "$HOME", "${HOME}", "$$", 'quo"te', "back\\slash", "per%cent", "it's", "a: b #c", "é", "%q"]
)
LABELS = st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), HOSTILE | NAMES, max_size=2)
SLIS = st.sampled_from(
    ["availability", "p95 < 2.5s", {"latency": {"threshold": "300ms"}}, {"time_to_first_token": {"threshold": "1s"}},
     {"throughput": {"min_tokens_per_second": 30}}, {"cost": {"max_usd": "0.05"}}]
)  # fmt: skip


@st.composite
def slo(draw: st.DrawFn, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": f"{draw(HOSTILE)} {number}",
        "service": draw(HOSTILE),
        "sli": draw(SLIS),
        "period": draw(st.sampled_from(["7d", "28d", "30d"])),
        "min_bad_events": draw(st.integers(0, 9)),
        "labels": draw(LABELS),
        "description": draw(HOSTILE | NAMES),
        "runbook": f"https://example.org/{draw(HOSTILE)}",
    }
    if found["sli"] != "p95 < 2.5s":
        found["objective"] = draw(st.sampled_from([50, 90, 99, 99.9, 99.995]))
    return {key: json.loads(json.dumps(value).replace("${", "$${")) for key, value in found.items()}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "pushgateway": {"grouping": draw(st.sampled_from([{"job": "reporter"}, {"job": "a b", "zone": 'x"y'}]))},
        "report": {
            "windows": draw(
                st.sampled_from([["5m", "1h", "1d"], ["10m"], ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "7d", "30d"]])
            ),
            "labels": draw(
                st.sampled_from([["batch_job"], ["model"], ["batch_job", "operation", "provider", "model"]])
            ),
        },
        "slos": [draw(slo(number)) for number in range(draw(st.integers(0, 2)))],
        "budgets": [{"name": draw(HOSTILE).replace("${", "$${"), "usd": 5, "calendar": "month"}]
        * draw(st.integers(0, 1)),
    }


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(documents())
def test_nothing_is_said_of_what_is_generated(document: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = directory / "reporter.yaml"
        config.write_text(yaml.safe_dump(document, allow_unicode=True))
        for command in (["prometheus", "--from-counters"], ["alertmanager"], ["grafana"]):
            done = CliRunner().invoke(root, ["--config", str(config), "generate", *command, "-o", f"{name}/out"])
            assert done.exit_code == 0, (done.output, done.exception)
        found = find([directory / "out"])
        assert (found.unreadable, found.left_out, len(found.read)) == ((), (), 14)
        assert list(map(str, complaints_of(found.read, document["pushgateway"]["grouping"]))) == []


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(st.dictionaries(st.text(), VALUES), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_json_is_read_as_python_reads_it(data: dict[str, Any], indent: Any, ascii_: bool) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_)
    document = parse_json(text, "a.json")
    assert (document.data, document.problems) == (json.loads(text), [])
    if indent is not None:
        lines = text.split("\n")
        for location, line in document.lines.items():
            if location and isinstance(location[-1], str):
                assert json.dumps(location[-1], ensure_ascii=ascii_) in lines[line - 1]


@given(st.text(st.sampled_from('{}[]",:0123.eE-+ \n\\ntfu"a'), max_size=40))
def test_what_is_no_json_to_python_is_none_to_us(text: str) -> None:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        theirs = json.loads(text, parse_constant=refuse)
    except ValueError:
        theirs = None
    try:
        ours: Any = parse_json(text, os.devnull).data
    except ConfigError:
        ours = None
    assert ours == (theirs if isinstance(theirs, dict) else None)

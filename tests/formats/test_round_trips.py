"""An SLO that goes out in a format and comes in again is the same SLO, or what it lost was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reporter.formats import openslo, sloth
from reporter.formats.model import Choices
from reporter.formats.native import as_yaml, written
from reporter.slo.spec import SLO

NOTHING = Choices(mappings={}, known={})
label_names = st.from_regex(r"own_[a-z0-9_]{1,8}", fullmatch=True)
names = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
lengths = st.integers(1, 40 * 1440).map(lambda minutes: f"{minutes}m")
globs = st.lists(st.sampled_from(["gpt-*", "claude-?", "nightly-[ab]", "it's", "", "chat"]), min_size=1, max_size=3)
slis = st.one_of(
    st.sampled_from(["availability", "job_success"]),
    st.integers(1, 10**12).map(lambda ns: {"latency": {"threshold": f"{ns}ns"}}),
    st.integers(1, 10**12).map(lambda ns: {"time_to_first_token": {"threshold": f"{ns}ns"}}),
    st.decimals("0.001", "1000", places=3).map(lambda rate: {"throughput": {"min_tokens_per_second": rate}}),
    st.decimals("0.000000001", "10", places=9).map(lambda usd: {"cost": {"max_usd": usd}}),
    lengths.map(lambda length: {"freshness": {"max_age": length}}),
    lengths.map(lambda length: {"job_duration": {"max": length}}),
)
calendars = st.fixed_dictionaries(
    {"calendar": st.sampled_from(["day", "week", "month", "quarter"])},
    optional={"timezone": st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"])},
)
methods = st.one_of(
    st.fixed_dictionaries(
        {"method": st.just("timeslices")},
        optional={"timeslice": st.sampled_from(["1m", "5m", "1h"]), "timeslice_target": st.decimals(2, 100, places=2)},
    ),
    st.fixed_dictionaries(
        {"method": st.just("ratio_timeslices")}, optional={"timeslice": st.sampled_from(["1m", "5m"])}
    ),
)
alerts = st.lists(
    st.fixed_dictionaries(
        {
            "severity": st.sampled_from(["page", "ticket"]), "long": st.sampled_from(["1h", "6h", "3h"]),
            "short": st.sampled_from(["5m", "30m"]),
        },
        optional={"factor": st.decimals("0.1", "3", places=2), "budget_percent": st.integers(1, 10)},
    ),
    max_size=3,
)  # fmt: skip


@st.composite
def slos(draw: st.DrawFn) -> SLO:
    """Any SLO that there can be."""
    told: dict[str, Any] = {
        "name": draw(names), "service": draw(names), "sli": draw(slis),
        "objective": draw(st.decimals("1.001", "99.999", places=3)),
    }  # fmt: skip
    told |= draw(st.one_of(st.just({}), calendars, lengths.map(lambda length: {"period": length})))
    told |= draw(st.one_of(st.just({}), methods))
    optional: dict[str, st.SearchStrategy[Any]] = {
        "where": st.dictionaries(st.sampled_from(["batch_job", "operation", "provider", "model"]), globs, max_size=2),
        "exclude_error_types": st.lists(st.sampled_from(["400", "422", "CancelledError"]), max_size=2),
        "min_bad_events": st.integers(0, 9), "missing": st.sampled_from(["exclude", "good", "bad", "hold"]),
        "alerts": alerts, "labels": st.dictionaries(label_names, texts, max_size=2), "description": texts, "runbook": texts,
        "periods": st.lists(st.one_of(lengths, calendars), max_size=2),
    }  # fmt: skip
    for key, strategy in optional.items():
        if draw(st.booleans()):
            told[key] = draw(strategy)
    try:
        return SLO.model_validate(told)
    except ValidationError:  # what can't be meant together is not what this is about
        return SLO.model_validate({key: told[key] for key in ("name", "service", "sli", "objective")})


@settings(deadline=None, max_examples=300)
@given(slos())
def test_what_is_written_is_read_as_the_same(slo: SLO) -> None:
    assert SLO.model_validate(written(slo)) == slo
    (told,) = yaml.safe_load(as_yaml([(written(slo), "here")]))["slos"]
    assert SLO.model_validate(told) == slo


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(slos(), min_size=1, max_size=3, unique_by=lambda slo: slo.name))
def test_openslo_and_back_is_the_same(tmp_path: Path, those: list[SLO]) -> None:
    text, _ = openslo.write(those)
    (tmp_path / "slo.yaml").write_text(text)
    found = openslo.read([tmp_path / "slo.yaml"], NOTHING)
    assert (found.unmapped, found.findings.warnings) == ([], [])
    assert [SLO.model_validate(slo) for slo, _ in found.slos] == those


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(slos(), min_size=1, max_size=3, unique_by=lambda slo: slo.name))
def test_sloth_and_back_is_the_same(tmp_path: Path, those: list[SLO]) -> None:
    text, _ = sloth.write(those)
    (tmp_path / "slo.yaml").write_text(text)
    found = sloth.read([tmp_path / "slo.yaml"], NOTHING)
    assert (found.unmapped, found.findings.warnings) == ([], [])
    back = {slo["name"]: SLO.model_validate(slo) for slo, _ in found.slos}
    assert back == {slo.name: slo for slo in those}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, []),
        ({"period": "7d"}, ["--default-slo-period"]),
        ({"calendar": "month"}, ["rolling periods only"]),
        ({"method": "timeslices", "missing": "bad"}, ["not time slices", "neither missing nor"]),
        ({"alerts": []}, ["alert windows of its own"]),
        ({"name": "Two words"}, ["takes names of letters"]),
        ({"sli": {"freshness": {"max_age": "1d"}}}, ["counts minutes"]),
    ],
)
def test_what_sloth_can_not_say_is_said(more: dict[str, Any], said: list[str]) -> None:
    _, untold = sloth.write([SLO.model_validate({"name": "a", "sli": "availability", "objective": 99, **more})])
    assert len(untold) == len(said)
    assert all(part in sentence for part, sentence in zip(said, untold, strict=True))


def test_no_annotation_of_sloth_s_looks_like_a_template(tmp_path: Path) -> None:
    slo = SLO.model_validate({"name": "a", "sli": "availability", "objective": 99, "runbook": "see {{ x }} and {{{y"})
    text, _ = sloth.write([slo])
    (document,) = yaml.safe_load_all(text)
    assert "{{" not in document["slos"][0]["alerting"]["annotations"][sloth.ANNOTATION]
    (tmp_path / "slo.yaml").write_text(text)
    ((told, _),) = sloth.read([tmp_path / "slo.yaml"], NOTHING).slos
    assert SLO.model_validate(told) == slo

"""SLOs as reporter.yaml has them: plain data, and text to paste."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import yaml
from pydantic import BaseModel

from reporter.slo.durations import format_duration
from reporter.slo.fields import plain
from reporter.slo.spec import SLO

JUDGING = ("sli", "where", "exclude_error_types")
"""The keys of an SLO that decide which events are good, bad or out."""
_LENGTHS = ("threshold", "max_age", "max", "period", "timeslice", "long", "short")


def written(slo: SLO) -> dict[str, Any]:
    """An SLO as a person would write it; what is as it is anyway is left out.  `SLO.model_validate` reads it back."""
    told = _plain(slo.model_dump(by_alias=True, exclude_defaults=True, exclude={"sli"}))
    kind, fields = slo.sli.kind, _plain(slo.sli.model_dump(by_alias=True, exclude={"kind"}))
    result = {"name": slo.name, "service": slo.service, "sli": {kind: fields} if fields else kind}
    if "where" in told:
        result["where"] = {label: _one_or_all(globs) for label, globs in told["where"].items()}
    result["objective"] = told["objective"]
    if "timezone" in slo.model_fields_set and slo.calendar is not None:
        told["timezone"] = slo.timezone
    if "periods" in told:
        told["periods"] = [_period(period) for period in slo.periods]
    return result | {key: value for key, value in told.items() if key not in result}


def _period(period: Any) -> Any:
    told = _plain(period.model_dump(by_alias=True, exclude_unset=True, exclude_none=True))
    return told["period"] if set(told) == {"period"} else told


def _plain(value: Any, key: str = "") -> Any:
    """Values as YAML writes them: lengths with their units, exact decimals as text where floats would not do."""
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(by_alias=True, exclude_none=True))
    if isinstance(value, dict):
        return {name: _plain(one, name) for name, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_plain(one, key) for one in value]
    if isinstance(value, Decimal):
        return number(value)
    if key in _LENGTHS and isinstance(value, int):
        return format_duration(value)
    return value


def number(value: Decimal) -> int | float | str:
    """A decimal as YAML writes it: as text only where neither an integer nor a float is it exactly."""
    if value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else plain(value)


def _one_or_all(globs: list[str]) -> str | list[str]:
    return globs[0] if len(globs) == 1 else globs


def as_yaml(slos: Sequence[tuple[dict[str, Any], str]]) -> str:
    """SLOs as a fragment of reporter.yaml; each with a comment that says where it came from."""
    lines = ["slos:"]
    for slo, origin in slos:
        lines.append(f"  # {origin}")
        text = yaml.safe_dump([slo], sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
        lines += [f"  {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n" if slos else "slos: []\n"

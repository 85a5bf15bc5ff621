"""Every kind of SLI, and how a person writes one: `availability`, `{availability: {}}`, `{latency: {threshold: 2.5s}}`."""

import difflib
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from reporter.slo.indicators import (
    CALL_KINDS,
    Availability,
    CallIndicator,
    Cost,
    Latency,
    Throughput,
    TimeToFirstToken,
)
from reporter.slo.run_indicators import RUN_KINDS, Freshness, JobDuration, JobSuccess, RunIndicator

KINDS = {str(kind.model_fields["kind"].default): kind for kind in (*CALL_KINDS, *RUN_KINDS)}
"""Every kind's class by its name."""

_EXAMPLES = {
    "availability": "{}",
    "throughput": "{min_tokens_per_second: 30}",
    "cost": "{max_usd: 0.05}",
    "job_success": "{}",
    "freshness": "{max_age: 26h}",
    "job_duration": "{max: 2h}",
}


def _tagged(value: Any) -> Any:
    """Turn what a person writes into what a tagged union reads."""
    if isinstance(value, CallIndicator | RunIndicator | Freshness):
        return value
    kind, fields = (value, {}) if isinstance(value, str) else _only_entry(value)
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{str(kind)[:40]!r} is no kind of SLI: {', '.join(KINDS)}{meant}")
    fields = {} if fields is None else fields
    if not isinstance(fields, dict):
        raise ValueError(f"{kind} takes a mapping, like {kind}: {_EXAMPLES.get(kind, '{threshold: 2.5s}')}")
    if "kind" in fields:
        raise ValueError(f"{kind} has no key 'kind'")
    return {**fields, "kind": kind}


def _only_entry(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("must be one kind of SLI, like availability or {latency: {threshold: 2.5s}}")
    [(kind, fields)] = value.items()
    return kind, fields


Indicator = Annotated[
    Availability | Latency | TimeToFirstToken | Throughput | Cost | JobSuccess | Freshness | JobDuration,
    Field(discriminator="kind"),
    BeforeValidator(_tagged),
]
"""An SLI as DESIGN §6 writes it."""

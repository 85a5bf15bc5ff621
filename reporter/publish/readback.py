"""What a Pushgateway shows, read through its API: which snapshot of ours arrived, and what its counters stand at.

`GET /api/v1/metrics` answers `{"status": "success", "data": [GROUP, …]}`, a group being `{"labels": {…},
"last_push_successful": true, FAMILY: {"type": "COUNTER", "metrics": [{"labels": {…}, "value": "1.5e+06"}]}, …}`.  Values are
the shortest text of a float64, so they read back exactly; histograms have `buckets` by bound, `count` and `sum`.
Source: https://github.com/prometheus/pushgateway/blob/master/api/v1/api.go
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from reporter.family import Metric
from reporter.metrics import METRICS, SNAPSHOT_SEQUENCE

_OF_THE_GATEWAY = {"labels", "last_push_successful", "push_time_seconds", "push_failure_time_seconds"}


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """One group as the gateway shows it."""

    labels: Mapping[str, str]
    families: Mapping[str, Any]  # as the API names them, unchecked

    @property
    def is_ghost(self) -> bool:
        """Nothing was ever accepted into it: what a refused first push leaves behind."""
        return not set(self.families) - _OF_THE_GATEWAY

    @property
    def sequence(self) -> int | None:
        """The number of the snapshot it shows; None if it is none of ours."""
        values = [value for _, (value,) in _values(SNAPSHOT_SEQUENCE, self)]
        return int(values[0]) if len(values) == 1 else None

    def seconds_of(self, name: str) -> float | None:
        """What a family of one number says, like the gateway's own `push_time_seconds`."""
        try:
            (sample,) = self.families[name]["metrics"]
            return float(sample["value"])
        except (KeyError, TypeError, ValueError):
            return None

    def counters(self) -> Iterable[tuple[Metric, dict[str, str], list[int]]]:
        """Every counter and histogram of ours it shows: metric, own labels, and values as the ledger keeps them."""
        for metric in METRICS:
            if metric.type != "gauge":
                for labels, values in _values(metric, self):
                    scales = [1] * (len(values) - 1) + [metric.scale]  # buckets count, a sum or a counter measures
                    yield metric, labels, [exact(*pair) for pair in zip(values, scales, strict=True)]


def parse(body: bytes) -> tuple[ShownGroup, ...]:
    """The groups in the answer of `/api/v1/metrics`.

    Raises:
        ValueError: it is no such answer.
    """
    try:
        told = json.loads(body)
        groups = [(group["labels"], group) for group in told.get("data", [])]  # none: an empty gateway
        if told["status"] != "success" or not all(_is_labels(labels) for labels, _ in groups):
            raise ValueError("no groups")
        return tuple(ShownGroup(labels, families) for labels, families in groups)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("its answer is not that of a Pushgateway's /api/v1/metrics") from None


def _is_labels(labels: object) -> bool:
    return isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())


def _values(metric: Metric, group: ShownGroup) -> Iterable[tuple[dict[str, str], list[float]]]:
    """Own labels and values of each sample of `metric`; what is not as the API writes it is left out."""
    family = group.families.get(metric.name)
    if not isinstance(family, dict) or family.get("type") != metric.type.upper():
        return
    read: Callable[[Metric, Mapping[str, Any]], list[float]] = _buckets if metric.type == "histogram" else _value
    for sample in family.get("metrics") or ():
        try:
            shown = sample["labels"]
            values = read(metric, sample)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if _is_labels(shown) and all(math.isfinite(value) and value >= 0 for value in values):
            own = {k: v for k, v in shown.items() if v and k not in group.labels and k != "instance"}
            yield own, values


def _value(metric: Metric, sample: Mapping[str, Any]) -> list[float]:
    return [float(sample["value"])]


def _buckets(metric: Metric, sample: Mapping[str, Any]) -> list[float]:
    shown = {float(bound): float(count) for bound, count in sample["buckets"].items()}
    counts = [shown[bound / metric.scale] for bound in metric.bounds]
    return [*counts, float(sample["count"]), float(sample["sum"])]


def exact(value: float, scale: int) -> int:
    """The integer in `1 / scale` that reads as the float `value`: the one that was sent, where floats are that fine.

    `decimal(exact(value, scale), scale)` is never below `value` once it is a float again, and above it only if no decimal with
    so few places is that float, which then came from someone else.
    """
    nearest = round(Fraction(value) * scale)
    return nearest if nearest / scale >= value else nearest + 1


def reads_below(ours: int, theirs: int, scale: int) -> bool:
    """Whether `ours` is a smaller float64 than `theirs`, which is all that a gateway and Prometheus see."""
    return ours / scale < theirs / scale

"""The text a gateway takes: checked first, because a Pushgateway accepts wrong things and a scrape pays for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reporter.errors import ExpositionError
from reporter.family import Buckets, Family, Labels, Sample, decimal

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def validate(families: Sequence[Family], grouping: Iterable[str] = ()) -> None:
    """Refuse what would break a push, or every scrape after it.

    Raises:
        ExpositionError: the family and series, what is wrong with it, and what to do.
    """
    reserved = set(grouping)
    names: set[str] = set()
    for family in families:
        metric = family.metric
        if not _METRIC_NAME.fullmatch(metric.name) or metric.name in names:
            raise ExpositionError(f"{metric.name}: is no metric name, or is there twice")
        names.add(metric.name)
        seen: set[Labels] = set()
        for sample in family.samples:
            where = f"{metric.name}{dict(sample.labels)}"
            labels = tuple(sorted(sample.labels))
            if labels in seen:
                raise ExpositionError(f"{where}: the same series is there twice")
            seen.add(labels)
            for label, value in labels:
                quantile = label == "quantile" and metric.type == "gauge"
                if not _LABEL_NAME.fullmatch(label) or (label in ("le", "quantile") and not quantile):
                    raise ExpositionError(f"{where}: {label!r} can't be a label's name here")
                if label in reserved:
                    raise ExpositionError(f"{where}: label {label!r} is in the grouping key too; rename it there")
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise ExpositionError(f"{where}: the value of {label!r} is no UTF-8") from None
            _validate_value(where, metric.type, sample, len(metric.bounds))


def _validate_value(where: str, kind: str, sample: Sample | Buckets, bounds: int) -> None:
    if isinstance(sample, Buckets):
        whole = len(sample.cumulative) == bounds + 1
        rising = all(a <= b for a, b in zip((0, *sample.cumulative), sample.cumulative, strict=False))
        if kind != "histogram" or not whole or not rising or sample.sum < 0:
            raise ExpositionError(f"{where}: buckets must be one for each bound and +Inf, and never fall")
    elif kind == "histogram":
        raise ExpositionError(f"{where}: a histogram without buckets")
    elif sample.value != sample.value or sample.value in (float("inf"), float("-inf")):
        raise ExpositionError(f"{where}: {sample.value} is no number; leave an undefined value out")
    elif kind == "counter" and (sample.value < 0 or type(sample.value) is not int):
        raise ExpositionError(f"{where}: a counter must be a whole number of its unit, not {sample.value}")


def render(families: Sequence[Family], *, openmetrics: bool = False) -> bytes:
    """Families as Prometheus text (0.0.4), or as OpenMetrics; the same families always give the same bytes."""
    lines: list[str] = []
    for family in sorted(families, key=lambda family: family.metric.name):
        metric = family.metric
        name = metric.name.removesuffix("_total") if openmetrics and metric.type == "counter" else metric.name
        help = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
        lines += (f"# HELP {name} {help}", f"# TYPE {name} {metric.type}")
        bounds = [decimal(bound, metric.scale) for bound in metric.bounds]
        if openmetrics:
            bounds = [bound if "." in bound else f"{bound}.0" for bound in bounds]
        for sample in family.samples:
            labels = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in sample.labels)
            if isinstance(sample, Buckets):
                comma = "," if labels else ""
                for bound, count in zip((*bounds, "+Inf"), sample.cumulative, strict=True):
                    lines.append(f'{metric.name}_bucket{{{labels}{comma}le="{bound}"}} {count}')
                braces = f"{{{labels}}}" if labels else ""
                lines.append(f"{metric.name}_sum{braces} {decimal(sample.sum, metric.scale)}")
                lines.append(f"{metric.name}_count{braces} {sample.count}")
            else:
                value = decimal(sample.value, metric.scale) if type(sample.value) is int else repr(sample.value)
                lines.append(f"{metric.name}{{{labels}}} {value}" if labels else f"{metric.name} {value}")
    lines.append("# EOF\n" if openmetrics else "")
    return "\n".join(lines).encode()

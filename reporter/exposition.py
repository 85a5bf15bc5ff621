"""Families as text, and the proof that a Pushgateway may have them.

`render` writes the Prometheus text format 0.0.4 or OpenMetrics 1.0, always the same for the same families: families by name,
samples by labels.  It checks nothing: `validate` does, because a gateway accepts what breaks every later scrape.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/,
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable

from reporter.errors import ExpositionError
from reporter.family import Buckets, Family, Labels, Metric, Sample, decimal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_HISTOGRAM_SUFFIXES = ("_bucket", "_count", "_sum")


def render(families: Iterable[Family], *, openmetrics: bool = False) -> bytes:
    """Families as Prometheus text, ending in a newline, or as OpenMetrics text, ending in `# EOF`."""
    lines: list[str] = []
    texts: dict[Labels, str] = {}
    for family in sorted(families, key=_name):
        metric = family.metric
        if openmetrics:  # there a counter's family lacks the suffix, and a bound is a canonical float: "1.0", not "1"
            name = metric.name.removesuffix("_total") if metric.type == "counter" else metric.name
            help, bounds = _escaped(metric.help), [repr(bound / metric.scale) for bound in metric.bounds]
        else:
            name = metric.name
            help = metric.help.replace("\\", r"\\").replace("\n", r"\n")
            bounds = [decimal(bound, metric.scale) for bound in metric.bounds]
        lines += (f"# HELP {name} {help}", f"# TYPE {name} {metric.type}")
        _append_samples(lines, family, bounds, texts)
    lines.append("# EOF\n" if openmetrics else "")
    return "\n".join(lines).encode()


def _name(family: Family) -> str:
    return family.metric.name


def _labels(sample: Sample | Buckets) -> Labels:
    return sample.labels


def _append_samples(lines: list[str], family: Family, bounds: list[str], texts: dict[Labels, str]) -> None:
    metric = family.metric
    name, scale = metric.name, metric.scale
    tails = [f'le="{bound}"}} ' for bound in (*bounds, "+Inf")] if metric.type == "histogram" else []
    for sample in sorted(family.samples, key=_labels):
        text = texts.get(sample.labels)
        if text is None:
            text = texts[sample.labels] = label_text(sample.labels)
        if isinstance(sample, Sample):
            value = sample.value
            shown = repr(value) if isinstance(value, float) else str(value) if scale == 1 else decimal(value, scale)
            lines.append(f"{name}{{{text}}} {shown}" if text else f"{name} {shown}")
            continue
        bucket = f"{name}_bucket{{{text}," if text else f"{name}_bucket{{"
        lines += [f"{bucket}{tail}{count}" for tail, count in zip(tails, sample.cumulative, strict=True)]
        braced = f"{{{text}}}" if text else ""
        lines.append(f"{name}_sum{braced} {decimal(sample.sum, scale)}")
        lines.append(f"{name}_count{braced} {sample.count}")


def label_text(labels: Labels) -> str:
    """Labels as they stand between the braces."""
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels])


def _escaped(text: str) -> str:
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text


def validate(families: Iterable[Family], grouping: Collection[str] = ()) -> None:
    """Refuse what a gateway would refuse, and what it would accept to everyone's harm.

    `grouping` are the label names of the group the families are for; a sample's label of the same name would be overwritten.

    Raises:
        ExpositionError: with family, sample, what is wrong and how to mend it.
    """
    taken: dict[str, str] = {}
    sound: set[Labels] = set()
    for family in families:
        metric = family.metric
        _validate_metric(metric)
        names = [metric.name]
        if metric.type == "histogram":
            names += [metric.name + suffix for suffix in _HISTOGRAM_SUFFIXES]
        for name in names:
            if name in taken:
                raise ExpositionError(
                    f"{metric.name}: the name {name} is already taken by the family {taken[name]}; "
                    "give each family once, with all its samples"
                )
            taken[name] = metric.name
        seen: set[Labels] = set()
        for sample in family.samples:
            if sample.labels not in sound:
                _validate_labels(metric, sample.labels, grouping)
                sound.add(sample.labels)
            _validate_reserved(metric, sample.labels)
            identity = tuple(sorted(sample.labels))
            if identity in seen:
                raise _error(metric, sample.labels, "this series is there twice", "add the two up before exposing them")
            seen.add(identity)
            _validate_value(metric, sample)


def _validate_metric(metric: Metric) -> None:
    if not _METRIC_NAME.fullmatch(metric.name):
        raise ExpositionError(
            f"{metric.name!a} is no metric name; use letters, digits, _ and :, not beginning with a digit"
        )
    if metric.type == "counter" and not metric.name.endswith("_total"):
        raise ExpositionError(f"{metric.name}: a counter's name ends in _total; rename it, or make it a gauge")
    if metric.type == "histogram" and metric.name.endswith((*_HISTOGRAM_SUFFIXES, "_total")):
        raise ExpositionError(f"{metric.name}: a histogram's name has no such suffix; its series get theirs; rename it")
    if not _is_utf8(metric.help):
        raise ExpositionError(
            f"{metric.name}: its HELP {metric.help!a} can't be written as UTF-8, and would stop every scrape of the "
            "gateway; replace the lone surrogate"
        )
    if metric.scale < 1 or str(metric.scale).strip("0") != "1":
        raise ExpositionError(f"{metric.name}: its scale {metric.scale} is no power of ten; use 1, 1000 or 10**9")
    rising = all(low < high for low, high in itertools.pairwise(metric.bounds))
    if not rising or bool(metric.bounds) != (metric.type == "histogram"):
        raise ExpositionError(
            f"{metric.name}: only a histogram has bounds, at least one, each above the last; mend {metric.bounds}"
        )


def _validate_labels(metric: Metric, labels: Labels, grouping: Collection[str]) -> None:
    names = [name for name, _ in labels]
    if len(set(names)) < len(names):
        raise _error(metric, labels, "a label name is there twice", "give each label once")
    for name, value in labels:
        if not _LABEL_NAME.fullmatch(name):
            raise _error(
                metric,
                labels,
                f"{name!a} is no label name",
                "use letters, digits and _, beginning with a letter and not with __",
            )
        if name in grouping:
            raise _error(
                metric,
                labels,
                f"the label {name} is part of the group's key and would be overwritten by it",
                "rename it, or take it out of pushgateway.grouping",
            )
        if not value:
            raise _error(metric, labels, f"the label {name} is empty, which is the same as absent", "leave it out")
        if not _is_utf8(value):
            raise _error(
                metric,
                labels,
                f"the value of {name} can't be written as UTF-8 (a lone surrogate)",
                "replace it by U+FFFD before it is recorded",
            )


def _validate_reserved(metric: Metric, labels: Labels) -> None:
    for name, value in labels:
        if name == "le":
            raise _error(metric, labels, "the label le belongs to the buckets of histograms", "rename it")
        if name == "quantile" and ("quantile" not in metric.labels or not _is_quantile(value)):
            raise _error(
                metric, labels, "the label quantile says which percentile a gauge is, a number from 0 to 1", "rename it"
            )


def _is_quantile(value: str) -> bool:
    return re.fullmatch(r"[01](\.[0-9]+)?", value) is not None and float(value) <= 1


def _validate_value(metric: Metric, sample: Sample | Buckets) -> None:
    if isinstance(sample, Sample):
        if metric.type == "histogram":
            raise _error(metric, sample.labels, "a histogram has one value instead of buckets", "make it Buckets")
        if isinstance(sample.value, float) and not math.isfinite(sample.value):
            raise _error(
                metric, sample.labels, f"its value is {sample.value}", "leave the sample out while it is undefined"
            )
        if metric.type == "counter" and (sample.value < 0 or not isinstance(sample.value, int)):
            raise _error(
                metric,
                sample.labels,
                f"a counter of {sample.value}",
                "a counter is a whole number of its unit's parts, at least 0, so that it never wanders",
            )
        return
    counts = sample.cumulative
    if metric.type != "histogram":
        raise _error(metric, sample.labels, f"a {metric.type} has buckets instead of one value", "make it a Sample")
    if len(counts) != len(metric.bounds) + 1:
        raise _error(
            metric,
            sample.labels,
            f"{len(counts)} buckets for {len(metric.bounds)} bounds and +Inf",
            "give a count for each bound and one for +Inf, which is the count of all",
        )
    if counts[0] < 0 or any(low > high for low, high in itertools.pairwise(counts)):
        raise _error(
            metric,
            sample.labels,
            f"its buckets {list(counts)} are not cumulative counts",
            "each is at least 0 and at least the one before it",
        )
    if sample.sum < 0:
        raise _error(
            metric,
            sample.labels,
            f"its sum is {decimal(sample.sum, metric.scale)}",
            "leave negative observations out: rate() takes a falling sum for a restart",
        )


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _error(metric: Metric, labels: Labels, what: str, remedy: str) -> ExpositionError:
    shown = ", ".join(f"{name}={value!a}" for name, value in labels)
    return ExpositionError(f"{metric.name}{{{shown}}}: {what}; {remedy}")

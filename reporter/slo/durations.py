"""Lengths of time as people write them ("5m", "1h30m", "2.5s") and as the program keeps them: integer nanoseconds."""

import re
from collections.abc import Iterable
from decimal import Decimal

UNITS_NS = {
    "y": 365 * 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
    "d": 86_400 * 10**9,
    "h": 3_600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
"""Every unit, longest first.  A day is 24 hours and a year 365 days: lengths, not calendar dates."""

MINUTE_NS = UNITS_NS["m"]
LONGEST_NS = 2**63 - 1
"""What a database's integer holds: about 292 years."""

_PART = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) ?(ms|us|µs|ns|y|w|d|h|m|s)", re.ASCII)


def parse_duration(text: str) -> int:
    """Return the nanoseconds in a length like `5m`, `1h30m`, `2.5s`, `500 ms`, `30d` or `2w`, exactly.

    Units are y (365 days), w, d, h, m, s, ms, us and ns, longest first, each at most once.

    Raises:
        ValueError: the text is no such length, is finer than a nanosecond, or longer than 292 years.

    >>> parse_duration("1h30m") == 90 * 60 * 10**9
    True
    >>> parse_duration("2.5s")
    2500000000
    """
    total, position, last = Decimal(0), 0, LONGEST_NS
    while position < len(text) or not text:
        part = _PART.match(text, position)
        if part is None:
            raise ValueError(f"{_shown(text)} is no duration; write numbers with units, like 500ms, 2.5s, 1h30m or 30d")
        unit_ns = UNITS_NS[part[2].replace("µ", "u")]
        if unit_ns >= last:
            raise ValueError(f"{_shown(text)} is no duration: write each unit once, the longest first, like 1h30m")
        total, position, last = total + Decimal(part[1]) * unit_ns, part.end(), unit_ns
    if total > LONGEST_NS:
        raise ValueError(f"{_shown(text)} is too long: at most 292y can be kept")
    nanoseconds = int(total)
    if nanoseconds != total:
        raise ValueError(f"{_shown(text)} is finer than a nanosecond")
    return nanoseconds


def format_duration(length_ns: int) -> str:
    """Return the shortest label of a length in days, hours, minutes and seconds; `parse_duration` reads it back.

    Windows are named by it, so one length has one name: 60m is `1h`, 1w is `7d`.

    >>> [format_duration(parse_duration(text)) for text in ("60m", "24h", "1w", "90s", "2.50s", "0.5s")]
    ['1h', '1d', '7d', '1m30s', '2.5s', '500ms']
    """
    if length_ns < 0:
        raise ValueError(f"a length can't be negative: {length_ns} ns")
    if length_ns < UNITS_NS["s"]:
        return _format_below_a_second(length_ns)
    label, rest = "", length_ns
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, UNITS_NS[unit])
        label += f"{count}{unit}" if count else ""
    seconds, fraction = divmod(rest, UNITS_NS["s"])
    if fraction:
        return f"{label}{seconds}.{f'{fraction:09d}'.rstrip('0')}s"
    return f"{label}{seconds}s" if seconds else label


def nearest(lengths: Iterable[str], wanted: str) -> str:
    """Return `wanted` if it is among the lengths, else the one that is nearest to it.

    >>> nearest(["5m", "2h", "30d"], "1h")
    '5m'
    """
    return min(lengths, key=lambda length: abs(parse_duration(length) - parse_duration(wanted)))


def _format_below_a_second(length_ns: int) -> str:
    if length_ns == 0:
        return "0s"
    unit = next(unit for unit in ("ms", "us", "ns") if length_ns % UNITS_NS[unit] == 0)
    return f"{length_ns // UNITS_NS[unit]}{unit}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")

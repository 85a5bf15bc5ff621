"""What a value may look like: a shape is what complains of a place that does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from reporter.check.place import Complaint, Place
from reporter.check.words import meant

Shape = Callable[[Place], Iterator[Complaint]]

DURATION = re.compile(
    r"(?:(?P<y>\d+)y)?(?:(?P<w>\d+)w)?(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+)s)?(?:(?P<ms>\d+)ms)?"
)
_SECONDS = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


def anything(place: Place) -> Iterator[Complaint]:
    return iter(())


def text(place: Place) -> Iterator[Complaint]:
    if not isinstance(place.value, str):
        yield place.wrong("must be text; quote it")


def words(place: Place) -> Iterator[Complaint]:
    """Text with something in it."""
    yield from text(place)
    if isinstance(place.value, str) and not place.value.strip():
        yield place.wrong("must not be empty")


def number(place: Place) -> Iterator[Complaint]:
    if isinstance(place.value, bool) or not isinstance(place.value, int | float):
        yield place.wrong("must be a number, unquoted")


def whole(place: Place) -> Iterator[Complaint]:
    if isinstance(place.value, bool) or not isinstance(place.value, int):
        yield place.wrong("must be a whole number, unquoted")


def flag(place: Place) -> Iterator[Complaint]:
    if not isinstance(place.value, bool):
        yield place.wrong("must be true or false, unquoted")


def duration(place: Place) -> Iterator[Complaint]:
    """As Prometheus writes it."""
    if seconds(place) is None:
        yield place.wrong(f"{place.value!r} is no length of time; write one like 30s, 5m or 1h30m")


def seconds(place: Place) -> float | None:
    """A length of time in seconds; None where there is none."""
    if place.value == 0 and not isinstance(place.value, bool):
        return 0.0
    if place.text == "0":
        return 0.0
    found = DURATION.fullmatch(place.text) if place.text else None
    if found is None:
        return None
    return sum(int(count) * _SECONDS[unit] for unit, count in found.groupdict().items() if count)


def one_of(*known: object) -> Shape:
    def shape(place: Place) -> Iterator[Complaint]:
        if not any(place.value == value and type(place.value) is type(value) for value in known):
            told = str(place.value)
            yield place.wrong(f"{told[:40]!r} is not what may stand here{meant(told, map(str, known))}")

    return shape


def exactly(value: object) -> Shape:
    def shape(place: Place) -> Iterator[Complaint]:
        if place.value != value or type(place.value) is not type(value):
            yield place.wrong(f"must be {value}")

    return shape


def list_of(inner: Shape, *, some: bool = False) -> Shape:
    """A list; with `some` of one at least."""

    def shape(place: Place) -> Iterator[Complaint]:
        if not isinstance(place.value, list):
            yield place.wrong("must be a list")
        elif some and not place.value:
            yield place.wrong("must not be empty")
        for item in place.each():
            yield from inner(item)

    return shape


def map_of(inner: Shape, name: re.Pattern[str] | None = None) -> Shape:
    """A mapping with any keys, or those that are such names."""

    def shape(place: Place) -> Iterator[Complaint]:
        if not isinstance(place.value, dict):
            yield place.wrong("must be a mapping")
        for key, item in place.items():
            if name is not None and not name.fullmatch(key):
                yield item.wrong(f"{key[:40]!r} is no name; it must match {name.pattern}")
            yield from inner(item)

    return shape


def record(
    known: Mapping[str, Shape],
    needed: Collection[str] = (),
    *,
    also: re.Pattern[str] | None = None,
    what: str = "",
) -> Shape:
    """A mapping with keys that are known, and those that are `also` such names; `what` it is when something is missing."""

    def shape(place: Place) -> Iterator[Complaint]:
        if not isinstance(place.value, dict):
            yield place.wrong("must be a mapping")
            return
        for key, item in place.items():
            inner = known.get(key)
            if inner is None:
                if also is None or not also.fullmatch(key):
                    yield item.wrong(f"unknown key{meant(key, known)}")
            elif item.value is None and key in needed:
                yield item.wrong("must not be empty")
            elif item.value is not None:
                yield from inner(item)
        for key in needed:
            if key not in place.value:
                yield place.wrong(f"{what + ' ' if what else ''}has no {key}, which it needs")

    return shape


def keys(names: str, inner: Shape = anything) -> dict[str, Shape]:
    """Keys of one shape, by their names between blanks."""
    return dict.fromkeys(names.split(), inner)

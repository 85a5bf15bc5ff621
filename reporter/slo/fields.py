"""What specs and settings are made of: the strict base model, and the types of fields that people write."""

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from reporter.slo.durations import MINUTE_NS, format_duration, parse_duration


class Spec(BaseModel):
    """A frozen model that refuses unknown keys and keeps what was written out of its error messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=False)


def refusal(problems: Iterable[tuple[Sequence[str | int], str]]) -> ValidationError:
    """Return one error that blames several fields: (path of the field inside the model, sentence) each."""
    details = [
        InitErrorDetails(type=PydanticCustomError("refused", "{why}", {"why": why}), loc=tuple(path), input=None)
        for path, why in problems
    ]
    return ValidationError.from_exception_data("spec", details, hide_input=True)


def plain(number: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros: `90`, `99.9`."""
    return f"{number.normalize():f}"


def _duration(value: object) -> int:
    if isinstance(value, str):
        return parse_duration(value.strip())
    if isinstance(value, int) and not isinstance(value, bool) and value == 0:
        return 0
    raise ValueError("must be a duration with its unit, like 500ms, 2.5s, 5m or 30d")


def _not_zero(length_ns: int) -> int:
    if length_ns == 0:
        raise ValueError("must be longer than 0")
    return length_ns


def _whole_minutes(length_ns: int) -> int:
    if length_ns % MINUTE_NS:
        length = format_duration(length_ns)
        raise ValueError(f"must be whole minutes, because calls are tallied by the minute; not {length}")
    return length_ns


def _decimal(value: object) -> Decimal:
    """Take a number as it was written: a YAML float's shortest text is what the person typed."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("must be a number")
    text = str(value).strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"must be a number, not {text[:40]!r}") from None
    if not number.is_finite():
        raise ValueError("must be a finite number")
    if number == 0:
        return Decimal(0)
    if len(number.as_tuple().digits) > 18 or number.adjusted() > 18 or int(number.as_tuple().exponent) < -18:
        raise ValueError("must be a number of at most 18 digits")
    return Decimal(plain(number))  # 30 and 30.0 are one spec, with one fingerprint


def _percent(value: object) -> Decimal:
    return _decimal(value.strip().removesuffix("%") if isinstance(value, str) else value)


def _objective(percent: Decimal) -> Decimal:
    if not 0 < percent < 100:
        why = "; it leaves no budget" if percent == 100 else ""
        raise ValueError(f"must be percent between 0 and 100, both excluded, not {plain(percent)}{why}")
    if percent == 1:
        raise ValueError("1 looks like a ratio, but an objective is percent between 0 and 100, both excluded")
    if percent < 1:
        hint = f"did you mean {plain(percent * 100)}?"
        raise ValueError(f"{plain(percent)} looks like a ratio, but an objective is percent: {hint}")
    return percent


def _whole(percent: Decimal) -> Decimal:
    if not 0 < percent <= 100:
        raise ValueError(f"must be percent, above 0 and at most 100, not {plain(percent)}")
    if percent <= 1:
        raise ValueError(f"{plain(percent)} looks like a ratio, but percent is meant: write {plain(percent * 100)}")
    return percent


def _share(percent: Decimal) -> Decimal:
    if not 0 < percent <= 100:
        raise ValueError(f"must be percent of the error budget, above 0 and at most 100, not {plain(percent)}")
    return percent


def _positive(number: Decimal) -> Decimal:
    if number <= 0:
        raise ValueError(f"must be above 0, not {plain(number)}")
    return number


def _not_negative(number: Decimal) -> Decimal:
    if number < 0:
        raise ValueError("must not be negative")
    return number


def _label_text(text: str) -> str:
    if not text.strip() or text != text.strip():
        raise ValueError("must be text that neither is empty nor begins or ends with a space")
    if len(text) > 200:
        raise ValueError(f"must be at most 200 characters long, not {len(text)}")
    if not text.isprintable():
        raise ValueError("must have no control characters, line breaks or lone surrogates")
    return text


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a directory's name is an OSError
        raise ValueError(f"{name[:60]!r} is no time zone known here; write one like Europe/Berlin or UTC") from None
    return name


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def as_list(value: Any) -> Any:
    """Let a person write one value where a list of them is meant."""
    return [value] if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(_duration)]
"""A length in nanoseconds, written like `5m`; 0 is allowed."""
PositiveDuration = Annotated[Duration, AfterValidator(_not_zero)]
Window = Annotated[PositiveDuration, AfterValidator(_whole_minutes)]
"""A length in nanoseconds that is whole minutes, at least one."""
Objective = Annotated[Decimal, BeforeValidator(_percent), AfterValidator(_objective)]
"""Percent, 1 < x < 100, exact."""
Percent = Annotated[Decimal, BeforeValidator(_percent), AfterValidator(_whole)]
"""Percent, 1 < x <= 100, exact."""
BudgetPercent = Annotated[Decimal, BeforeValidator(_percent), AfterValidator(_share)]
PositiveDecimal = Annotated[Decimal, BeforeValidator(_decimal), AfterValidator(_positive)]
NonNegativeDecimal = Annotated[Decimal, BeforeValidator(_decimal), AfterValidator(_not_negative)]
Name = Annotated[str, AfterValidator(_label_text)]
"""Text that becomes a label value."""
TimeZone = Annotated[str, AfterValidator(_time_zone)]
"""The IANA name of a time zone."""
Count = Annotated[int, BeforeValidator(_refuse_bool), Field(ge=0)]
PositiveCount = Annotated[int, BeforeValidator(_refuse_bool), Field(ge=1)]

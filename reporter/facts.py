"""Facts on their way in: every value made storable, the same in both stores, and nothing invented.

What can't be meant (a negative count, more tokens than there are, NaN) becomes NULL, a length that is too long is cut, and the
column's name is kept in `flags`.  Text loses lone surrogates and NULs, which no store takes.  Attributes whose names smell of
secrets go.  Nothing here raises.
"""

from __future__ import annotations

try:
    from _json import encode_basestring_ascii as quote
except ImportError:  # another Python than CPython
    from json.encoder import encode_basestring_ascii as quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

MOST_LENGTH_NS = 7 * 86_400 * 10**9
MOST_TOKENS = 2**40
MOST_NANOUSD = 10**15
MOST_LABEL = 200
MOST_TAIL = 8_192  # characters of what a command printed last
MOST_ATTRIBUTES = 16_384

_LIST_PRICE = ("", "standard", "default")  # as Anthropic and OpenAI call it in their answers

CALL_STATUSES = ("success", "error", "timeout", "cancelled", "abandoned", "lost")
RUN_STATUSES = ("running", "success", "failed", "timeout", "lost")

_SECRETS = frozenset(
    ("token", "key", "password", "passwd", "pwd", "secret", "authorization", "auth", "cookie", "apikey", "credential",
     "credentials", "bearer")
)  # fmt: skip


def json_members(columns: Mapping[str, Any]) -> str:
    """Columns and their values as members of a JSON object, each after a comma."""
    members = ""
    for name, value in columns.items():
        if type(value) is int:
            members += f',"{name}":{value}'
        elif name == "attributes":
            members += f',"attributes":{value}'  # JSON already
        else:
            members += f',"{name}":{quote(value)}'
    return members


def text(value: object, most: int = MOST_LABEL) -> str | None:
    """`value` as text of at most `most` characters; None stays None."""
    if value is None:
        return None
    if type(value) is not str:
        try:
            value = str(value)
        except Exception:  # whatever a stranger's __str__ throws is not the job's affair
            return None
    assert isinstance(value, str)
    if len(value) > most:
        value = value[: most - 1] + "…"
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode("utf-8")
    return value.replace("\0", "\ufffd") if "\0" in value else value


def integer(value: object, most: int, column: str, flags: list[str]) -> int | None:
    """`value` as an integer in 0…`most`; otherwise NULL, or the limit of a length that is too long, and a flag."""
    if value is None:
        return None
    if type(value) is not int:
        try:
            number = int(value)  # type: ignore[call-overload]  # whatever can't be one raises, and is flagged
        except Exception:  # NaN, inf, text, strangers' __int__
            flags.append(column)
            return None
        if isinstance(value, bool):
            return int(value)
        value = number
    assert isinstance(value, int)
    if value < 0:
        flags.append(column)
        return None
    if value > most:
        flags.append(column)
        return most if column.endswith("_ns") else None
    return value


_PARTS = (  # a count, and what is part of it
    ("input_tokens", "cache_read_tokens", "cache_write_tokens"),
    ("cache_write_tokens", "cache_write_1h_tokens", ""),
    ("output_tokens", "reasoning_tokens", ""),
)


def check_parts(fact: Mapping[str, Any], flags: list[str]) -> None:
    """Flag each count of tokens that is less than what is part of it; nothing tells which of them is wrong."""
    for whole, part, other in _PARTS:
        most = fact.get(whole)
        if most is not None and (fact.get(part) or 0) + (fact.get(other) or 0) > most and whole not in flags:
            flags.append(whole)


def price_class(value: object) -> str | None:
    """What a class of service is called in lower case; None: the list price holds, by whatever name."""
    told = text(value)
    if told is None or told.lower() in _LIST_PRICE:
        return None
    return told.lower()


def nanoseconds(seconds: object, column: str, flags: list[str]) -> int | None:
    """A length in seconds as nanoseconds, cut at seven days."""
    if seconds is None:
        return None
    try:
        scaled = float(seconds) * 1e9  # type: ignore[arg-type]  # whatever is no number raises, and is flagged
        if scaled != scaled or scaled in (float("inf"), float("-inf")):
            raise ValueError
    except Exception:
        flags.append(column)
        return None
    return integer(round(scaled), MOST_LENGTH_NS, column, flags)


def moment(value: object) -> int | None:
    """Epoch seconds, RFC 3339 text or a datetime as ns since 1970; None: it is none, has no zone, or is before 1970 or after
    2262."""
    from datetime import UTC, datetime, timedelta

    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                return None
            at_ns = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
        else:
            from decimal import Decimal

            at_ns = int(Decimal(repr(value)) * 10**9)
    except Exception:  # NaN, strangers
        return None
    return at_ns if 0 <= at_ns < 2**63 else None


def nanousd(usd: object, flags: list[str]) -> int | None:
    """Dollars as integer nano-dollars, exact for decimal text."""
    if usd is None:
        return None
    try:
        from decimal import Decimal

        return integer(int((Decimal(str(usd)) * 10**9).to_integral_value()), MOST_NANOUSD, "cost_nanousd", flags)
    except Exception:
        flags.append("cost_nanousd")
        return None


def attributes(given: Mapping[Any, object] | None, flags: list[str] | None = None) -> str | None:
    """Attributes as JSON text of at most 16 KiB; names of secrets are left out, values that are no JSON become text.

    What does not fit loses its longest members, and is flagged.  Read back and given again, the result is the same text.
    """
    if not given:
        return None
    written = _encode or _make_encoder()
    try:
        kept: dict[str, object] = {}
        for name, value in given.items():
            key = text(name)
            if key == "usage" and isinstance(value, dict):
                kept[key] = numbers(value)
            elif key is not None and not is_secret(key):
                kept[key] = _plain(value, 4)
        found = written(kept)
        if len(found) > MOST_ATTRIBUTES:
            if flags is not None:
                flags.append("attributes")
            excess = len(found) - MOST_ATTRIBUTES
            for key in sorted(kept, key=lambda key: len(written({key: kept[key]})), reverse=True):
                if excess <= 0:
                    break
                excess -= len(written({key: kept.pop(key)})) - 1  # its braces, but for its comma
            found = written(kept)
    except Exception:  # a stranger's object, a depth that no encoder bears
        return None
    return found if kept else None


_encode: Callable[[object], str] | None = None


def _make_encoder() -> Callable[[object], str]:
    global _encode
    from json import JSONEncoder

    _encode = JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode
    return _encode


def numbers(given: Mapping[Any, object], depth: int = 3) -> dict[str, object]:
    """What can't be anybody's words of an object like a provider's usage: numbers, words as short as `flex`, such objects."""
    kept: dict[str, object] = {}
    for name, value in list(given.items())[:64]:
        if isinstance(value, bool | int | float) or (type(value) is str and len(value) <= 24 and value.isascii()):
            kept[str(text(name))[:64]] = _plain(value, 0)
        elif depth and isinstance(value, dict):
            kept[str(text(name))[:64]] = numbers(value, depth - 1)
    return kept


def is_secret(name: str) -> bool:
    """Whether an attribute's name smells of a secret: `api_key`, `authToken`, `Set-Cookie`."""
    return any(word.lower() in _SECRETS for word in (_words or _make_words())(name))


_words: Callable[[str], list[str]] | None = None


def _make_words() -> Callable[[str], list[str]]:
    global _words
    import re

    _words = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])").findall
    return _words


def _plain(value: object, depth: int) -> object:
    if value is None or value is True or value is False:
        return value
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else text(value)
    if type(value) is float:
        return value if value - value == 0 else None
    try:
        if depth and isinstance(value, dict):
            items = [(str(text(name)), inner) for name, inner in list(value.items())[:100]]
            return {name: _plain(inner, depth - 1) for name, inner in items if not is_secret(name)}
        if depth and isinstance(value, list | tuple):
            return [_plain(item, depth - 1) for item in value[:100]]
    except Exception:  # a stranger's container
        return None
    return text(value, 4_096)

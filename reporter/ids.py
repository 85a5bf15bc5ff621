"""Identifiers: UUIDv7 text, whose order is the order of their moments."""

from __future__ import annotations

import os
from itertools import count

_RENEWED_EVERY_NS = 10**9
_moment, _random = "", ""  # what the ids of some time have in common
_since_ns = _until_ns = 0
_numbers = count()


def uuid7(at_ns: int) -> str:
    """A new UUIDv7 of the moment `at_ns`.

    Beside the moment it has 42 random bits, a process's own for a second, and eight digits that count from a random number
    on: asking the system for random bits at each call would cost more than the rest of the id.
    """
    if not _since_ns <= at_ns < _until_ns:
        _renew(at_ns)
    return f"{_moment}{at_ns // 1_000_000 & 0xFFFF:04x}{_random}{next(_numbers)}"


def uuid7_of(at_ns: int, content: bytes) -> str:
    """The UUIDv7 that `content` of the moment `at_ns` always has."""
    from hashlib import sha256

    bits = int.from_bytes(sha256(content).digest()[:10], "big")
    at_ms = at_ns // 1_000_000 & 0xFFFFFFFFFFFF
    digits = f"{at_ms:012x}7{bits & 0xFFF:03x}{1 << 63 | bits >> 12 & 0x3FFFFFFFFFFFFFFF:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _renew(at_ns: int = 0) -> None:
    """New random bits: once a second, so that a process restored twice from one snapshot parts ways, and after a fork."""
    global _moment, _random, _since_ns, _until_ns, _numbers
    bits = int.from_bytes(os.urandom(10), "big")
    high = at_ns // 1_000_000 >> 16
    _moment = f"{high:08x}-"
    _random = f"-7{bits & 0xFFF:03x}-{0x8000 | bits >> 12 & 0x3FFF:04x}-{bits >> 26 & 0xFFFF:04x}"
    _numbers = count(10_000_000 + (bits >> 42) % 80_000_000)  # eight digits however many a second has
    _since_ns, _until_ns = at_ns, min(at_ns + _RENEWED_EVERY_NS, (high + 1 << 16) * 1_000_000)


os.register_at_fork(after_in_child=_renew)

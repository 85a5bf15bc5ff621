"""Identifiers: UUIDv7 text, whose order is the order of their moments."""

from __future__ import annotations

import os


def uuid7(at_ns: int) -> str:
    """A new UUIDv7 of the moment `at_ns`; its 74 random bits come from the system, so forks never share any."""
    return _text(at_ns, os.urandom(10))


def uuid7_of(at_ns: int, content: bytes) -> str:
    """The UUIDv7 that `content` of the moment `at_ns` always has."""
    from hashlib import sha256

    return _text(at_ns, sha256(content).digest()[:10])


def _text(at_ns: int, random: bytes) -> str:
    bits = int.from_bytes(random, "big")
    digits = (
        f"{at_ns // 1_000_000 & 0xFFFFFFFFFFFF:012x}7{bits & 0xFFF:03x}{1 << 63 | bits >> 12 & 0x3FFFFFFFFFFFFFFF:016x}"
    )
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

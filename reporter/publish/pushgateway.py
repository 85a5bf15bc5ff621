"""One PUT of the whole truth to a Pushgateway, within one total deadline.

The exchange runs in a daemon thread that is left behind at the deadline, because a client's time-outs count from byte to byte
and a server that drips holds them off for ever.  Redirects are not followed, the environment's proxies not asked.
"""

from __future__ import annotations

import base64
import gzip
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Thread
from urllib.parse import quote

import httpx

from reporter.errors import PublishError, PublishRetryLater

_PLAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
MOST_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Gateway:
    """Where and how to push."""

    url: str
    grouping: Mapping[str, str]
    timeout_ns: int
    auth: tuple[str, str] | None = None
    bearer_token: str | None = None
    verify: str | bool = True
    cert: tuple[str, str] | None = None

    @property
    def group_url(self) -> str:
        """The URL of the group: `job` first, every value that needs it in base64."""
        parts = [("job", self.grouping["job"]), *((k, v) for k, v in sorted(self.grouping.items()) if k != "job")]
        return self.url.rstrip("/") + "/metrics/" + "/".join(_part(label, value) for label, value in parts)


def _part(label: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f"{quote(label)}/{value}"
    return f"{quote(label)}@base64/{base64.urlsafe_b64encode(value.encode()).decode() or '='}"


def put(gateway: Gateway, render: Callable[[], bytes]) -> int:
    """PUT what `render` makes, anew at every attempt; the number of attempts.

    Raises:
        PublishError: the gateway refused; its words are in the message.
        PublishRetryLater: no useful answer came before the deadline.
    """
    deadline = time.monotonic() + gateway.timeout_ns / 1e9
    reason = "no answer"
    attempt = 0
    while (left := deadline - time.monotonic()) > 0:
        attempt += 1
        status, answer = _exchange(gateway, render(), left)
        if status is not None and 200 <= status < 300:
            return attempt
        if status is not None and status < 500:
            where = "redirects, which a push does not follow" if status < 400 else f"refused the push ({status})"
            raise PublishError(f"{gateway.group_url}: the gateway {where}: {answer.strip()}")
        reason = answer if status is None else f"{status} {answer.strip()}"
        pause = random.uniform(0, min(2.0, 0.1 * 2**attempt))
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
    raise PublishRetryLater(
        f"{gateway.group_url}: not pushed within {gateway.timeout_ns / 1e9:g} s ({attempt} attempts): {reason};"
        " nothing is lost, the next push carries all of it"
    )


def _exchange(gateway: Gateway, body: bytes, seconds: float) -> tuple[int | None, str]:
    """(HTTP status, text of the answer), or (None, why there was none)."""
    answered: list[tuple[int | None, str]] = []

    def run() -> None:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Content-Encoding": "gzip"}
        if gateway.bearer_token:
            headers["Authorization"] = f"Bearer {gateway.bearer_token}"
        try:
            with (
                httpx.Client(verify=gateway.verify, cert=gateway.cert, trust_env=False, timeout=seconds) as client,
                client.stream(
                    "PUT", gateway.group_url, content=gzip.compress(body, 6), headers=headers, auth=gateway.auth
                ) as response,
            ):
                text = b""
                for chunk in response.iter_bytes():
                    text += chunk
                    if len(text) > MOST_ANSWER_BYTES:
                        break
                answered.append((response.status_code, text[:2_000].decode("utf-8", "replace")))
        except httpx.HTTPError as error:
            answered.append((None, f"{type(error).__name__}: {error}"))

    thread = Thread(target=run, name="reporter-push", daemon=True)
    thread.start()
    thread.join(seconds)
    return answered[0] if answered else (None, f"no answer in {seconds:.1f} s")

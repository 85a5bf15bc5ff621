"""A whole batch job: it summarises documents with any OpenAI-compatible model, and records every call it makes.

    pip install reporter httpx
    export OPENAI_BASE_URL=https://api.openai.com/v1 OPENAI_API_KEY=…   # or any compatible server
    python batch_job.py *.txt
    reporter report                                                    # what it did, how fast, and what it cost

`reporter` adds no thread and changes nothing: not what this program returns or raises, nor its exit code.  The facts go to
REPORTER_DATABASE_URL, by default a SQLite file in ~/.local/state/reporter.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import httpx

import reporter

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
PROVIDER = os.environ.get("PROVIDER", "openai")  # provider and model together find the price
ATTEMPTS = 4

# The environment says where the model is and who pays; nothing of it is ever recorded.
client = httpx.Client(
    base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
    headers={"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"},
    timeout=float(os.environ.get("TIMEOUT_SECONDS", "30")),
)


def summarise(document: str, text: str) -> str | None:
    """One summary; None when the model would not give one."""
    # A call is what you make it: here one answer, retries included, so that its duration is what a person waits.
    # If this process is killed inside, the call is counted as lost two minutes after it began.
    with reporter.call("summarise", provider=PROVIDER, model=MODEL, deadline_seconds=120) as c:
        c.set(document=document)  # an attribute: for questions in SQL, never a label of a metric
        reply = ask(f"Summarise in one sentence:\n\n{text}", c)
        c.usage(reply)  # tokens, and so money; the reply of any provider, object or dictionary
        return str(reply["choices"][0]["message"]["content"])


def ask(prompt: str, c: reporter.ActiveCall) -> dict[str, list[dict[str, dict[str, str]]]]:
    """The model's reply; tried again when it is busy or does not answer."""
    for attempt in range(ATTEMPTS):
        c.tell("retries", attempt)
        last = attempt == ATTEMPTS - 1
        try:
            response = client.post(
                "/chat/completions", json={"model": MODEL, "messages": [{"role": "user", "content": prompt}]}
            )
        except httpx.TimeoutException:
            if last:
                raise  # recorded as "timeout"
        else:
            if response.status_code not in (429, 500, 502, 503, 529) or last:
                response.raise_for_status()  # recorded as "error", with its HTTP status
                return response.json()  # type: ignore[no-any-return]  # JSON is what it is
        time.sleep(0.1 * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


@reporter.job("summaries")  # one run: when it started and ended, how, and with which exit code
def main(paths: list[str]) -> int:
    failed = 0
    for path in paths:
        try:
            print(f"{path}: {summarise(path, Path(path).read_text(encoding='utf-8'))}")
        except httpx.HTTPError as error:
            failed += 1
            print(f"{path}: {type(error).__name__}", file=sys.stderr)
    if failed:
        sys.exit(1)  # the run is recorded as failed
    return 0


if __name__ == "__main__":
    main(sys.argv[1:])

"""One batch job of the demo, in a process of its own: `python -m reporter.demo.worker JOB PROVIDER MODEL CALLS [OPTIONS]`.

What it uses of `reporter` is what any job would: `job`, `call`, and what a call is told.  It says on stdout, a line each, how
every call ended, once the call is recorded; so the demo knows what must be in the database.
"""

from __future__ import annotations

import argparse
import json
import os

import httpx

import reporter
from reporter.demo.server import STALL

TIMEOUT_SECONDS = 0.8
STALLED_DEADLINE_SECONDS = 2.0


def main() -> None:
    """Run the job once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("provider")
    parser.add_argument("model")
    parser.add_argument("calls", type=int)
    parser.add_argument("--stream", action="store_true", help="ask for tokens as they come")
    parser.add_argument("--stall-after", type=int, default=-1, help="then ask what is never answered")
    told = parser.parse_args()
    client = httpx.Client(base_url=os.environ["OPENAI_BASE_URL"], timeout=TIMEOUT_SECONDS, trust_env=False)
    ask = stream if told.stream else complete

    @reporter.call("chat", provider=told.provider, model=told.model, deadline_seconds=STALLED_DEADLINE_SECONDS)
    def stall() -> None:
        client.post("/chat/completions", json=body(told.model, STALL), timeout=60)

    @reporter.job(told.job)
    def run() -> None:
        for number in range(told.calls):
            if number == told.stall_after:
                stall()  # the process will not come back from here
            status = "success"
            try:
                with reporter.call("chat", provider=told.provider, model=told.model) as c:
                    c.set(document=f"{told.job}-{number}")
                    ask(client, told.model, f"Summarise document {number}.", c)
            except httpx.TimeoutException:
                status = "timeout"
            except httpx.HTTPError:
                status = "error"
            print(json.dumps({"call_id": c.call_id, "status": status}), flush=True)

    with client:
        run()


def body(model: str, text: str) -> dict[str, object]:
    """A request for one answer."""
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def complete(client: httpx.Client, model: str, text: str, c: reporter.ActiveCall) -> None:
    """The whole answer at once."""
    reply = client.post("/chat/completions", json=body(model, text))
    reply.raise_for_status()
    c.usage(reply.json())


def stream(client: httpx.Client, model: str, text: str, c: reporter.ActiveCall) -> None:
    """The answer word by word; the last chunk brings the usage."""
    wanted = {**body(model, text), "stream": True, "stream_options": {"include_usage": True}}
    with client.stream("POST", "/chat/completions", json=wanted) as reply:
        reply.raise_for_status()
        for line in reply.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if chunk["choices"]:
                c.first_token()
            if chunk.get("usage"):
                c.usage(chunk)


if __name__ == "__main__":
    main()

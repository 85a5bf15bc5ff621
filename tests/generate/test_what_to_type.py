"""What an alert says to type is one command of the reporter's, whatever jobs, models and SLOs are called."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.generate.test_prometheus import generated
from tests.servers import Server, fetch, start_prometheus_of, wait_for

HOSTILE = ["job'; touch PWNED; '", "$(touch PWNED)", "`touch PWNED`", "-x", 'a "b" \\ c', "{{ .Evil }} | it's\ttwo"]


@contextmanager
def exposing(text: str) -> Iterator[str]:
    """Somebody who is scraped, and where."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def alerts(prometheus: Server) -> list[dict[str, Any]]:
    return [dict(alert) for alert in json.loads(fetch(f"{prometheus.url}/api/v1/alerts"))["data"]["alerts"]]


def typed(directory: Path, command: str) -> list[str]:
    """The words that `reporter` gets when somebody pastes the command into a shell."""
    shell = f"reporter() {{ printf '%s\\0' \"$@\"; }}\n{command}\n"
    done = subprocess.run(["sh", "-c", shell], cwd=directory, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout.split("\0")[:-1]


def test_names_of_jobs_models_and_slos_are_one_word_of_the_command(tmp_path: Path) -> None:
    slos = "".join(f"- {{name: {json.dumps(name)}, sli: availability, objective: 99}}\n" for name in HOSTILE[:-1])
    out = generated(tmp_path, f"slos:\n{slos}")
    told = ['reporter_as_of_timestamp_seconds{job="reporter"} 1e9']
    for name in HOSTILE:
        value = name.replace("\\", "\\\\").replace('"', '\\"')
        told += [f'batch_job_state{{job="reporter",batch_job="{value}",state="failed"}} 1']
        for window, burn in (("1h", 90), ("5m", 90)) if name != HOSTILE[-1] else ():
            told += [f'slo_burn_rate{{job="reporter",slo="{value}",service="default",window="{window}"}} {burn}']
    rules = (out / "reporter.rules.yml").read_text().replace("< 300", "< 1e12")
    (tmp_path / "rules.yml").write_text(rules)
    with exposing("\n".join(told) + "\n") as target:
        prometheus = start_prometheus_of(
            tmp_path,
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
            f"scrape_configs:\n- {{job_name: x, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}\n",
        )
        try:
            expected = 2 * len(HOSTILE) - 1
            wait_for(
                lambda: sum(alert["labels"]["source"] in ("job", "slo") for alert in alerts(prometheus)) == expected,
                20, "all are told",
            )  # fmt: skip
            commands = {
                (alert["labels"]["source"], alert["labels"].get("slo") or alert["labels"]["batch_job"]): typed(
                    tmp_path, alert["annotations"]["what_to_type"]
                )
                for alert in alerts(prometheus)
                if alert["labels"]["source"] in ("job", "slo")
            }
        finally:
            prometheus.kill()
    assert not (tmp_path / "PWNED").exists()
    assert commands == {
        **{("job", name): ["runs", f"--job={name}".replace("\t", "?")] for name in HOSTILE},
        **{("slo", name): ["explain", *["--"] * name.startswith("-"), name] for name in HOSTILE[:-1]},
    }

"""`reporter serve`: a turn at every whole minute, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import text

from reporter.errors import StoreError
from reporter.lease import acquire
from reporter.serve.service import follow_clock
from reporter.store import open_store
from tests.publish.loopback import EMPTY, Loopback, Request, said
from tests.publish.pushing import bring_in, calls, counters, run, written
from tests.serve.serving import Served, serving
from tests.servers import Postgres, Server, wait_for

FOLDED = ("reporter_calls_folded_total", ())
BRIEF = "report: {windows: [5m], lease: 3s}\n"
NOBODY = "http://127.0.0.1:9"


def value(page: str, series: str) -> float | None:
    return next((float(line.split(" ")[-1]) for line in page.splitlines() if line.startswith(series + " ")), None)


def test_it_pushes_turn_after_turn_and_stops_when_told(database_url: str, tmp_path: Path, pushgateway: Server) -> None:
    store = open_store(database_url)
    bring_in(store, tmp_path, calls(7))
    with serving(written(tmp_path, database_url, pushgateway.url), "--every", "1s") as served:
        served.wait_for("pushed", 2)
        first = counters(pushgateway.url)[FOLDED]
        bring_in(store, tmp_path, calls(5))
        wait_for(lambda: counters(pushgateway.url)[FOLDED] == 12, 20, "the other five")

        code = served.end()

    assert (first, code) == (7, 0)
    assert served.told()[-1]["event"] == "stopped"
    assert run(tmp_path / "reporter.yaml", "push").returncode == 0  # the lease was given back


def test_its_page_is_what_a_push_would_be_and_its_counters_outlive_it(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    bring_in(store, tmp_path, calls(7))
    config = written(tmp_path, database_url, NOBODY)
    with serving(config, "--every", "1s", "--no-push") as served:
        served.wait_for("reported", 2)
        page = served.get("/metrics")[1]
        families = list(
            text_string_to_metric_families(served.get("/metrics", Accept="application/openmetrics-text")[1])
        )
        assert served.end(signal.SIGINT) == 0
    bring_in(store, tmp_path, calls(1))
    with serving(config, "--every", "1s", "--no-push") as served:
        served.wait_for("reported")
        later = served.get("/metrics")[1]

    series = 'llm_tokens_total{batch_job="nightly",operation="chat",model="gpt-4o",type="output"}'
    assert (value(page, series), value(later, series)) == (7 * 77, 8 * 77)
    assert value(later, "reporter_snapshot_sequence") > value(page, "reporter_snapshot_sequence")
    assert {"llm_request_duration_seconds", "slo_burn_rate"} <= {family.name for family in families}


def test_a_second_one_stands_by_and_takes_over(database_url: str, tmp_path: Path) -> None:
    config = written(tmp_path, database_url, NOBODY, gateway="timeout: 1s", more=BRIEF)
    with serving(config, "--every", "1s", "--no-push") as first:
        first.wait_for("reported")
        with serving(config, "--every", "1s", "--no-push") as second:
            why = second.wait_for("standby")["message"]
            time.sleep(3.5)  # longer than the lease: it is kept
            seen = (second.get("/readyz")[0], second.get("/metrics")[0], second.get("/healthz")[0])
            assert second.told("reported") == []
            first.process.kill()  # it can give nothing back
            second.wait_for("took_over", seconds=15)
            second.wait_for("reported")
            assert second.get("/readyz") == (200, "ok\n")

    assert f"process {first.process.pid} on" in why
    assert seen == (503, 503, 200)


def test_one_that_is_suspended_takes_one_turn_for_all_it_missed(database_url: str, tmp_path: Path) -> None:
    with serving(written(tmp_path, database_url, NOBODY), "--every", "1s", "--no-push") as served:
        before = served.wait_for("reported", 2)
        served.process.send_signal(signal.SIGSTOP)
        time.sleep(5)
        served.process.send_signal(signal.SIGCONT)
        wait_for(lambda: served.told("missed"), 20, "it says what it missed")
        missed = max(served.told("missed"), key=lambda line: line["missed"])
        served.wait_for("reported", len(served.told("reported")) + 2)
        page = served.get("/metrics")[1]

    assert 3 <= missed["missed"] <= 5
    after = next(line for line in served.told("reported") if line["due"] > before["due"] + 2)
    assert after["due"] == missed["due"]  # the latest of them, and only that one
    assert value(page, "reporter_missed_ticks_total") == sum(line["missed"] for line in served.told("missed"))


def suspend(served: Served, database_url: str) -> None:
    """Suspend it while it holds nothing: what it wrote at that moment, everybody would wait for."""
    store = open_store(database_url)
    while True:
        served.process.send_signal(signal.SIGSTOP)
        try:
            with store.append() as connection:
                if store.dialect == "postgresql":
                    connection.execute(text("SELECT holder FROM leases FOR UPDATE NOWAIT"))
                held = connection.execute(text("SELECT count(*) FROM leases WHERE name = 'reporter'")).scalar_one()
        except StoreError:
            held = 1
        if not held:
            return
        served.process.send_signal(signal.SIGCONT)
        time.sleep(0.1)


def test_one_that_sleeps_in_mid_transaction_keeps_nobody_out_for_ever(postgres_url: str) -> None:
    program = """
        import os, signal, sys
        from reporter import lease, store
        store.IDLE_SECONDS = 2
        opened = store.open_store(sys.argv[1])
        held = lease.acquire(opened, 10**8)
        with opened.write() as connection:
            held.renew(connection)
            os.kill(os.getpid(), signal.SIGSTOP)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), postgres_url]) as sleeper:
        os.waitpid(sleeper.pid, os.WUNTRACED)
        time.sleep(0.2)  # its lease has run out
        began = time.monotonic()
        try:
            lease = acquire(open_store(postgres_url), 10**9)
        finally:
            sleeper.kill()

    assert (lease.name, time.monotonic() - began < 10) == ("reporter", True)


def test_one_that_slept_through_its_lease_gives_way(database_url: str, tmp_path: Path) -> None:
    config = written(tmp_path, database_url, NOBODY, gateway="timeout: 1s", more=BRIEF)
    with serving(config, "--every", "4s", "--no-push") as sleeper:
        sleeper.wait_for("reported")
        suspend(sleeper, database_url)
        told = len(sleeper.told())
        with serving(config, "--every", "4s", "--no-push") as other:
            other.wait_for("reported", 2)
            sleeper.process.send_signal(signal.SIGCONT)
            sleeper.wait_for("standby")
            wait_for(lambda: sleeper.get("/readyz")[0] == 503, 5, "it says so")
            assert other.get("/readyz")[0] == 200

    events = [line["event"] for line in sleeper.told()[told:]]
    assert not {"missed", "late", "reported"} & set(events)  # the other one was there


def test_a_turn_at_work_is_finished_before_it_stops(tmp_path: Path) -> None:
    def answer(request: Request, connection: socket.socket) -> None:
        if request.method == "PUT":
            time.sleep(2)
        connection.sendall(said("200 OK", EMPTY))

    with Loopback(answer) as gateway:
        config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", gateway.url)
        with serving(config) as served:
            wait_for(gateway.puts, 20, "the push has begun")
            code = served.end()

    assert code == 0
    assert [line["event"] for line in served.told()][-3:] == ["stopping", "pushed", "stopped"]


def test_a_turn_that_does_not_end_is_left_within_the_grace(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        hole.listen(50)
        config = written(
            tmp_path,
            f"sqlite:///{tmp_path}/jobs.db",
            f"http://127.0.0.1:{hole.getsockname()[1]}",
            gateway="timeout: 20s",
        )
        with serving(config, "--grace", "1s") as served:
            wait_for(lambda: served.get("/metrics")[0] == 200, 20, "it is about to push")
            time.sleep(0.5)
            began = time.monotonic()
            code = served.end()

    assert code == 1
    assert time.monotonic() - began < 5
    assert served.told()[-1]["event"] == "left_behind"


def test_a_second_signal_leaves_the_turn_and_its_leases_behind(database_url: str, tmp_path: Path) -> None:
    def answer(request: Request, connection: socket.socket) -> None:
        if request.method == "PUT":
            time.sleep(8)
        connection.sendall(said("200 OK", EMPTY))

    with Loopback(answer) as gateway, serving(written(tmp_path, database_url, gateway.url)) as served:
        wait_for(gateway.puts, 20, "the push has begun")
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("stopping")
        code = served.end()
        left = served.told("left_behind")[0]["message"]
        with serving(tmp_path / "reporter.yaml", "--no-push") as other:
            other.wait_for("listening")
            first = other.told("standby")
            time.sleep(2)  # what is on its way has arrived
        again = run(tmp_path / "reporter.yaml", "prune")

    assert (code, first, again.returncode) == (1, [], 0), again.stderr
    assert "SIGTERM a second time" in left


def test_a_frozen_database_holds_up_a_stop_no_longer_than_the_grace(own_postgres: Postgres, tmp_path: Path) -> None:
    with serving(
        written(tmp_path, own_postgres.fresh(), NOBODY), "--every", "1s", "--no-push", "--grace", "3s"
    ) as served:
        served.wait_for("reported")
        with own_postgres.frozen():
            time.sleep(1.5)  # a turn is at it
            began = time.monotonic()
            code = served.end()
            seconds = time.monotonic() - began

    assert (code, seconds < 4) == (1, True), seconds


def test_it_can_be_stopped_while_a_frozen_database_keeps_it_from_starting(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    config = written(tmp_path, own_postgres.fresh(), NOBODY)
    with serving(config, "--no-push") as first:
        first.wait_for("reported")
        with own_postgres.frozen(), serving(config, "--no-push", "--grace", "2s") as served:
            time.sleep(2.5)
            began = time.monotonic()
            served.end()
            assert time.monotonic() - began < 4


def test_a_gateway_that_does_not_answer_once_keeps_it_ready(tmp_path: Path) -> None:
    config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", NOBODY, gateway="timeout: 2s")
    with serving(config) as served:
        assert served.wait_for("push_later")["level"] == "warning"
        status, text = served.get("/readyz")

    assert (status, text.splitlines()[0]) == (200, "ok")
    assert "Connection refused" in text


@pytest.mark.parametrize(
    ("answer", "why"), [("400 Bad Request", "the gateway refused"), ("503 Service Unavailable", "503")]
)
def test_it_is_not_ready_while_no_push_arrives_and_lives_on(tmp_path: Path, answer: str, why: str) -> None:
    answers = [answer]

    def respond(request: Request, connection: socket.socket) -> None:
        connection.sendall(said("200 OK", EMPTY) if request.method == "GET" else said(answers[-1]))

    with Loopback(respond) as gateway:
        config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", gateway.url, gateway="timeout: 500ms")
        with serving(config, "--every", "1s") as served:
            wait_for(lambda: served.get("/readyz")[0] == 503 and served.told("stopping") == [], 20, "it answers")
            wait_for(lambda: "nothing was pushed for" in served.get("/readyz")[1], 20, "it is not ready")
            told = served.get("/readyz")
            alive, page = served.get("/healthz")[0], served.get("/metrics")[0]
            answers.append("202 Accepted")
            wait_for(lambda: served.get("/readyz") == (200, "ok\n"), 20, "it is ready again")

    assert (told[0], why in told[1]) == (503, True), told
    assert (alive, page) == (200, 200)


def test_a_database_that_goes_away_in_mid_turn_is_told_and_found_again(own_postgres: Postgres, tmp_path: Path) -> None:
    answered = Event()

    def answer(request: Request, connection: socket.socket) -> None:
        if request.method == "PUT":
            answered.wait(20)
        connection.sendall(said("200 OK", EMPTY))

    with (
        Loopback(answer) as gateway,
        serving(written(tmp_path, own_postgres.fresh(), gateway.url), "--every", "1s") as served,
    ):
        wait_for(gateway.puts, 20, "the push has begun")
        own_postgres.crash()  # the turn can't give its lease back
        answered.set()
        served.wait_for("turn_failed")
        wait_for(lambda: served.get("/readyz")[0] == 503, 20, "it is not ready")
        status = served.get("/metrics")[0]  # the last page stays: its age is in it
        own_postgres.start()
        wait_for(lambda: served.get("/readyz")[0] == 200, 20, "it is ready again")

    assert status == 200


def test_its_turns_begin_on_the_dot_whenever_it_was_started(tmp_path: Path) -> None:
    time.sleep((2 - time.time()) % 5)
    with serving(written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", NOBODY), "--every", "5s", "--no-push") as served:
        later = served.wait_for("reported", 2)

    assert datetime.fromisoformat(later["at"]).timestamp() - later["due"] < 2
    assert served.told("late") == []


def test_a_clock_that_was_set_back_keeps_no_turn_waiting() -> None:
    scheduler, now = BackgroundScheduler(), datetime.now(UTC)
    scheduler.add_job(print, IntervalTrigger(minutes=1), id="turn")
    scheduler.start(paused=True)
    scheduler.modify_job("turn", next_run_time=now + timedelta(hours=1))

    follow_clock(scheduler, now)

    assert scheduler.get_job("turn").next_run_time < now + timedelta(minutes=2)


def test_whatever_goes_wrong_every_line_is_json_where_it_is_asked_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    unreadable = written(tmp_path, url, NOBODY, slo="{name: fast, sli: availability, objective: 100}")
    refused = run(unreadable, "serve", "--log-format", "json")
    nowhere = run(written(tmp_path, "sqlite:////nowhere/jobs.db", NOBODY), "serve", "--log-format", "json")
    program = """
        import logging, threading, warnings
        from reporter.serve.log import log_to_stderr
        log_to_stderr("json")
        warnings.warn("of old age")
        logging.getLogger("somebody").error("two" + chr(10) + "lines")
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start(), thread.join()
    """
    others = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )

    said = [json.loads(line) for done in (refused, nowhere, others) for line in done.stderr.splitlines()]
    assert (refused.returncode, nowhere.returncode) == (2, 1)
    assert [line["event"] for line in said] == ["failed", "failed", "py.warnings", "somebody", "unexpected"]
    assert "slos[0].objective" in said[0]["message"]
    assert "ZeroDivisionError" in said[4]["traceback"]


def test_a_hangup_reads_the_configuration_again_and_refuses_a_bad_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with serving(written(tmp_path, url, NOBODY), "--every", "1s", "--no-push") as served:
        served.wait_for("reported")
        written(tmp_path, url, NOBODY, slo="{name: fast, sli: availability, objective: 100}")
        served.process.send_signal(signal.SIGHUP)
        refused = served.wait_for("config_refused")["message"]
        still = served.get("/metrics")[1]
        written(tmp_path, url, NOBODY, slo="{name: other, sli: p95 < 1s, period: 1d}")
        served.process.send_signal(signal.SIGHUP)
        served.wait_for("config_read")
        wait_for(lambda: 'slo="other"' in served.get("/metrics")[1], 20, "the new SLO")

    assert "reporter.yaml:3: slos[0].objective" in refused
    assert 'slo_objective_ratio{slo="fast"' in still


def test_pages_are_three_and_a_silent_client_keeps_nobody_out(tmp_path: Path) -> None:
    with serving(written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", NOBODY), "--no-push") as served:
        served.wait_for("reported")
        with socket.create_connection(("127.0.0.1", served.port)):
            found = {
                path: served.get(path)[0] for path in ("/metrics?x=1", "/healthz", "/readyz", "/", "/../etc/passwd")
            }

    assert found == {"/metrics?x=1": 200, "/healthz": 200, "/readyz": 200, "/": 404, "/../etc/passwd": 404}


def test_prices_are_fetched_if_asked_for(tmp_path: Path) -> None:
    model = {"id": "gpt-next", "match": {"equals": "gpt-next"}, "prices": {"input_mtok": 1000, "output_mtok": 0}}
    openai = {"id": "openai", "name": "OpenAI", "api_pattern": "https://api.openai.com", "models": []}
    catalogue, url = tmp_path / "prices.json", f"sqlite:///{tmp_path}/jobs.db"
    catalogue.write_text(json.dumps([openai]))
    config = written(tmp_path, url, NOBODY, more="price_catalogue: prices.json\n")

    def answer(request: Request, connection: socket.socket) -> None:
        connection.sendall(said("200 OK", json.dumps([openai | {"models": [model]}]).encode()))

    with (
        Loopback(answer) as mirror,
        serving(config, "--no-push", "--every", "1s", "--update-prices", mirror.url) as served,
    ):
        served.wait_for("prices_updated")
        served.wait_for("config_read")
        bring_in(open_store(url), tmp_path, calls(3, model="gpt-next"))
        priced = 'llm_request_cost_usd_total{batch_job="nightly",operation="chat",provider="openai",model="gpt-next"} 3'
        wait_for(lambda: priced in served.get("/metrics")[1], 20, "three calls at a dollar")


def test_prices_that_cannot_be_fetched_stay_as_they_are(tmp_path: Path) -> None:
    config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", NOBODY, more="price_catalogue: prices.json\n")
    (tmp_path / "prices.json").write_text("as it is")
    with serving(config, "--no-push", "--update-prices", NOBODY) as served:
        served.wait_for("prices_kept")

    assert (tmp_path / "prices.json").read_text() == "as it is"


def test_until_prices_are_there_the_librarys_own_are_used_and_stopping_waits_for_no_mirror(tmp_path: Path) -> None:
    config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", NOBODY, more="price_catalogue: prices.json\n")
    held: list[socket.socket] = []

    def answer(request: Request, connection: socket.socket) -> None:
        held.append(connection)
        time.sleep(20)

    with Loopback(answer) as mirror, serving(config, "--no-push", "--update-prices", mirror.url) as served:
        served.wait_for("reported")
        wait_for(lambda: held, 10, "it asks the mirror")
        began = time.monotonic()
        assert served.end() == 0
        assert time.monotonic() - began < 5


def test_a_port_that_is_taken_is_trouble_and_a_port_that_is_forbidden_misuse(tmp_path: Path) -> None:
    config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", NOBODY)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = run(config, "serve", "--listen", str(other.getsockname()[1]))
    nowhere = run(config, "serve", "--listen", "192.0.2.1:9464")

    assert (taken.returncode, "Address already in use" in taken.stderr) == (75, True), taken.stderr
    assert (nowhere.returncode, "can't listen there" in nowhere.stderr) == (75, True), nowhere.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--no-push"], "--no-push: then nobody hears of anything; say --listen PORT"),
        (["--every", "500ms"], "--every 500ms: must be whole seconds"),
        (["--grace", "soon"], "--grace: 'soon' is no duration"),
        (["--listen", "localhost"], "--listen 'localhost': write HOST:PORT"),
        (["--listen", "::1:80"], "--listen '::1:80': write HOST:PORT"),
        (["--update-prices"], "--update-prices: write price_catalogue: FILE"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: list[str], why: str) -> None:
    done = run(written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", NOBODY), "serve", *arguments)

    assert (done.returncode, done.stderr.startswith(f"reporter: {why}")) == (2, True), done.stderr

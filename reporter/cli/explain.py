"""`reporter explain`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from reporter import exclusions
from reporter.cli.folded import fold_first
from reporter.cli.root import Context, moment_option
from reporter.cli.rows import table
from reporter.cli.terminal import console, shown
from reporter.config.model import Config
from reporter.errors import ConfigError
from reporter.explain import Explanation
from reporter.explain import explain as explained
from reporter.replay import Firing, Replay
from reporter.replay import replay as replayed
from reporter.report.events import EventReader
from reporter.report.json_form import moment, slo_as_json
from reporter.report.model import SLOStatus
from reporter.report.slos import read_slos
from reporter.report.windows import left_edge, round_up
from reporter.report.words import NOTHING
from reporter.slo.durations import format_duration, parse_duration
from reporter.slo.fields import plain
from reporter.slo.spec import SLO
from reporter.slo.timeline import merged
from reporter.tally import MINUTE_NS

_LENGTHS = ("duration_ns", "ttft_ns")


@click.command()
@click.argument("slo")
@click.option("--as-of", metavar="MOMENT", help="As of this past minute (RFC 3339); now if left out.")
@click.option("--replay", is_flag=True, help="When its alerts would have fired, and for how long.")
@click.option("--since", default="30d", show_default=True, metavar="LENGTH", help="How far back to replay.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--no-fold", is_flag=True, help="Explain what is folded already.")
@click.pass_obj
def explain(context: Context, slo: str, as_of: str | None, replay: bool, since: str, form: str, no_fold: bool) -> None:
    """Say why SLO stands where it stands: counts, formulas with the numbers put in, and what burned the budget.

    \b
    Examples:
      reporter explain chat-latency
      reporter explain chat-latency --as-of 2026-11-01T02:00:00Z
      reporter explain chat-latency --replay --since 30d
    """
    spec = _named(context.config, slo)
    as_of_ns = moment_option(as_of)
    try:
        since_ns = parse_duration(since)
    except ValueError as error:
        raise ConfigError(f"--since: {error}") from None
    if replay and since_ns < MINUTE_NS:
        raise ConfigError(f"--since {since!r}: must be a minute at least")
    fold_first(context, no_fold)
    end = round_up(as_of_ns)
    with context.looked_at.read() as connection:
        excluded = exclusions.in_force(connection, context.config)
        events = EventReader(connection, end, excluded)
        if replay:
            past = replayed(events, spec, left_edge(end, since_ns), end)
            _tell_replay(past, form)
            return
        [status] = read_slos(events, [spec], end, context.config.report.windows_ns, {})
        found = explained(connection, spec, status, excluded, end * MINUTE_NS)
    if form == "json":
        click.echo(json.dumps(_as_json(found), indent=2, allow_nan=False))
    else:
        _show(console(), spec, found)


def _named(config: Config, name: str) -> SLO:
    for slo in config.slos:
        if slo.name == name:
            return slo
    if any(budget.name == name for budget in config.budgets):
        raise ConfigError(
            f"{name!r} is a cost budget; `reporter report` and `reporter cost` tell of it, explain of SLOs"
        )
    names = [slo.name for slo in config.slos]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}" if names else "none is configured"
    raise ConfigError(f"no SLO {name!r} in {config.source or 'reporter.yaml, of which there is none'}; {hint}")


# ── why ──


def _show(out: Console, slo: SLO, found: Explanation) -> None:
    status = found.status
    where = slo.where.describe()
    out.print(Text.assemble(shown(slo.name, "bold"), "  ", status.state.replace("_", " ")))
    out.print(shown(f"{plain(slo.objective)} % of {_events_of(slo)} within {slo.period}: {slo.sli.describe()}"
                    + f", where {where}" * bool(where)), soft_wrap=True)  # fmt: skip
    out.print(f"as of {moment(found.end_ns)}, where every window ends", style="dim")
    out.print(f"burn rate = (bad / total) / (1 − {plain(slo.objective_ratio)})")
    out.print()
    out.print(table(("window", "from", "good", "bad", "burn rate"), _windows(slo, status)))
    for period in status.periods:
        out.print(f"{period.period}: {_budget(slo, period.bad, period.good, period.remaining_ratio)}", soft_wrap=True)
    for alert in status.alerts:
        out.print(_alert(slo, status, alert), soft_wrap=True)
    _show_burned(out, slo, found)
    for sentence in _left_out(slo, found):
        out.print(shown(sentence), soft_wrap=True)


def _events_of(slo: SLO) -> str:
    if slo.slice_ns:
        return f"slices of {format_duration(slo.slice_ns)}"
    return slo.sli.over


def _windows(slo: SLO, status: SLOStatus) -> Iterator[tuple[Any, ...]]:
    for label, window in status.windows.items():
        start = (moment(window.start_ns) or "")[:16].replace("T", " ")
        told = NOTHING
        if window.burn_rate is not None and window.total:
            ratio = f"({_number(window.bad)} / {_number(window.total)})"
            told = f"{window.burn_rate:.4g} = {ratio} / {plain(slo.error_budget_ratio)}"
        elif window.burn_rate is not None:
            told = f"{window.burn_rate:.4g}, because missing: {slo.missing}"
        yield label, start, window.good, window.bad, told


def _number(count: int | float) -> str:
    return f"{count:,}" if isinstance(count, int) else f"{count:,.6g}"


def _budget(slo: SLO, bad: int | float, good: int | float, remaining: float | None) -> str:
    if remaining is None:
        return "nothing happened, so nothing is said of its budget"
    allowed = Decimal(str(good + bad)) * slo.error_budget_ratio
    return f"{_number(bad)} bad of the {_number(float(allowed))} that {_number(good + bad)} allow; {remaining:.1%} left"


def _alert(slo: SLO, status: SLOStatus, alert: Any) -> str:
    long, short = status.windows[alert.long], status.windows[alert.short]
    rates = [NOTHING if rate is None else f"{rate:.4g}" for rate in (long.burn_rate, short.burn_rate)]
    told = f"{alert.severity} {alert.long}/{alert.short}: {rates[0]} and {rates[1]}"
    if alert.firing:
        return f"{told}, both above {alert.factor:.6g}: fires"
    above = [rate is not None and rate > alert.factor for rate in (long.burn_rate, short.burn_rate)]
    if all(above):
        return f"{told}, both above {alert.factor:.6g}, but fewer than {slo.min_bad_events} bad events: held back"
    return f"{told}, not both above {alert.factor:.6g}"


def _show_burned(out: Console, slo: SLO, found: Explanation) -> None:
    if not found.bad:
        return
    since = (moment(found.first_ns) or "")[:16].replace("T", " ")
    what = "minutes of jobs" if slo.sli.over == "minutes" else slo.sli.over
    out.print(Text(f"\nWhat burned the budget: {found.bad:,} bad {what} since {since}", style="bold"))
    rows = [
        (name, share.value or NOTHING, share.bad, f"{share.ratio:.0%}")
        for name, shares in found.by.items()
        if len(shares) > 1 or (shares and shares[0].value)
        for share in shares
    ]
    out.print(table(("by", "value", "bad", "share"), rows))
    if found.worst:
        out.print(Text(f"\nThe worst {what}" if len(found.worst) > 1 else "\nThe worst", style="bold"))
        worst = [_told(event) for event in found.worst]
        out.print(table(tuple(worst[0]), [tuple(event.values()) for event in worst]))


def _told(event: Mapping[str, Any]) -> dict[str, Any]:
    """A bad event for eyes: its moment, what is special of it, its id."""
    told: dict[str, Any] = {"ended": (moment(event["ended_at_ns"]) or "")[:19].replace("T", " ")}
    for name in ("batch_job", "model", "status", "error_type"):
        if name in event:
            told[name] = event[name]
    for name in _LENGTHS:
        if name in event:
            told[name.replace("_ns", " s")] = None if event[name] is None else event[name] / 1e9
    if event.get("cost_nanousd") is not None:
        told["USD"] = event["cost_nanousd"] / 1e9
    told["id"] = event.get("call_id") or event.get("run_id")
    return told


def _left_out(slo: SLO, found: Explanation) -> Iterator[str]:
    """What does not count, or counts later than was told."""
    yield ""
    if found.left_out:
        kinds = ", ".join(f"{count:,}× {name}" for name, count in found.left_out.items())
        yield f"Out of total by exclude_error_types: {kinds}."
    if found.not_judged:
        yield f"{found.not_judged:,} {slo.sli.over} have nothing that {slo.sli.describe()} could judge, and are out of total."
    for excluded, count in found.excluded:
        first, end = (moment(minute * MINUTE_NS) for minute in (excluded.first, excluded.end))
        yield f"Left out from {first} to {end} ({excluded.reason}): {count:,}."
    if found.late:
        yield f"{found.late:,} {'call' if found.late == 1 else 'calls'} came after a push had told of their minute."
    if found.raw_since_ns is not None:
        yield f"Raw calls from before {moment(found.raw_since_ns)} are gone (retention.calls): the tables above lack them."


def _as_json(found: Explanation) -> dict[str, Any]:
    return {
        "slo": slo_as_json(found.status),
        "from": moment(found.first_ns),
        "to": moment(found.end_ns),
        "bad": found.bad,
        "by": {
            name: [{"value": share.value or None, "bad": share.bad, "ratio": share.ratio} for share in shares]
            for name, shares in found.by.items()
        },
        "worst": [{**event, "ended_at": moment(event["ended_at_ns"])} for event in found.worst],
        "late_calls": found.late,
        "excluded_error_types": dict(found.left_out),
        "not_judged": found.not_judged,
        "exclusions": [
            {
                "exclusion": excluded.name or None,
                "from": moment(excluded.first * MINUTE_NS),
                "to": moment(excluded.end * MINUTE_NS),
                "reason": excluded.reason,
                "events": count,
            }
            for excluded, count in found.excluded
        ],
        "raw_since": moment(found.raw_since_ns),
    }


# ── when it would have fired ──


def _tell_replay(past: Replay, form: str) -> None:
    if form == "json":
        told = {
            "slo": past.slo,
            "since": moment(past.since_ns),
            "until": moment(past.until_ns),
            "firings": [_firing_as_json(firing) for firing in past.firings],
        }
        click.echo(json.dumps(told, indent=2, allow_nan=False))
        return
    out = console()
    span = f"{moment(past.since_ns)} to {moment(past.until_ns)}"
    if past.pruned:
        out.print(f"Minutes from before were pruned (retention.minutes): replayed from {moment(past.since_ns)} on.")
    if past.firings:
        out.print(
            table(("severity", "alert", "fired at", "resolved at", "for", "highest burn rate"), map(_row, past.firings))
        )
    for severity in ("page", "ticket"):
        mine = merged((firing.start_ns, firing.end_ns) for firing in past.firings if firing.severity == severity)
        length = format_duration(sum(end - start for start, end in mine))
        times = "once" if len(mine) == 1 else f"{len(mine)} times"
        verb = "paged" if severity == "page" else "opened a ticket"
        out.print(f"It would have {verb} {times}, {length} in all." if mine else f"It would not have {verb}.")
    out.print(f"Replayed every minute of {span} with what is known now.", style="dim", soft_wrap=True)


def _row(firing: Firing) -> tuple[Any, ...]:
    return (
        firing.severity,
        f"{firing.long}/{firing.short} > {firing.factor:.6g}",
        (moment(firing.start_ns) or "")[:16].replace("T", " "),
        "still fires" if firing.open else (moment(firing.end_ns) or "")[:16].replace("T", " "),
        format_duration(firing.end_ns - firing.start_ns),
        firing.highest_burn_rate,
    )


def _firing_as_json(firing: Firing) -> dict[str, Any]:
    return {
        "severity": firing.severity,
        "long": firing.long,
        "short": firing.short,
        "factor": firing.factor,
        "from": moment(firing.start_ns),
        "to": None if firing.open else moment(firing.end_ns),
        "duration_seconds": (firing.end_ns - firing.start_ns) / 1e9,
        "highest_burn_rate": firing.highest_burn_rate,
    }

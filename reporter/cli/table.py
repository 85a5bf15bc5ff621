"""A report for eyes: narrow enough for 80 columns, with what matters most first.

SLOs        how good, how much of the error budget is left, which alerts fire
burn rates  by window; 1 uses the budget up exactly at the end of the period
budgets     what was spent of them, and what it will come to
calls       of one window: how many, how fast, what they cost
jobs        what became of their runs
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from reporter.cli.terminal import shown
from reporter.report.json_form import moment, usd
from reporter.report.model import (
    AlertState,
    BudgetStatus,
    CallStats,
    CallWindow,
    JobStatus,
    PeriodStatus,
    Report,
    SLOStatus,
)
from reporter.report.words import NOTHING, seconds
from reporter.slo.exclusions import Exclusion
from reporter.slo.fields import plain
from reporter.tally import MINUTE_NS

BAR_CELLS = 8
_LEAST_NAME = 12
STATE_STYLES = {
    "ok": "green", "burning": "yellow", "exhausted": "red", "failed": "red", "lost": "red", "missed": "red",
    "late": "yellow", "overrun": "yellow", "running": "cyan",
}  # fmt: skip


def show(console: Console, made: Report, window: str | None = None) -> None:
    """Print the report; calls are those of `window`, the longest if None."""
    console.print(f"as of {moment(made.as_of_ns)}")
    if not made.slos and not made.calls and not made.jobs and not made.budgets:
        console.print(
            'No calls yet.  Decorate one with @reporter.call("chat"), run it, and look again.', soft_wrap=True
        )
    if made.slos:
        console.print(_slos(made.slos))
        for table in _burn_rates(made.slos, max(4, (console.width - 16) // 7)):
            console.print(table)
        console.print("1 uses the budget up exactly at the period's end; ! marks a firing alert.", style="dim")
        several = [
            slo for slo in made.slos if len(slo.periods) > 1 or (slo.periods and slo.periods[0].elapsed_ratio < 1)
        ]
        if several:
            console.print(_periods(several))
        for slo in made.slos:
            for alert in slo.alerts:
                if alert.firing:
                    long, short = slo.windows[alert.long].burn_rate, slo.windows[alert.short].burn_rate
                    console.print(alert_line(slo.slo, alert, long, short), soft_wrap=True)
        for excluded in made.exclusions:
            console.print(_exclusion(excluded), soft_wrap=True)
    if made.budgets:
        console.print(budget_table(made.budgets))
        for sentence in alerts_of_budgets(made.budgets, made.as_of_ns):
            console.print(sentence, soft_wrap=True)
    if made.calls:
        label = window or list(made.calls[0].windows)[-1]
        if label in made.calls[0].windows:
            console.print(_calls(made.calls, label))
            _sums(console, made, label)
    if made.jobs:
        console.print(job_table(made.jobs, made.as_of_ns, wide=console.width >= 100))
    for note in made.notes:
        console.print(Text("note: ") + shown(note), soft_wrap=True)


def titled(title: str) -> Table:
    """An empty table under a title."""
    return Table(
        box=None, padding=(0, 2, 0, 0), title=f"\n{title}", title_justify="left", title_style="bold", header_style="dim"
    )


def narrowed(table: Table, width: int, *headings: str) -> Table:
    """`table` without as many of these columns, the first first, as are in the way of names on a terminal of `width`."""
    for heading in headings:
        if sum(_least_width(column) for column in table.columns) <= width:
            break
        table.columns = [column for column in table.columns if column.header != heading]
        for index, column in enumerate(table.columns):
            column._index = index
    return table


def _least_width(column: Column) -> int:
    if not column.no_wrap:  # a name, which is folded
        return _LEAST_NAME + 2
    return max(cell_len(str(cell)) for cell in (column.header, *column.cells)) + 2


def _slos(slos: tuple[SLOStatus, ...]) -> Table:
    table = titled("SLOs")
    table.add_column("SLO", overflow="fold")
    for name in ("goal", "period", "bad", "SLI"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("error budget left", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for slo in slos:
        period = slo.windows.get(slo.period)
        goal = f"{plain(Decimal(str(slo.objective_ratio)) * 100)} %"
        table.add_row(
            shown(slo.slo), goal, shown(slo.period), _count(period.bad) if period else NOTHING,
            _percent(period.sli_ratio if period else None), left_cell(slo.remaining_ratio),
            Text(slo.state.replace("_", " "), style=STATE_STYLES.get(slo.state, "")),
        )  # fmt: skip
    return table


def _count(events: int | float) -> str:
    return f"{events:,}" if isinstance(events, int) else f"{events:,.2f}"


def _periods(slos: Sequence[SLOStatus]) -> Table:
    table = titled("Periods")
    table.add_column("SLO", overflow="fold")
    table.add_column("period", no_wrap=True)
    table.add_column("over", justify="right", no_wrap=True)
    table.add_column("left to date", no_wrap=True)
    for name in ("used of it", "at its end", "gone at (UTC)"):
        table.add_column(name, justify="right", no_wrap=True)
    for slo in slos:
        for period in slo.periods:
            table.add_row(
                shown(slo.slo), shown(period.period), f"{period.elapsed_ratio:.0%}", left_cell(period.remaining_ratio),
                _used(period.consumed_of_period_ratio), _used(period.projected_ratio),
                _gone(period),
            )  # fmt: skip
    return table


def _gone(period: PeriodStatus) -> str:
    if (period.consumed_of_period_ratio or 0) >= 1:
        return "already"
    return (moment(period.exhausted_at_ns) or NOTHING)[:16].replace("T", " ")


def _used(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:,.0%}"


def _exclusion(excluded: Exclusion) -> Text:
    first, end = (moment(minute * MINUTE_NS) for minute in (excluded.first, excluded.end))
    slos = ", ".join(excluded.slos)
    return Text.assemble("left out: ", shown(f"{first} to {end} of {slos}, {excluded.reason}"))


def _percent(ratio: float | None) -> str:
    """A ratio as percent, cut and not rounded up: what misses 99.9 % must not read 99.90 %."""
    return NOTHING if ratio is None else f"{int(ratio * 10_000 + 1e-7) / 100:.2f} %"


def left_cell(remaining: float | None, *, bar: bool = True) -> Text:
    """What is left of a budget (a ratio), as a bar and in percent."""
    if remaining is None:
        return Text(NOTHING)
    filled = max(0.0, min(1.0, remaining))
    cells = round(filled * BAR_CELLS)
    if filled > 0 and cells == 0:
        cells = 1
    style = "green" if remaining > 0.25 else "yellow" if remaining > 0 else "red"
    percent = f"{remaining * 100:,.0f}".replace("-", "−")
    told = Text(f"{percent} %", style=style)
    return Text.assemble(("█" * cells, style), ("░" * (BAR_CELLS - cells), "dim"), " ", told) if bar else told


def _burn_rates(slos: tuple[SLOStatus, ...], most: int) -> Iterator[Table]:
    """Every window that any of the SLOs has, in tables of at most so many."""
    starts = {label: window.start_ns for slo in slos for label, window in slo.windows.items()}
    labels = sorted(starts, key=lambda label: -starts[label])
    for first in range(0, len(labels), most):
        yield _burn_rates_of(slos, labels[first : first + most])


def _burn_rates_of(slos: tuple[SLOStatus, ...], labels: Sequence[str]) -> Table:
    table = titled("Burn rates")
    table.add_column("SLO", overflow="fold")
    for label in labels:
        table.add_column(label, justify="right", no_wrap=True)
    for slo in slos:
        alarmed = {label for alert in slo.alerts if alert.firing for label in (alert.long, alert.short)}
        cells = []
        for label in labels:
            window = slo.windows.get(label)
            cells.append(burn_cell(None if window is None else window.burn_rate, label in alarmed))
        table.add_row(shown(slo.slo), *cells)
    return table


def burn_cell(rate: float | None, alarmed: bool) -> Text:
    """A burn rate; `alarmed` where an alert fires by it."""
    if rate is None:
        return Text(NOTHING, style="dim")
    told = "0" if rate == 0 else f"{rate:.2f}" if rate < 9.995 else f"{rate:,.0f}"
    return Text(told + "!" * alarmed, style="bold red" if alarmed else "yellow" if rate > 1 else "")


def alert_line(name: str, alert: AlertState, long: float | None, short: float | None) -> Text:
    """A firing alert in a line: how fast both windows burn."""
    return Text.assemble(
        (alert.severity, "bold red" if alert.severity == "page" else "bold yellow"), " ", shown(name),
        f": {_times(long or 0)} in {alert.long} and {_times(short or 0)} in {alert.short}, both above {alert.factor:g}×",
    )  # fmt: skip


def _times(rate: float) -> str:
    return f"{rate:,.0f}×" if rate >= 99.95 else f"{rate:.3g}×"


def budget_table(budgets: tuple[BudgetStatus, ...], *, bar: bool = True) -> Table:
    """Cost budgets, a row each."""
    table = titled("Cost budgets")
    table.add_column("budget", overflow="fold")
    for name in ("period", "USD", "spent"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("left", no_wrap=True)
    table.add_column("projected", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for budget in budgets:
        misses = "+" * budget.partial
        over = budget.projected_nanousd is not None and budget.projected_nanousd > budget.nanousd
        table.add_row(
            shown(budget.budget), budget.period_name or budget.period, _dollars(budget.nanousd, ""),
            _dollars(budget.spent_nanousd, misses), left_cell(budget.remaining_ratio, bar=bar),
            Text(_dollars(budget.projected_nanousd, misses), style="yellow" if over else ""),
            Text(budget.state, style=STATE_STYLES.get(budget.state, "")),
        )  # fmt: skip
    return table


def _dollars(nanousd: int | None, misses: str) -> str:
    return "?" if nanousd is None else f"{usd(nanousd):,.2f}{misses}"


def alerts_of_budgets(budgets: tuple[BudgetStatus, ...], as_of_ns: int) -> Iterator[Text]:
    """What there is to say of budgets: alerts that fire, and money that will not last."""
    for budget in budgets:
        for alert in budget.alerts:
            if alert.firing:
                yield alert_line(budget.budget, alert, budget.burn_rates[alert.long], budget.burn_rates[alert.short])
        if budget.exhausted_at_ns is not None:
            gone = (moment(budget.exhausted_at_ns) or "")[:16].replace("T", " ")
            is_past = budget.exhausted_at_ns <= as_of_ns
            told = (
                f": gone since {gone} UTC" if is_past else f": gone on {gone} UTC at the rate of the last {budget.rate}"
            )
            yield shown(budget.budget) + Text(told)
    if any(budget.partial for budget in budgets):
        yield Text("+ leaves out calls that have no price.", style="dim")


def _calls(calls: tuple[CallStats, ...], label: str) -> Table:
    alike = _alike(calls)
    names = " · ".join(name for name, _ in calls[0].labels if name not in alike)
    table = titled(f"Calls in {label}" + (f", all {', '.join(alike.values())}" if alike else ""))
    table.add_column(names if len(names) < 20 else "by job, operation, model", overflow="fold")
    for name in ("calls", "bad", "p50", "p95", "p99", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(calls, key=lambda row: -row.windows[label].cost_nanousd):
        window = row.windows[label]
        quantiles = window.duration_seconds
        table.add_row(
            shown(" · ".join(value for name, value in row.labels if value and name not in alike) or NOTHING),
            f"{window.calls:,}", f"{window.errors:,}",
            *(seconds(value) for value in (quantiles.p50, quantiles.p95, quantiles.p99)),
            _money(window) if row.llm or window.cost_nanousd else NOTHING,
        )  # fmt: skip
    return table


def _alike(calls: tuple[CallStats, ...]) -> dict[str, str]:
    """Labels that say the same in every row, which need no column."""
    if len(calls) < 2:
        return {}
    values: dict[str, set[str]] = {}
    for row in calls:
        for name, value in row.labels:
            values.setdefault(name, set()).add(value)
    return {name: next(iter(those)) for name, those in values.items() if len(those) == 1 and next(iter(those))}


def _money(window: CallWindow) -> str:
    """What the calls cost; none of them priced is no money at all, some of them is a total that misses some."""
    if window.is_unpriced:
        return "?"
    return f"{usd(window.cost_nanousd):,.{2 if window.cost_nanousd >= 10**9 else 4}f}" + "+" * bool(
        window.unpriced_calls
    )


def _sums(console: Console, made: Report, label: str) -> None:
    windows = [row.windows[label] for row in made.calls]
    unpriced = sum(window.unpriced_calls for window in windows)
    cost = usd(sum(window.cost_nanousd for window in windows))
    without = "call has no price (+, ?) and is" if unpriced == 1 else "calls have no price (+, ?) and are"
    missing = f"; {unpriced:,} {without} not in it" if unpriced else ""
    console.print(f"Together {cost:,.2f} USD{missing}.", soft_wrap=True)
    lost = made.self_status.lost_calls
    if lost:
        verb = "call was" if lost == 1 else "calls were"
        console.print(f"{lost:,} {verb} lost so far: started, never ended.  They count as bad.", soft_wrap=True)
    for trouble, occurrences in made.self_status.troubles.items():
        console.print(Text(f"recorders report {occurrences:,}× ") + shown(trouble), soft_wrap=True)


def job_table(jobs: tuple[JobStatus, ...], as_of_ns: int, *, wide: bool) -> Table:
    """Batch jobs, a row each."""
    table = titled("Jobs")
    table.add_column("job", overflow="fold")
    table.add_column("state", no_wrap=True)
    for name in ("runs", "failed", "lost", "missed"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("last start", "next (UTC)"):
        table.add_column(name, no_wrap=True)
    if wide:
        table.add_column("took", justify="right", no_wrap=True)
    for job in jobs:
        table.add_row(
            shown(job.batch_job), Text(job.state, style=STATE_STYLES.get(job.state, "")),
            f"{job.runs:,}", f"{job.failed_runs:,}", f"{job.lost_runs:,}",
            NOTHING if job.missed_runs_at_ns is None else f"{len(job.missed_runs_at_ns):,}",
            *(when(at_ns, as_of_ns) for at_ns in (job.last_start_at_ns, job.next_run_at_ns)),
            *[seconds(job.last_duration_seconds)][:wide],
        )  # fmt: skip
    return table


def when(at_ns: int | None, as_of_ns: int) -> str:
    """A moment as a clock in UTC shows it, with its day where that is another one."""
    told = moment(at_ns)
    if told is None:
        return NOTHING
    return told[11:16] if told[:10] == (moment(as_of_ns) or "")[:10] else told[5:16].replace("T", " ")

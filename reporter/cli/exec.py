"""`reporter exec`; on its way to the command it imports the standard library and the recording half only."""

from __future__ import annotations

from reporter.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reporter.command import Settings

HELP = """\
Usage: reporter exec --job NAME [OPTIONS] -- COMMAND [ARGUMENTS…]

  Run any command as one run of the batch job NAME, and return its exit code.

  Signals are passed on to it, its output passes through, and the last of it is kept. Calls that it records belong to the run.
  A line `reporter: items=123` that it prints says how many items it did.

Options:
  --job NAME             Whose run it is.  Required.
  --timeout LENGTH       After so long, like 90s or 2h, SIGTERM; exit 124, as timeout(1) has it. 0 is no limit. Of each try.
  --kill-after LENGTH    From SIGTERM to SIGKILL.  [default: 10s]
  --lock skip|wait|fail  What to do while another run of the job is under way on this machine: exit 0, wait, exit 75.
  --lock-wait LENGTH     With --lock wait: how long at most, then exit 75.
  --retries N            Try again so often when it fails; one run all the same.
  --retry-delay LENGTH   Before each further try.  [default: 10s]
  --items-file FILE      Where it writes how many items it did.
  --scheduled-for MOMENT The moment that the schedule meant (RFC 3339).
  --database URL         Wins over REPORTER_DATABASE_URL, which wins over the one that reporter.yaml names.
  --config FILE          The reporter.yaml, if not the one that `reporter push` would find.
  -h, --help             Show this message and exit.

Examples:
  reporter exec --job nightly-export --timeout 2h --lock skip -- ./export.sh --all
  reporter exec --job backup -- pg_dump -Fc -f /backup/app.dump app

Exit codes: the command's; 128 + n when signal n ended it; 124 when its time was up; 126 not executable; 127 not found;
2 misuse; 75 another run holds the lock.
"""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def main(arguments: Sequence[str]) -> int:
    """Run `reporter exec`, given what stands behind that; returns the exit code.

    Raises:
        ReporterError: the options can't be meant, or the lock is held.
    """
    options, command = _split(arguments)
    if "help" in options:
        print(HELP, end="")
        return 0
    if not options.get("job"):
        raise UsageError("exec: --job NAME is required: whose run is it?  reporter exec --help shows how")
    if not command or not command[0]:
        raise UsageError("exec: there is no command; write it behind --, as in: reporter exec --job NAME -- ./run.sh")
    from reporter.cli.exec_database import database
    from reporter.command import Settings, execute
    from reporter.recorder import Recorder

    settings = Settings(options["job"])
    for name, value in options.items():
        if name in _SETTERS:
            _SETTERS[name](settings, value)
    recorder = Recorder(database(options.get("database"), options.get("config")))
    try:
        return execute(recorder, command, settings)
    finally:
        recorder.close()


_FLAGS = (
    "job", "timeout", "kill-after", "lock", "lock-wait", "retries", "retry-delay", "items-file", "scheduled-for", "database",
    "config",
)  # fmt: skip


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Options, and the command behind them: after `--`, or from the first argument that is no option."""
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return options, rest
        if word in ("-h", "--help"):
            return {"help": ""}, []
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("-"):
            return options, [word, *rest]
        if not word.startswith("--") or name not in _FLAGS:
            import difflib

            near = difflib.get_close_matches(name, _FLAGS, 1)
            meant = f"did you mean --{near[0]}?" if near else "the command stands behind --"
            raise UsageError(f"exec: no option {word.partition('=')[0]}; {meant}")
        if not equals:
            if not rest:
                raise UsageError(f"exec: --{name} needs a value")
            value = rest.pop(0)
        options[name] = value
    return options, []


def _seconds(option: str, value: str) -> float:
    number = value.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        seconds = float(number) * _UNITS[value[len(number) :] or "s"]
    except (ValueError, KeyError):
        raise UsageError(f"exec: --{option} {value!r}: write a length like 90s, 5m or 2h") from None
    if not 0 <= seconds < 10**8:
        raise UsageError(f"exec: --{option} {value!r}: must be a length from 0 to three years")
    return seconds


def _set_lock(settings: Settings, value: str) -> None:
    if value not in ("skip", "wait", "fail"):
        raise UsageError(f"exec: --lock {value!r}: must be skip, wait or fail")
    settings.lock = value


def _set_retries(settings: Settings, value: str) -> None:
    if not value.isdecimal() or len(value) > 4 or int(value) > 1000:  # int() refuses thousands of digits
        raise UsageError(f"exec: --retries {value[:40]!r}: must be a number up to 1000")
    settings.retries = int(value)


def _length(name: str) -> Callable[[Settings, str], None]:
    def set_length(settings: Settings, value: str) -> None:
        setattr(settings, name, _seconds(name.replace("_", "-"), value))

    return set_length


def _set_timeout(settings: Settings, value: str) -> None:
    settings.timeout = _seconds("timeout", value) or None


def _text(name: str) -> Callable[[Settings, str], None]:
    def set_text(settings: Settings, value: str) -> None:
        setattr(settings, name, value)

    return set_text


_SETTERS: dict[str, Callable[[Settings, str], None]] = {
    "timeout": _set_timeout, "kill-after": _length("kill_after"), "lock": _set_lock, "lock-wait": _length("lock_wait"),
    "retries": _set_retries, "retry-delay": _length("retry_delay"), "items-file": _text("items_file"),
    "scheduled-for": _text("scheduled_for"),
}  # fmt: skip

"""The command line: one file a command group, each imported only when it is asked for; no logic here."""

from __future__ import annotations

import io
import os
import sys

CLOSED_PIPE = 141  # as a shell tells of SIGPIPE
INTERRUPTED = 130


def main() -> None:
    """Run `reporter`; exit 0 done, 1 failed, 2 misuse or bad config, 75 try again."""
    _occupy_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no “–” still gets its table
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        code = CLOSED_PIPE
    except OSError as error:
        _drop_output()
        code = _say(f"output: {error.strerror}", 1)
    sys.exit(code)


def _run() -> int:
    if sys.argv[1:2] == ["exec"]:
        return _exec()
    try:
        import click

        from reporter.cli.root import root
    except ModuleNotFoundError as error:
        return _missing(error)
    from reporter.errors import ReporterError

    try:
        if "_REPORTER_COMPLETE" in os.environ:  # a shell asks for completions
            root(prog_name="reporter")
        # Not `root()`: what ends it, a closed pipe and Ctrl-C too, is told below and nowhere else.
        with root.make_context("reporter", sys.argv[1:]) as context:
            root.invoke(context)
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        usage = getattr(error, "ctx", None)
        hint = f"; {usage.command_path} --help shows how" if usage is not None else ""
        return _say(f"{error.format_message().rstrip('.')}{hint}", 2)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except ReporterError as error:
        return _say(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        return _missing(error)
    except BrokenPipeError:
        raise
    except Exception as error:  # the last line of defence: one line for people, the traceback for those who ask
        if os.environ.get("REPORTER_TRACEBACK"):
            raise
        if isinstance(error, OSError) and error.strerror:
            return _say(f"{error.filename or 'output'}: {error.strerror}", 1)
        return _say(f"unexpected {type(error).__name__}: {error} (REPORTER_TRACEBACK=1 shows where)", 1)


def _exec() -> int:
    """`reporter exec`, without what the other commands import: a job waits for it."""
    from reporter.cli.exec import main
    from reporter.errors import ReporterError

    try:
        return main(sys.argv[2:])
    except KeyboardInterrupt:  # while it waits for a lock; once it is at work it handles that itself
        return INTERRUPTED
    except ReporterError as error:
        return _say(str(error), error.exit_code)


def _say(message: str, code: int) -> int:
    """One message on stderr, without what a terminal would obey."""
    if sys.stderr is None:
        return code
    text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in f"reporter: {message}")
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody listens; the exit code says it
    return code


def _occupy_closed() -> None:
    """Where 0, 1 or 2 was closed before we started: no file that is opened from here on shall be taken for it.

    Who we start has it closed, as we had.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)


def _drop_output() -> None:
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _missing(error: ModuleNotFoundError) -> int:
    extra = "postgres" if error.name == "psycopg" else "report"
    return _say(f"{error.name} is not installed; for this: pip install 'reporter[{extra}]'", 2)

"""The command line: one file a command group, each imported only when it is asked for; no logic here."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run `reporter`; exit 0 done, 1 failed, 2 misuse or bad config, 75 try again."""
    try:
        import click

        from reporter.cli.root import root
    except ModuleNotFoundError as error:
        sys.exit(_missing(error))
    from reporter.errors import ReporterError

    try:
        root(prog_name="reporter", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ReporterError as error:
        print(f"reporter: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except ModuleNotFoundError as error:
        sys.exit(_missing(error))
    except Exception as error:  # the last line of defence: one line for people, the traceback for those who ask
        if os.environ.get("REPORTER_TRACEBACK"):
            raise
        print(
            f"reporter: unexpected {type(error).__name__}: {error} (REPORTER_TRACEBACK=1 shows where)", file=sys.stderr
        )
        sys.exit(1)


def _missing(error: ModuleNotFoundError) -> int:
    extra = "postgres" if error.name == "psycopg" else "report"
    print(f"reporter: {error.name} is not installed; for this: pip install 'reporter[{extra}]'", file=sys.stderr)
    return 2

"""How a call or a run ended, told from the exception that ended it (or none)."""

from __future__ import annotations

_TIMEOUTS = (
    "TimeoutError", "TimeoutException", "Timeout", "ReadTimeout", "ConnectTimeout", "APITimeoutError",
    "SoftTimeLimitExceeded", "JobTimeoutException", "AirflowTaskTimeout",  # what Celery, RQ and Airflow end a task with
)  # fmt: skip
_CANCELLED = ("CancelledError", "KeyboardInterrupt")


def of_call(error: BaseException | None) -> tuple[str, str | None, int | None]:
    """(status, error_type, http_status) of a call that ended with `error`."""
    if error is None:
        return "success", None, None
    kind = type(error)
    names = [base.__name__ for base in kind.__mro__]
    if any(name in _CANCELLED for name in names):
        return "cancelled", kind.__name__, None
    if isinstance(error, GeneratorExit):
        return "abandoned", kind.__name__, None
    if isinstance(error, SystemExit):
        return ("success", None, None) if error.code in (None, 0) else ("error", "SystemExit", None)
    if any(name in _TIMEOUTS for name in names):
        return "timeout", kind.__name__, None
    http_status = _http_status(error)
    if http_status is not None:
        return "error", str(http_status), http_status
    return "error", kind.__name__, None


def of_run(error: BaseException | None) -> tuple[str, str | None, int]:
    """(status, error_type, exit_code) of a run that ended with `error`."""
    if error is None:
        return "success", None, 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        return ("success", None, 0) if code == 0 else ("failed", "SystemExit", code)
    status, error_type, _ = of_call(error)
    code = 130 if isinstance(error, KeyboardInterrupt) else 1
    return "timeout" if status == "timeout" else "failed", error_type, code


def _http_status(error: BaseException) -> int | None:
    try:
        for holder in (error, getattr(error, "response", None)):
            status = getattr(holder, "status_code", None)
            if type(status) is int and 100 <= status <= 599:
                return status
    except Exception:  # a stranger's property; what it throws is not the job's affair
        return None
    return None

"""Where reports are pushed to, with what secrets, and what of that can't be meant."""

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Annotated, BinaryIO, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from reporter.errors import ConfigError
from reporter.slo.durations import UNITS_NS
from reporter.slo.fields import Duration, PositiveDuration, Spec, refusal

MAX_SECRET_BYTES = 64 * 1024
METRIC_LABELS = frozenset(
    ("batch_job", "operation", "provider", "model", "status", "type", "slo", "service", "window", "result", "quantile", "le",
     "version", "trouble", "budget", "severity", "reason", "state")
)  # fmt: skip
"""Labels that samples have, or will have; a test compares them with the metrics."""

_METRIC_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Make a path relative to the file that says it, because cron's working directory is not the person's."""
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / path.expanduser()


File = Annotated[Path, AfterValidator(_beside_the_file)]


def _is_loopback(host: str) -> bool:
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Pushgateway(Spec):
    """Where reports are pushed to, and how."""

    url: str = "http://localhost:9091"
    grouping: dict[str, str] = Field(default_factory=lambda: {"job": "reporter"})
    username: str | None = None
    password: SecretStr | None = None
    password_file: File | None = None
    bearer_token_file: File | None = None
    ca_file: File | None = None
    client_cert: File | None = None
    client_key: File | None = None
    timeout_ns: PositiveDuration = Field(default=10 * UNITS_NS["s"], alias="timeout")
    new_series_delay_ns: Duration = Field(default=30 * UNITS_NS["s"], alias="new_series_delay")
    """How long a new counter is shown as 0 before its true value, so that `increase()` sees it rise."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("must be a URL like http://localhost:9091") from None
        if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", url):
            raise ValueError("must be an http or https URL like http://localhost:9091")
        if "@" in parts.netloc:
            raise ValueError("must hold no credentials; use username with password_file, or bearer_token_file")
        if parts.query or parts.fragment:
            raise ValueError("must have neither a query nor a fragment")
        return url.rstrip("/")

    @field_validator("grouping")
    @classmethod
    def _check_grouping(cls, grouping: dict[str, str]) -> dict[str, str]:
        problems: list[tuple[tuple[str, ...], str]] = []
        for label in grouping:
            if not _METRIC_LABEL.fullmatch(label) or label.startswith("__"):
                problems.append(((label,), "is no label name: letters, digits and _, and no __ in front"))
            elif label in METRIC_LABELS:
                problems.append(((label,), "is a label of the metrics themselves, which a group can't overrule"))
        if not grouping.get("job"):
            problems.append(((), "needs job, which names the group at the gateway"))
        if problems:
            raise refusal(problems)
        return grouping

    @model_validator(mode="after")
    def _check_authentication(self) -> Self:
        problems: list[tuple[tuple[str], str]] = []
        passwords = (self.password is not None) + (self.password_file is not None)
        if passwords > 1:
            problems.append((("password_file",), "contradicts password: give one of them"))
        if passwords and self.username is None:
            problems.append((("username",), "is missing beside the password"))
        if self.username is not None and not passwords:
            problems.append((("username",), "needs password_file, or password: ${VARIABLE}"))
        if self.username is not None and (":" in self.username or not self.username.isprintable()):
            problems.append((("username",), "must have no colon and no control characters"))
        if self.bearer_token_file is not None and (self.username is not None or passwords):
            problems.append((("bearer_token_file",), "contradicts username and password: give one of them"))
        if self.client_key is not None and self.client_cert is None:
            problems.append((("client_key",), "needs client_cert"))
        secret = self.username is not None or passwords or self.bearer_token_file is not None
        parts = urlsplit(self.url)
        if secret and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            problems.append((("url",), "must be https: credentials are not sent over plain http to another machine"))
        if problems:
            raise refusal(problems)
        return self

    def read_password(self) -> str | None:
        """Return the password, read from its file when it has one; None without any.

        Raises:
            ConfigError: the file can't be read or says nothing.
        """
        if self.password is not None:
            return self.password.get_secret_value()
        return None if self.password_file is None else _read_secret(self.password_file, "password_file")

    def read_bearer_token(self) -> str | None:
        """Return the bearer token from its file; None without one.

        Raises:
            ConfigError: the file can't be read or says nothing.
        """
        return None if self.bearer_token_file is None else _read_secret(self.bearer_token_file, "bearer_token_file")

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what `ca_file` and `client_cert` ask for; None when neither is given.

        Raises:
            ConfigError: a file can't be read, or does not hold what it should.
        """
        if self.ca_file is None and self.client_cert is None:
            return None
        for setting in ("ca_file", "client_cert", "client_key"):
            file: Path | None = getattr(self, setting)
            if file is not None:
                _open(file, setting).close()
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise ConfigError(f"{self.ca_file}: holds no certificates for pushgateway.ca_file: {error}") from None
        if self.client_cert is not None:
            try:
                context.load_cert_chain(self.client_cert, self.client_key, password=_no_password)
            except (ssl.SSLError, ValueError) as error:
                where = self.client_key or self.client_cert
                raise ConfigError(f"{where}: can't be used as pushgateway.client_cert: {error}") from None
        return context

    def check_files(self) -> None:
        """Make sure that every file named here can be read and used now.

        Raises:
            ConfigError: one can't, or holds no secret where one is expected.
        """
        self.read_password()
        self.read_bearer_token()
        self.tls_context()


def _no_password() -> str:
    raise ValueError("its key is encrypted; give one without a passphrase, readable by its user alone")


def _open(file: Path, setting: str) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise ConfigError(f"{file}: can't be read as pushgateway.{setting}: {error.strerror}") from error


def _read_secret(file: Path, setting: str) -> str:
    try:
        with _open(file, setting) as stream:
            secret = stream.read(MAX_SECRET_BYTES).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text, so it can't be pushgateway.{setting}") from None
    if not secret or not secret.isprintable():
        raise ConfigError(f"{file}: must hold one line of text to be pushgateway.{setting}")
    return secret

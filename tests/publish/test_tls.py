"""Pushing over real TLS: with a CA of one's own, with a client certificate, and not at all to a stranger."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.publish.loopback import Loopback, replying
from tests.publish.pushing import run, written
from tests.servers import binary


def openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run([binary("openssl", "openssl"), *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA with a server's and a client's certificate, and a CA that knows neither."""
    directory = tmp_path_factory.mktemp("certificates")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("ca", "other"):
        openssl(
            "req", "-x509", *new_key, "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-days", "2",
            "-subj", f"/CN={authority}", "-addext", "keyUsage=critical,keyCertSign", cwd=directory,
        )  # fmt: skip
    for name in ("server", "client"):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", cwd=directory)
        (directory / "extensions").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-out", f"{name}.pem", "-extfile", "extensions", cwd=directory,
        )  # fmt: skip
    return directory


@pytest.fixture
def gateway(certificates: Path, request: pytest.FixtureRequest) -> Iterator[Loopback]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    if getattr(request, "param", "") == "client certificate required":
        context.load_verify_locations(certificates / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    with Loopback(replying("200 OK"), tls=context) as listening:
        yield listening


def test_a_ca_of_ones_own_is_believed(tmp_path: Path, certificates: Path, gateway: Loopback) -> None:
    config = written(
        tmp_path, f"sqlite:///{tmp_path}/jobs.db", gateway.url, gateway=f"ca_file: '{certificates}/ca.pem'"
    )
    done = run(config, "push")
    assert done.returncode == 0, done.stderr
    assert [request.method for request in gateway.requests] == ["GET", "PUT"]


@pytest.mark.parametrize("trusted", ["", "ca_file: '{}/other.pem'"], ids=["public CAs", "another CA"])
def test_a_stranger_is_refused_at_once_and_told_nothing(
    tmp_path: Path, certificates: Path, gateway: Loopback, trusted: str
) -> None:
    settings = f"username: push, password: '${{SECRET}}', {trusted.format(certificates)}"
    config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", gateway.url, gateway=settings)
    done = run(config, "push", SECRET="canary-3f1", SSL_CERT_FILE=f"{certificates}/ca.pem")
    assert done.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert "ca_file" in done.stderr
    assert gateway.requests == []


@pytest.mark.parametrize("gateway", ["client certificate required"], indirect=True)
def test_a_client_certificate_opens_the_door(tmp_path: Path, certificates: Path, gateway: Loopback) -> None:
    database = f"sqlite:///{tmp_path}/jobs.db"
    trusted = f"timeout: 2s, ca_file: '{certificates}/ca.pem'"
    without = run(written(tmp_path, database, gateway.url, gateway=trusted), "push")
    assert without.returncode in (1, 75)  # the alert may come before or after the connection breaks
    assert gateway.requests == []
    shown = f", client_cert: '{certificates}/client.pem', client_key: '{certificates}/client.key'"
    done = run(written(tmp_path, database, gateway.url, gateway=trusted + shown), "push")
    assert done.returncode == 0, done.stderr
    assert [request.method for request in gateway.requests] == ["GET", "PUT"]


def test_a_file_that_is_no_certificate_is_a_mistake_in_the_configuration(tmp_path: Path, certificates: Path) -> None:
    settings = f"client_cert: '{certificates}/client.pem', client_key: '{certificates}/server.key'"
    config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", "https://localhost:1", gateway=settings)
    done = run(config, "check")
    assert done.returncode == 2
    assert "client_cert" in done.stderr

"""What a command printed is kept without the secrets that can be known as such, and otherwise as it was printed."""

from __future__ import annotations

import time

import pytest

from reporter.redaction import redacted

CANARY = "Zq7canaryX9w"
LONG = "Zq7canary" * 4


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {CANARY}", f"authorization: Basic {CANARY}==", f'{{"Authorization": "Bearer {CANARY}"}}',
        f"-H 'Authorization: token {CANARY}'", f"sent Bearer {CANARY} along", f"Set-Cookie: session={CANARY}; Path=/",
        f"password={CANARY}", f"PGPASSWORD={CANARY} psql", f"Password: '{CANARY}'", f'"db_password": "{CANARY}"',
        f'{{\\"client_secret\\": \\"{CANARY}\\"}}', f"AWS_SECRET_ACCESS_KEY={CANARY}", f"x-api-key: {CANARY}",
        f"api_key='{CANARY} and more'", f"https://h/?a=1&access_token={CANARY}&b=2", f"refresh_token: {CANARY}",
        f"tool --password {CANARY} --verbose", f"tool --auth-token {CANARY}", f"passwd = {CANARY}",
        f"postgresql://u:{CANARY}@h/n", f"redis://:{CANARY}@h", f"https://u:p@{CANARY}@h/x", f"mysql+x://u:{CANARY}@h",
        f"sk-ant-api03-{LONG}", f"sk-{LONG}", f"ghp_{LONG}", f"github_pat_{LONG}", f"gsk_{LONG}", f"xoxb-{LONG}", f"hf_{LONG}",
        f"glpat-{LONG}", f"sk_live_{LONG}", "AKIAZQ7CANARY0123456", f"eyJhbGciOiJI.{LONG}.{LONG}", f"ya29.{LONG}",
        f"hvs.{LONG}", f"-----BEGIN RSA PRIVATE KEY-----\n{LONG}\n{LONG}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{LONG}",
        f"{LONG}\n{LONG}=\n-----END PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_what_is_known_by_its_shape_is_not_kept(line: str) -> None:
    told = redacted(f"{line}\n") if line.startswith(LONG) else redacted(f"before\n{line}\nafter\n")

    assert "canary" not in told.lower()
    assert "***" in told
    if not line.startswith(LONG) and not line.endswith(f"-----\n{LONG}"):
        assert told.startswith("before\n")
        assert told.endswith("\nafter\n")
    assert redacted(told) == told


@pytest.mark.parametrize(
    "line",
    [
        "input_tokens: 1234, output_tokens=56", "token_count=17", "max_token: 4_096", "total token: 12.5", "key=user:17",
        "KeyError: 'name'", "http://host:80/path@x", "see https://example.org/a", "Basic authentication failed",
        "2026-11-26T10:00:00 done: 12:30",
        "task-queue-of-many-words-is-empty", "asking 12 of 24", "mailto:a@b.c", "step 3 --token", "password:",
        "cookies are fine",
    ],
)  # fmt: skip
def test_other_words_stay_as_they_are(line: str) -> None:
    assert redacted(line) == line


def test_values_of_the_environment_that_are_secrets_are_not_kept_wherever_they_are_printed() -> None:
    environ = {
        "OPENAI_API_KEY": "opaque-1-value", "PGPASSWORD": "hunter2hunter2", "SSH_AUTH_SOCK": "/tmp/agent", "A_TOKEN": "short",
        "REPORTER_DATABASE_URL": "postgresql://u:p%40ssword%21@h/n", "HOME": "/home/me-myself",
    }  # fmt: skip
    said = "opaque-1-value hunter2hunter2x /tmp/agent short p%40ssword%21 p@ssword! /home/me-myself"
    assert redacted(said, environ) == "*** ***x /tmp/agent short *** *** /home/me-myself"


@pytest.mark.parametrize(
    "piece",
    ["password", "token=", "a", "://", "://a:", "eyJ", "eyJa-", "-----BEGIN PRIVATE KEY-----", "cookie", "sk-",
     "authorization ", "Bearer ", "--", "--a", "\\\"'", "secret: '", "api_key\t", "AKIA", "sg.", " "],
)  # fmt: skip
def test_no_output_is_slow_to_redact(piece: str) -> None:
    text = (piece * 20_000)[:16_384]
    redacted(text)
    began = time.thread_time()
    redacted(text)
    assert time.thread_time() - began < 0.1

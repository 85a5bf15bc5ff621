"""Secrets in what a command printed: what is known by its shape, or stands in the environment, is kept as `***`.

Standard library only; imported when a run that printed something ends.
"""

from __future__ import annotations

from reporter.facts import is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MASK = "***"
_LEAST = 8  # characters of a value of the environment: fewer are found in any text
_NAMED = "passw", "passphrase", "pwd", "secret", "credential"
_NAMED_IN_FULL = "api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "private_key", "account_key"
_VALUE = r"""(?:"[^"\n]+"|'[^'\n]+'|[^\s,;&"')}\]]+)"""
_IS = r"""\w{0,40}[\\"']{0,2}[ \t]{0,8}[=:][ \t]{0,8}\\?"""  # behind a name, before its value
_NUMBER = r"""(?!["']?[\d.,_]+(?![\w-]))"""  # is none: jobs tell how many tokens they used

# (what it can't be without, the pattern, what stays of it); no pattern takes the square of a text's length
_SHAPES = (
    (("private key-----",), r"-----begin [a-z ]{0,20}private key-----.*?(?:-----end [a-z ]{0,20}private key-----|\Z)", ""),
    (("private key-----",), r"\A[a-z0-9+/=\s]*-----end [a-z ]{0,20}private key-----", ""),
    (("://",), r"""(://[^\s:/@?#"']*:)[^\s/"'<>]+(?=@)""", r"\1"),
    (("authoriz",), rf"""(authorization{_IS}["']?(?:[a-z]{{1,20}}[ \t]+)?)[^\s"',;\\]+""", r"\1"),
    (("bearer", "basic"), r"\b((?:bearer|basic)[ \t]+)(?=\S*\d)[\w.~+/=-]{8,}", r"\1"),
    (("cookie",), r"(cookie[\\\"']{0,2}[ \t]{0,8}:)[^\n]+", r"\1 "),
    (_NAMED, rf"((?:passw(?:or)?d|passphrase|pwd|secret|credential){_IS}){_VALUE}", r"\1"),
    (_NAMED_IN_FULL, rf"((?:api|access|private|account)[_-]?key{_IS}){_VALUE}", r"\1"),
    (("token",), rf"(token(?!s){_IS}){_NUMBER}{_VALUE}", r"\1"),
    (("--",), rf"((?<![\w-])--[\w-]{{0,40}}(?:password|passphrase|secret|token|api-key)[ \t]+){_VALUE}", r"\1"),
    (("sk-", "pk-", "xai-", "pypi-", "glpat-", "xox"), r"\b(?:[sp]k-|xai-|pypi-|glpat-|xox[a-z]-)[\w-]{16,}", ""),
    (("sk_", "rk_", "hf_", "npm_"), r"\b(?:[sr]k_(?:live|test)_|gsk_|hf_|npm_)\w{16,}", ""),
    (("gh", "github_pat_"), r"\b(?:gh[pousr]_|github_pat_)\w{16,}", ""),
    (("akia", "asia", "aiza"), r"\b(?:(?:akia|asia)[0-9a-z]{16}|aiza[\w-]{35})(?![\w-])", ""),
    (("eyj", "ya29.", "hvs.", "sg."), r"(?<![\w-])(?:eyj[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?:ya29|hvs|sg)\.[\w.-]{20,})", ""),
)  # fmt: skip


def redacted(text: str, environ: Mapping[str, str] | None = None) -> str:
    """`text` without the secrets that can be told from other words."""
    for secret in sorted(set(_secrets(environ or {})), key=len, reverse=True):
        text = text.replace(secret, MASK)
    hints = text.lower()
    for needs, pattern, kept in _SHAPES:
        if any(need in hints for need in needs):
            import re

            text = re.sub(pattern, kept + MASK, text, flags=re.IGNORECASE | re.DOTALL)
    return text


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """Values of the environment that nobody is to read: of variables named so, and passwords in URLs."""
    for name, value in environ.items():
        if len(value) >= _LEAST and not value.startswith("/") and (is_secret(name) or "PASSW" in name.upper()):
            yield value
        before, at, _ = value.partition("://")[2].rpartition("@")
        password = before.partition(":")[2] if at else ""
        if len(password) >= _LEAST:
            from urllib.parse import unquote

            yield password
            yield unquote(password)

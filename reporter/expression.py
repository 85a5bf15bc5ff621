"""PromQL, parsed and walked.  What is too deep for the parser's stack is told, and does not end the process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser

MOST_OPERATORS = 500
"""In one expression.  The parser and who walks its trees use the stack; some thousands end the process, without a word."""

STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`')
_BRACES = re.compile(r"\{[^}]*\}")
_OPERATOR = re.compile(r"[-+*/%^(<>]|[=!]=|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)


def parse(expr: str) -> Any:
    """The tree of an expression.

    Raises:
        ValueError: it is no PromQL, or too deep.
    """
    bare = _BRACES.sub("", STRING.sub("", expr))
    if sum(1 for _ in _OPERATOR.finditer(bare)) > MOST_OPERATORS:
        raise ValueError(f"has more than {MOST_OPERATORS} operators and parentheses; make recording rules of its parts")
    return promql_parser.parse(expr)


def walk(tree: Any) -> Iterator[Any]:
    """Every node of the tree, each before those within it."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(list(children(node)))


def children(node: Any) -> Iterator[Any]:
    """The expressions that a node is made of, as they are written."""
    for name in ("param", "lhs", "expr", "vector_selector", "rhs"):
        child = getattr(node, name, None)
        if child is not None:
            yield child
    yield from getattr(node, "args", None) or ()

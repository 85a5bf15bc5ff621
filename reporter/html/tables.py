"""Tables that are tables to a screen reader: a caption, headers of columns and of rows; wide ones scroll in their own box."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reporter.html.markup import Child, Markup, tag

NUMBER, WHEN, TEXT = "number", "when", None
"""What is in a column, as its class."""


def table(caption: str, columns: Sequence[tuple[str, str | None]], rows: Iterable[Sequence[Child]]) -> Markup:
    """A table; `columns` as (name, kind), the first one names the rows."""
    head = tag("tr", *(tag("th", name, scope="col", class_=kind) for name, kind in columns))
    body = [
        tag(
            "tr", tag("th", row[0], scope="row", class_=columns[0][1]),
            *(tag("td", cell, class_=kind) for cell, (_, kind) in zip(row[1:], columns[1:], strict=True)),
        )
        for row in rows
    ]  # fmt: skip
    made = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", made, class_="scroll", tabindex=0, role="region", aria_label=caption)

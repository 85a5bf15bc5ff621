"""No value becomes markup: whatever it holds, a reader gets its characters back, and nothing else."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporter.html.charts import round_scale
from reporter.html.markup import own, tag


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def is_unseen(one: str) -> bool:
    return unicodedata.category(one) in ("Cc", "Cf", "Cs")


@given(st.text(st.characters()))
def test_any_text_comes_back_as_text_and_as_an_attribute(value: str) -> None:
    reader = Reader()
    reader.feed(tag("p", own(value), title=value))
    reader.close()

    expected = "".join("\ufffd" if is_unseen(one) else one for one in value)
    assert (reader.tags, reader.text, reader.attributes) == (["p", "bdi"], expected, {"title": expected})


@given(st.text(st.characters()))
def test_what_is_written_can_be_encoded(value: str) -> None:
    tag("p", value).encode()


@given(st.lists(st.floats(-1e6, 1e9), max_size=20))
def test_a_scale_holds_every_value_and_zero(values: list[float]) -> None:
    scale = round_scale(values, least=1.0)

    assert scale.low <= 0 < scale.high
    assert all(-0.01 <= scale.y(value) <= 200.01 for value in values)


COLOURS = re.compile(r"--(\w+): (#[0-9a-f]{6})")


def luminance(colour: str) -> float:
    """Source: https://www.w3.org/TR/WCAG21/#dfn-relative-luminance"""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_that_text_and_charts_need(theme: int) -> None:
    from importlib.resources import files

    style = files("reporter.html").joinpath("style.css").read_text()
    palettes = [dict(COLOURS.findall(block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    assert len(palettes) == 2
    colours = palettes[theme]

    for behind in ("page", "card"):
        for words in ("text", "muted", "ok", "warn", "bad", "link"):
            assert contrast(colours[words], colours[behind]) >= 4.5, (words, behind)
        for mark in (f"s{number}" for number in range(8)):
            assert contrast(colours[mark], colours[behind]) >= 3, (mark, behind)

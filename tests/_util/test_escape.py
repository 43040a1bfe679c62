"""Text from outside stays text in every format."""

from __future__ import annotations

import csv
import html as stdlib_html
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from benchsep._util import escape

HOSTILE = "<img onerror=\"alert(1)\" src='x'> & \x1b[31m | `*_[a](b)_*` \\input{x} %$#^~ ‮abc"


def test_html_round_trips_through_the_standard_library() -> None:
    text = "<a href='x'>\"&amp;\"</a>"
    assert stdlib_html.unescape(escape.html(text)) == text
    assert "<" not in escape.html(HOSTILE)


def test_control_and_bidirectional_characters_are_shown() -> None:
    assert escape.visible("a\x1b[31mb\nc\u202ed\u200b") == "a\\x1b[31mb\\x0ac\\u202ed\\u200b"
    assert escape.visible("Beyoncé 漢字 🎵") == "Beyoncé 漢字 🎵"


@given(st.text())
def test_no_format_ever_emits_a_control_character(text: str) -> None:
    for function in (escape.visible, escape.html, escape.markdown, escape.latex, escape.csv_cell):
        made = function(text)
        assert all(c.isprintable() or c == " " or ord(c) > 0x7F for c in made), function


@given(st.text())
def test_latex_emits_only_what_pdflatex_knows(text: str) -> None:
    assert all(ord(c) < 0x80 or 0xC0 <= ord(c) <= 0x17F for c in escape.latex(text))


def test_latex_specials() -> None:
    assert escape.latex("A_b & 50% {x}") == r"A\_b \& 50\% \{x\}"
    assert escape.latex("\\") == r"\textbackslash{}"
    assert escape.latex("漢") == r"\texttt{U+6F22}"


def test_markdown_cannot_leave_its_cell_or_open_html() -> None:
    made = escape.markdown("a|b\n<img src=x> `c` https://evil.example www.evil.example")
    assert "\\|" in made and "<" not in made and "\n" not in made
    assert "https:" not in made and "www." not in made
    assert escape.markdown("hdemucs_mmi@mini") == "hdemucs_mmi@mini"
    assert escape.markdown("_x_") == "\\_x\\_"


def test_formulas_are_defused_and_numbers_are_not_text() -> None:
    for text in ("=1+1", "+1", "-1", "@x", "\t=1", "  =1", "\r=1"):
        assert escape.csv_cell(text).startswith("'"), text
    assert escape.csv_cell("plain") == "plain"
    assert escape.csv_cell("") == ""
    row = io.StringIO()
    csv.writer(row).writerow([escape.csv_cell('=HYPERLINK("x")'), "a,b"])
    assert next(csv.reader(io.StringIO(row.getvalue()))) == ['\'=HYPERLINK("x")', "a,b"]


@given(st.text())
def test_json_in_a_script_cannot_close_it(text: str) -> None:
    made = escape.json_for_script({"name": text})
    assert "<" not in made and "\u2028" not in made
    assert json.loads(made) == {"name": text}

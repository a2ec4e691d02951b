import re
from html.parser import HTMLParser
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.website.formulas import formula
from pipeline.report.website.plain_text import plain, visible
from pipeline.report.website.rendered_text import rendered, rendered_pieces
from pipeline.report.website.sentence_lines import sentence_lines
from pipeline.report.website.word_diff import word_diff

# Elements that text may become; none of them loads, links or runs anything.
HARMLESS = {"code", "pre", "span", "mark", "ins", "del"}
PIECES = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "$x<y$", r"\(\frac{1}{2}\)", "$",
    "```html\n<b onclick=1>\n```", "`<i>`", "javascript:alert(1)", "\u202e", "\x1b[31m", "&lt;", '"', "'",
    "13", r"\begin{align}a&=b\\c&=d\end{align}", r"\href{javascript:alert(1)}{x}", r"\[x^{2",
    r"\text{</math><script>}", "```", "\n\n",
)  # fmt: skip


class Read(HTMLParser):
    """What a browser would make of the HTML: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def unsafe(html: str) -> list[str]:
    """Elements and attributes that could do something."""
    return [
        f"{tag} {attributes}"
        for tag, attributes in Read(html).elements
        if (tag not in HARMLESS and not re.fullmatch(r"math|m[a-z]+", tag))
        or any(name.startswith("on") or name in ("href", "src", "style", "action") for name in attributes)
    ]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=12).map("".join))
def test_no_text_becomes_anything_that_acts(text):
    assert unsafe(rendered(text, doubtful={"13"})) == []


@given(st.text())
def test_prose_says_what_the_text_says(text):
    assert Read(str(plain(text))).text == visible(text)


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), min_size=1, max_size=12), st.data())
def test_a_text_in_pieces_has_a_piece_for_each_end(parts, data):
    text = "".join(parts)
    ends = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=5)) | {len(text)})
    pieces = list(rendered_pieces(text, ends))
    assert len(pieces) == len(ends)
    assert [unsafe(piece) for piece in pieces] == [[]] * len(ends)


def test_controls_of_terminals_and_of_writing_direction_are_shown_as_signs():
    assert visible("a\x1b[31mb\u202ec\x00d\x7fe\r\nf\tg") == "a␛[31mb⟨U+202E⟩c␀d␡e\nf\tg"


@pytest.mark.parametrize(
    "text",
    [r"so \(x^2\) is", "so $x^2$ is", r"so \[x^2\] is", "so $$x^2$$ is", r"\begin{align}x^2\end{align}"],
)
def test_formulas_become_mathml_whatever_their_marks(text):
    html = rendered(text)
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in html
    assert "x^2" in html  # its source, as the title


def test_what_is_no_latex_is_shown_as_it_stands():
    html = rendered(r"so \(\frac{1\) is \(\nosuchthing{3}\)")
    assert "<math" not in html
    assert r"\(\frac{1\)" in html
    assert r"\nosuchthing{3}" in html


@pytest.mark.parametrize("nested", ["{" * 50_000, r"\sqrt{" * 900 + "x" + "}" * 900, "x" * 100_000])
def test_a_formula_that_would_end_the_converter_is_not_given_to_it(nested):
    assert formula(nested, display=False) is None


@pytest.mark.parametrize("levels", [r"\left(" * 600, r"\frac1" * 660, r"\sqrt " * 600, "{" * 60, "x^" * 1900])
def test_the_deepest_formula_that_is_converted_ends_well(levels):
    formula(levels, display=False)


def test_code_is_coloured_and_keeps_its_indentation():
    html = rendered("Look:\n\n```python\ndef f(a):\n    return a + 1\n```\n\nDone.")
    assert '<span class="k">def</span>' in html
    assert Read(html).text == "Look:def f(a):\n    return a + 1Done."
    assert (
        re.sub("<.*?>", "", html[html.index("<pre") : html.index("</pre>")]) == "def f(a):\n    return a + 1"
    )


def test_code_in_no_known_language_is_shown_without_colours():
    assert Read(rendered("```nosuch\n<b>1</b>\n```")).text == "<b>1</b>"


def test_doubtful_numbers_are_marked_in_prose_and_in_formulas():
    html = rendered(r"It is 180, not 1801 and not \(180 + x\).", doubtful={"180"})
    assert html.count("<mark") == 2
    assert ">180</mark>, not 1801" in html


@pytest.mark.parametrize(
    ("text", "number", "marked"),
    [
        ("12 cats, 12.5 dogs and 12,500 birds", "12", ["12"]),
        ("$1{,}234$ and 1,234", "1,234", ["math", "1,234"]),
        ("2³⁷ and x₃₇", "37", ["³⁷", "₃₇"]),
        ("`x = 4242`", "4242", ["4242"]),
        ("it is 12.", "12", ["12"]),
    ],
)
def test_a_doubtful_number_is_marked_as_it_is_written_and_no_other(text, number, marked):
    found = re.findall("<mark[^>]*>(.*?)</mark>", rendered(text, doubtful={number}))
    assert ["math" if "<math" in one else one for one in found] == marked


def test_sentences_keep_their_indentation_and_tell_of_empty_lines_behind_them():
    text = "\nDo:\n\n1. Try:\n    - this\n  - that. Then go."
    sentences = ("\nDo:\n\n", "1. Try:\n    ", "- this\n  ", "- that. ", "Then go.")
    lines = list(sentence_lines(text, list(accumulate(map(len, sentences)))))
    assert [line.html for line in lines] == ["Do:", "1. Try:", "    - this", "  - that.", "Then go."]
    assert [line.breaks for line in lines] == [True, False, False, False, False]


def test_a_formula_that_is_cut_by_a_piece_stays_text():
    first, second = rendered_pieces("a $x + y$ b", [5, 11])
    assert (first, second) == ("a $x ", "+ y$ b")


@given(
    st.lists(st.sampled_from(("a", "b ", "12", "<b>", " ", "."))).map("".join),
    st.text(alphabet="ab 1.<", max_size=20),
)
def test_a_diff_gives_back_both_texts(before, after):
    html = str(word_diff(before, after))
    assert Read(re.sub("<del>.*?</del>", "", html, flags=re.S)).text == after
    assert Read(re.sub("<ins>.*?</ins>", "", html, flags=re.S)).text == before


def test_texts_that_are_too_long_have_no_diff():
    assert word_diff("a " * 2_000, "b") is None

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.segmentation.split.sentences import split

REAL_TRACES = Path(__file__).parents[4] / "shared" / "data" / "real-traces.parquet"

MARKS = [
    "```\n", "```python\n", "\n```\n", "~~~\n", "`", "$", "$$", r"\[", r"\]", r"\(", r"\)",
    r"\begin{cases}", r"\end{cases}", r"\end{a}", "// A. B\n", "# A. B\n", "{\n", "  x = 1;\n",
    "\n- ", "\n1. ", "\n| a. B | c |\n", "\n> ", "\r\n", "\t",
    "\r", "\u2028", "\x85", "\u200b", "।", "．", "｡", "x.[1] ", "ก ข", "so. then it. ", "b.Then ", "先.后",
    '"""', "f(", ")", "[", "{% a %}\n", "<p>\n",
    "\n\n", "\n    x = 1\n", "Wait. ", "So it is. ", "e.g. ", "🙂", "。", "a", ":", "= 2\n", " ",
]  # fmt: skip


def sentences(text: str) -> list[str]:
    ends = split(text)
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def assert_whole(text: str, span: str) -> None:
    """`span` lies in one sentence, and the text around it is still cut."""
    assert any(span in sentence for sentence in sentences(text)), sentences(text)
    assert len(sentences(text)) > 1


def wrapped(span: str) -> str:
    return (
        f"We look at the whole thing before we begin with it.\n\nHere it is, as given:\n{span}\n\n"
        "Alternatively we could look at something else. Maybe that other way is shorter."
    )


@given(st.one_of(st.text(), st.lists(st.sampled_from(MARKS)).map("".join)))
def test_sentences_concatenate_to_the_reasoning(text: str) -> None:
    assert "".join(sentences(text)) == text
    assert all(sentences(text))


@given(st.one_of(st.text(), st.lists(st.sampled_from(MARKS)).map("".join)))
def test_white_space_belongs_to_the_sentence_before_it(text: str) -> None:
    assert not any(sentence[0].isspace() for sentence in sentences(text)[1:])


def test_an_empty_text_has_no_sentences() -> None:
    assert split("") == []


def test_white_space_alone_is_one_sentence() -> None:
    assert split(" \n\n ") == [4]


def test_a_half_of_a_surrogate_pair_is_a_character_like_any_other() -> None:
    text = "The train \ud800 leaves at noon. We have to walk there, \udfff and soon!"
    assert sentences(text) == [text[:28], text[28:]]


def test_ends_are_counted_in_characters_whatever_their_size() -> None:
    first, second = "The 𝐀 🙂 train é leaves at noon. ", "我们 have to walk there, 𝟛 of us and soon!"
    assert split(first + second) == [len(first), len(first + second)]


WRITTEN = {
    "Hindi": [
        "पहले हम दोनों संख्याएँ जोड़ते हैं। ",
        "अब हम उसे चार से भाग देते हैं। ",
        "क्या शेषफल शून्य है? ",
        "हाँ, इसलिए यह सही है॥ ",
    ],
    "Urdu": [
        "پہلے ہم دونوں عدد جمع کرتے ہیں۔ ",
        "اب اسے چار پر تقسیم کرتے ہیں۔ ",
        "کیا باقی صفر ہے؟ ",
    ],
    "Chinese": [
        "先把两个数加起来，得二十。",
        "再除以四，没有余数！",
        "所以能被四整除吗？",
        "是的，可以整除。",
    ],
    "Chinese, wide stops": [
        "先把两个数加起来，得２．５．",
        "再除以四，没有余数．",
        "所以这就是正确的答案．",
    ],
    "Chinese, Latin stops": [
        "先把两个数加起来,得二十.",
        "再除以四,没有余数.",
        "所以能被四整除吗?",
        "是的,可以整除.",
    ],
    "Japanese, narrow stops": [
        "まず二つの数を足してみる｡",
        "次にそれを四で割ってみる｡",
        "余りは出ないことが分かる｡",
    ],
    "Korean": [
        "먼저 두 수를 더한다. ",
        "그 다음 넷으로 나눈다. ",
        "나머지는 없다. ",
    ],
    "Thai": [
        "ก่อนอื่นเรานำจำนวนทั้งสองมาบวกกัน ",
        "แล้วหารผลรวมด้วยสี่ ",
        "จะได้ว่าไม่มีเศษเหลืออยู่เลย ",
    ],
    "Armenian": [
        "Նախ գումարում ենք երկու թվերը։ ",
        "Հետո բաժանում ենք չորսի։ ",
        "Մնացորդ չկա ընդհանրապես։ ",
    ],
    "Amharic": [
        "መጀመሪያ ሁለቱን ቁጥሮች እንደምር። ",
        "ከዚያ ለአራት እናካፍለው። ",
        "ምንም ቀሪ የለውም እንግዲህ። ",
    ],
    "Burmese": [
        "ပထမ ဂဏန်းနှစ်ခုကို ပေါင်းပါ။ ",
        "ပြီးလျှင် လေးနှင့် စားပါ။ ",
    ],
    "Russian, small letters": [
        "сначала сложим оба числа. ",
        "потом разделим сумму, напр. на четыре. ",
        "остатка совсем никакого нет, это верно. ",
    ],
    "small letters": [
        "ok so we add up both of them first. ",
        "then we split it by four, approx. half each! ",
        "nothing is left of it, i think. ",
        "that is either 20 or 21. ",
    ],
    "line ends of old Macs": [
        "We add up both of the numbers\r",
        "Nothing of the sum is left over\r",
        "Maybe there is a shorter way\r\r",
    ],
    "Unicode's line ends": [
        "We add up both of the numbers\u2028",
        "Nothing of the sum is left over\x85",
        "Maybe there is a shorter way\u2029",
    ],
    "footnotes": [
        "We add up both of the numbers.[3] ",
        "Nothing of the sum is left over.[4, 11]² ",
        "Maybe it is shorter.【5†L1-L3】 ",
    ],
    "zero width": [
        "We add up both of the numbers.\u200b",
        "Nothing of the sum is left over.\u200b ",
        "Maybe there is a shorter way.\ufeff",
    ],
    "emoji": [
        "We add up both of the numbers.🎉 ",
        "Nothing of the sum is left over!👩\u200d🚀 ",
        "Maybe there is a shorter way.✔️ ",
    ],
    "no space": [
        "We add up both of the numbers.",
        "What is left over of it is nothing.",
        "Maybe there is a shorter way to it. ",
    ],
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_sentences_end_at_the_stops_of_every_script_and_style(written: list[str]) -> None:
    assert sentences("".join(written * 9)) == written * 9


@pytest.mark.parametrize(
    "text",
    [
        "We use approx. five of them, e.g. those vs. the rest etc. and so on, as it is said to be.",
        'The line "Say no more than the answer." suggests that there is nothing else to be said.',
        "Here 20! is larger than 19! times ten, and n! is larger still for an n of thirty or more.",
        "It is 三．五 or ３．５ or 3.5 of them, as anybody can see who looks at the numbers in there.",
        "The class httpx.Client opens java.util.List of what numpy.Array is made of, and that is all.",
    ],
)
def test_a_stop_in_a_sentence_ends_none(text: str) -> None:
    assert len(sentences(text.replace("三．五 or ", ""))) == 1


def test_small_letters_begin_sentences_only_where_most_sentences_of_the_line_begin_so() -> None:
    ordinary = "He says that we do not know. " * 6
    quoted = 'The lines "Not so." and "By no means." and more of them stand there. '
    assert sentences(quoted + ordinary) == [quoted, *[ordinary[:29]] * 6]
    pondering = "so that is all of them… or is it all of them… well let us go on with it. "
    assert sentences(pondering * 4) == [pondering] * 4


def test_short_sentences_of_every_script_stay_apart_and_shorter_ones_do_not() -> None:
    for sentence, crumb in (
        ("他今天上午去了学校。", "对。"),
        ("오늘은 비가 온다. ", "네. "),
        ("The sum is now even. ", "Yes. "),
    ):
        assert sentences(sentence * 30) == [sentence] * 30
        assert sentences(sentence + crumb) == [sentence + crumb]


@pytest.mark.parametrize(
    ("item", "most"), [("- 我们计算这个数的平方，\n", 25), ("- We take the square of it,\n", 25)]
)
def test_items_are_joined_up_to_the_same_number_of_words_in_every_script(item: str, most: int) -> None:
    longest = max(map(len, sentences(item * 200))) // len(item)
    assert 0.6 * most < longest < 1.1 * most


def test_a_docstring_closes_behind_a_full_stop_too() -> None:
    docstring = '"""First thing here. Second thing there."""'
    assert_whole(
        f"It begins with {docstring} Then the function returns. We look at it line by line.", docstring
    )


def test_plain_prose_is_cut_at_its_sentences() -> None:
    text = "The train leaves at noon. We have to walk there! Can we make it in time?  I think that we can."
    assert sentences(text) == [
        "The train leaves at noon. ",
        "We have to walk there! ",
        "Can we make it in time?  ",
        "I think that we can.",
    ]


@pytest.mark.parametrize(
    "span",
    [
        "```python\nx = 1. Then\n\n\nclass A:\n    pass  # Done. Really.\n```",
        "~~~\nfirst. Second thing\n\nThird thing. Fourth\n~~~",
        "`a. B` and ``c. D ` E. F``",
        "$x = 1. Y$",
        "$$ a = 1. B\n = 2. C $$",
        r"\( f(x) = 1. Y \)",
        "\\[\n a = 1. B\n\n = 2. C\n\\]",
        "\\begin{cases} a. B\\\\ \\begin{cases} c. D \\end{cases}\n e. F \\end{cases}",
        "| a. B | c |\n|---|---|\n| Done. Really | 2 |",
        "n | n² | Square. Root\n" + "".join(f"{n} | {n * n} | Yes. {n}\n" for n in range(90)),
        'A. "the first of them" or\nD. "the second of them"',
        "3.14 and 2.5e-3 and 1.000.000",
        "https://example.org/a.b/c?d=1. Then",
        "obj.method(x).other()",
        "7! / (3! * 4!)",
        "e.g. This, i.e. That, Dr. Brown vs. Mr. Smith et al. 2019, Fig. 3, No. 5",
        "the U.S. Army and J. R. R. Tolkien",
        '"""First. Second thing\n\nThird thing. Fourth\n"""',
        "$$\na = 1. B\n\n= 2. C\n$$",
        "<p>First. Second</p>\n<b>Third. Fourth</b>",
        "{% if a %}\n<p>First. Second</p>\n{% endif %}",
    ],
)
def test_a_span_that_belongs_together_is_never_cut(span: str) -> None:
    assert_whole(wrapped(span), span)


@pytest.mark.parametrize(
    "span",
    [
        "6! / (3! 0! 3!)",
        "n! / (n1! n2! ... nk!)",
        "0! (2! 3!)",
        "Eq. (3) and eqs. [4] and Fig. \\ref{a} and Sec. IV and Mt. Everest and approx. $5",
        "A. 600, B. 490, C. 417, D. 320",
        "A. Egoism, B. Duty, H. Care, I. Rights, J. Law",
        "PROF. Brown and Mr. Smith and SEPT. 5",
        "A. Hmmm, B. Hmmmm",
        "Instructions: 1. Write it down",
        'print("Hello. World")',
        'obj.add_argument("--x", help="First. Second. Third.")',
        'foo(bar("A. B"), 3)',
        "d['A. B']",
        "\\boxed{A. B}",
        "$ x. Y $",
        "first.\tSecond\tthird",
    ],
)
def test_a_span_within_a_line_is_never_cut(span: str) -> None:
    assert_whole(f"We begin with the whole of it. So here {span} is what we have. Maybe it is shorter.", span)


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    # First. Then\n    y = x. real\n\n    return y",
        "for (;;) {\n\tstep(); // One. Two\n\n\tstop();\n}",
        "def f(x):\n  # First. Then\n  y = x. Real\n\n  return y",
        'int main() {\n  // First. Then\n  if (a < 3) {\n    print("A. B");\n  }\n\n  return 0;\n}',
        '// First. Then\nint x = 1;\n/* A. B */\nPrint("A. B");\n}',
        "# First. Then\nx = f(1)\n# Third. Fourth\ny = 2",
        'def f(x):\n    """First. Second.\n\n    The third one is prose. Fourth.\n    """\n    return x',
        "def f(x):\n    y = x\n\n    # Third. Fourth\n    return y",
    ],
)
def test_code_without_a_fence_is_never_cut(code: str) -> None:
    assert_whole(wrapped("look") + f"\n\n{code}\n\nThat is the whole of the program.", code)


FREE = (
    "This sentence stands for itself. Another one follows after it. And a third one comes later. "
    "Maybe there is more to say here."
)


@pytest.mark.parametrize(
    "opening",
    [
        "$x and ",
        "$ x and ",
        "$$ and ",
        "f(x and ",
        "a[1 and ",
        '""" and ',
        r"\[ and ",
        r"\( and ",
        "` and ",
        r"\begin{cases} and ",
        "for $5, then ",
    ],
)
def test_what_is_never_closed_protects_nothing(opening: str) -> None:
    assert len(sentences(opening + FREE)) == len(sentences("and " + FREE))


@pytest.mark.parametrize("fence", ["```\n", "```python\n", "~~~\n"])
def test_code_that_ends_the_text_is_never_cut_though_its_fence_stays_open(fence: str) -> None:
    code = (
        f'{fence}"""Reads a file. Prints it\n\nThe file is read at once. Then it is printed.\n\nUsage: a. B\n'
        '"""\n\nimport sys\n\n\n# The whole. Of it\ndef main():\n    print(1)'
    )
    assert sentences(f"{FREE}\n\n{code}") == [*sentences(f"{FREE}\n\n"), code]


def test_prose_behind_a_fence_that_stays_open_is_cut() -> None:
    prose = f"{FREE}\n\n{FREE}"
    assert sentences(f"```\nx = 1. Y\n\ny = 2. Z\n\n{prose}")[1:] == sentences(prose)


@pytest.mark.parametrize("fence", ["```\n", "```python\n", "~~~\n"])
def test_a_fence_that_is_never_closed_holds_no_prose_behind_it(fence: str) -> None:
    paragraph = fence + "a = 1. Then we go\nsomewhere else. And back"
    assert sentences(f"{paragraph}\n\n{FREE}") == [f"{paragraph}\n\n", *sentences(FREE)]


def test_a_fence_that_names_a_language_opens_also_after_one_that_was_never_closed() -> None:
    text = f"```\nlost = some.thing(1)\n\n{FREE}\n\n```python\nx = 1. Y\n\nz = 2\n```\n\n{FREE}"
    assert_whole(text, "```python\nx = 1. Y\n\nz = 2\n```")
    assert len(sentences(text)) == 2 * len(sentences(FREE)) + 2


def test_indented_prose_is_no_code_and_is_cut() -> None:
    paragraphs = [
        "   So there are ten numbers for each of the four hundreds.",
        "   Using the same count again, there are 40 + 9 in total.",
        "   Wait, the last of these hundreds ends at 488 already.",
    ]
    text = "\n\n".join(["1. Count the units first.", *paragraphs * 20])
    assert max(map(len, sentences(text))) <= 900


ROWS = "".join(f"x_{{{n}}} &= {n}. Y + {n} \\\\\n\n" for n in range(120))


@pytest.mark.parametrize(
    "formula",
    [
        f"\\begin{{align}}\n{ROWS}\\end{{align}}",
        f"\\[\n{ROWS}\\]",
        f"\\[\n\\begin{{aligned}}\n{ROWS}\\end{{aligned}}\n\\]",
        f"\\begin{{align*}}\n{ROWS}\\begin{{cases}} A. B \\end{{cases}}\n\n{ROWS}\\end{{align*}}",
    ],
)
def test_a_long_formula_with_blank_lines_is_never_cut(formula: str) -> None:
    assert len(formula) > 2_000
    assert_whole(wrapped(formula), formula)


def test_a_formula_of_more_than_twenty_thousand_characters_is_cut() -> None:
    assert len(sentences(f"\\[\n{ROWS * 9}\\]")) > 20


@pytest.mark.parametrize("lost", [r"\begin{align}", r"\begin{cases}", r"\["])
def test_a_formula_is_whole_behind_one_that_was_never_closed(lost: str) -> None:
    formula = f"\\begin{{gather}}\n{ROWS}\\end{{gather}}"
    text = f"{lost} and {FREE}\n\n{wrapped(formula)}"
    assert_whole(text, formula)
    assert len(sentences(text)) == len(sentences(f"and {FREE}\n\n{wrapped(formula)}"))


@pytest.mark.parametrize(("begin", "end"), [(r"\[", r"\]"), (r"\begin{align}", r"\end{align}")])
def test_one_that_was_never_closed_does_not_reach_over_the_next(begin: str, end: str) -> None:
    text = f"{begin} lost here\n\n{FREE}\n\n{begin} x = 1. Y {end}\n\n{FREE}"
    assert len(sentences(text)) >= 2 * len(sentences(FREE))


def test_prose_between_a_lost_opening_and_a_lost_close_is_cut() -> None:
    prose = "\n\n".join([FREE] * 40)
    assert len(sentences(rf"\[ lost, then {prose} and lost \]")) > 100


@pytest.mark.parametrize(
    "text",
    [
        "The first ticket costs $5 at noon. The second ticket costs $6 in the evening.",
        "The first ticket costs 5 $ at noon. The second ticket costs 6 $ in the evening.",
    ],
)
def test_prices_are_no_math(text: str) -> None:
    assert len(sentences(text)) == 2


def test_a_bracket_that_hangs_on_no_word_is_no_call() -> None:
    assert len(sentences("We have to hurry (it is late. The bus will be gone soon) to get home.")) == 2


@pytest.mark.parametrize(
    "together",
    [
        "Now let me write down all the conditions:\n\n1. Ana comes before Ben in the race.",
        "- Ana comes before Ben.\n- Ben comes before Cara.\n\n- Cara is not the last one.",
        "1. Ana comes before Ben. Ben is slow.\n2. Ben comes before Cara. Cara is slow, too.",
        "The sum of the angles is known to be\n\\[ a + b + c = 180 \\]\nwhere all are positive.",
        "x + y = 10 - 3\n= 7 - 2\n= 5 after the last step",
        "2x + 3y = 12 - 4\n\nx + y = 5 + 1 - 2\n\ny = 12 - 2 * 4",
        "Hmm. That does not look right at all to me.",
        "Both conditions are satisfied by this order. Good.",
        "**Final Answer**\n\nThe number of ways to do it is 12.",
        "A line that was wrapped by hand goes on\nwith small letters in the next one.",
        "The two triangles are similar. So the ratio of their sides is constant.",
        "Step 1: Fill the six litre jug. (6, 0)\nStep 2: Pour it into the other one. (0, 6)",
    ],
)
def test_what_belongs_together_is_one_sentence(together: str) -> None:
    assert len(sentences(together)) == 1


def test_a_long_list_is_cut_between_its_items_and_nowhere_else() -> None:
    items = [f"{n}. The runner called {n} is ahead. The others are behind.\n" for n in range(40)]
    cut = sentences("".join(items))
    assert 2 < len(cut) < 20
    assert all(re.match(r"\d+\. ", sentence) for sentence in cut)


def test_no_short_fragment_stands_alone() -> None:
    text = "Hmm.\n\nWait.\n\nThat is a different problem than I thought.\n\nYes.\n\nOK. Done."
    assert min(map(len, sentences(text))) >= 20
    assert len(sentences(f"{FREE}\n\nMaybe another approach.\n\n{FREE}")) == 2 * len(sentences(FREE))


PATHOLOGICAL = [
    "$", "`", "```\n", "(", "[", "\\", "\n", " ", ".", "-", "|", "#", "1.", "a", "\\[", "\\begin{",
    ". ", "$a ", "Aa. ", "\n    x", "\n- ", "= 1\n", "` ``", "\n```py\n", ".)", "a:\n", "\r\n",
    "\\begin{a}", "\\end{a}", "\\begin{a}\n\n", "\\begin{a}\\end{b}", "\\[\n\n", "{\n", "x;\n\n", "// A. B\n",
    "# A\n", "\n  x. Y", "\n\nSo we see. ", '"""', "f(", "f(x. ", "x. Y) ", "a[. B ", "$ ", "<a> ", "5! ",
    "~~~~ $a$ ", "\t", "\u3000", "。", "。」 ", "! 5", "So", "A. Hmm", "x = 1\n\n", "\\[a", "**a",
    "```\n\nSo we see it. ", "```py\n\nSo we see it. ", "$$\n\n", "A. 6, ", "a | b | c\n", " | ",
    "\n\n\"\"\"\n",
    "\r", "\u2028", "।", "。！", "so. then ", "ก ", "a.[1] ", "【",
    "x.【a", "🎉\u200d", ".🎉", "．", "a.B", "先.",
]  # fmt: skip


@pytest.mark.parametrize("unit", PATHOLOGICAL)
def test_time_is_linear_in_the_text(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            split(text)
            best = min(best, time.process_time() - start)
        return best

    # Eight times the text: eight times the time if linear, sixty-four times if quadratic.
    assert seconds(160_000) < 30 * max(seconds(20_000), 0.002)


@pytest.mark.skipif(not REAL_TRACES.exists(), reason="real traces are not part of the project")
def test_real_traces_have_at_most_half_the_boundaries_of_plain_sentence_splitting() -> None:
    import pyarrow.parquet as pq

    plain = ours = 0
    for conversation in pq.read_table(REAL_TRACES)["conversations"].to_pylist():
        reply = conversation[-1]["value"]
        reasoning = reply[reply.find("<think>") + len("<think>") : reply.find("</think>")]
        assert "".join(sentences(reasoning)) == reasoning
        plain += len([s for s in re.split(r"(?<=[.!?])\s+|\n+", reasoning) if s.strip()])
        ours += len(split(reasoning))
    assert plain >= 1.8 * ours

"""The checks of a memento: for each one that it finds the bad example and passes the good one."""

import pytest

from pipeline.records.checks import MEMENTO_CHECKS, Finding, Severity, check_memento

BLOCK = (
    "Let me compute: 12 * 35 = 420, so the area is 420. The line through A is $y = 2x + 17$. "
    "Thus the answer is \\boxed{\\dfrac{420}{17}}."
)
PROBLEM = "A rectangle has sides 12 and 35; the model of the garden has 8 trees."
GOOD = "Area 12*35 = 420; line y = 2x + 17; answer 420/17."


def found(memento: str, block: str = BLOCK, problem: str = PROBLEM, tokens: int = 20) -> list[Finding]:
    return check_memento(memento, block, problem, memento_tokens=tokens, block_tokens=50)


# check, severity, bad memento, good memento, words of the finding
EXAMPLES = [
    ("special_token", Severity.REJECT, GOOD + "<|im_end|>", GOOD + " im_end", "<|im_end|> must not"),
    ("special_token", Severity.REJECT, GOOD + "<|eot_id|>", GOOD + " <|x|>", "<|eot_id|> must not"),
    (
        "number_not_in_block",
        Severity.FEEDBACK,
        "Area 421; answer 420/17.",
        GOOD,
        "the number 421 stands neither in the block nor in the problem",
    ),
    (
        "number_not_in_block",
        Severity.FEEDBACK,
        "Area 421, slope 23; answer 420/17.",
        GOOD,
        "the numbers 421, 23 stand neither in the block nor in the problem",
    ),
    (
        "boxed_not_in_block",
        Severity.FEEDBACK,
        GOOD + " \\boxed{\\frac{17}{420}}",
        GOOD + " \\boxed{\\frac{420}{17}}",
        "\\boxed{\\frac{17}{420}} stands neither",
    ),
    (
        "answer_not_in_memento",
        Severity.FEEDBACK,
        "Area 12*35 = 420; line y = 2x + 17.",
        GOOD,
        "the block's answer \\boxed{\\dfrac{420}{17}} is missing",
    ),
    ("heading", Severity.FEEDBACK, "## Result\n" + GOOD, "Result: " + GOOD, "heading '## Result'"),
    ("heading", Severity.FEEDBACK, "**Result:**\n" + GOOD, "**Result:** " + GOOD, "heading '**Result:**'"),
    ("heading", Severity.FEEDBACK, "# x\n" + GOOD, "```python\n# x\n```\n" + GOOD, "heading '# x'"),
    ("about_the_text", Severity.FEEDBACK, "This block finds: " + GOOD, GOOD, "('This block')"),
    ("about_the_text", Severity.FEEDBACK, "The reasoner finds: " + GOOD, GOOD, "('The reasoner')"),
    ("about_the_text", Severity.FEEDBACK, "The author then finds " + GOOD, GOOD, "('The author')"),
    (
        "about_the_text",
        Severity.FEEDBACK,
        "The writer has 8 trees: " + GOOD,
        "The model has 8 trees: " + GOOD,
        "('The writer')",
    ),
    ("about_the_text", Severity.FEEDBACK, "Here is the summary: " + GOOD, GOOD, "begin with the result"),
    ("about_the_text", Severity.FEEDBACK, "Summary: " + GOOD, "Sum: " + GOOD, "instead of 'Summary:"),
    ("markup", Severity.NOTE, f"- a = 4\n- b\n{GOOD}", f"- a = 4\n{GOOD}", "('- a = 4')"),
    ("markup", Severity.NOTE, f"1. a = 4\n2) b\n{GOOD}", f"1 a\n2 b\n{GOOD}", "('1. a"),
    ("markup", Severity.NOTE, f"| x | y |\n{GOOD}", f"|x| is |y|, so\n{GOOD}", "('| x | y |')"),
    ("markup", Severity.NOTE, f"a<br>{GOOD}", f"a<b>c and x <sub y {GOOD}", "('<br>')"),
    ("markup", Severity.NOTE, f"* a\n* b\n{GOOD}", f"```\n* a\n* b\n```\n{GOOD}", "('* a')"),
    ("planning", Severity.NOTE, GOOD + " Let me check.", GOOD + " Next: check.", "('Let me')"),
]


@pytest.mark.parametrize(("check", "severity", "bad", "good", "words"), EXAMPLES)
def test_the_bad_example_is_found_and_the_good_one_passes(
    check: str, severity: Severity, bad: str, good: str, words: str
) -> None:
    (finding,) = found(bad)
    assert (finding.check, finding.severity) == (check, severity)
    assert words in finding.detail
    assert found(good) == []


def test_a_memento_as_long_as_its_block_is_rejected() -> None:
    assert found(GOOD, tokens=49) == []
    (finding,) = found(GOOD, tokens=50)
    assert (finding.check, finding.severity) == ("longer_than_block", Severity.REJECT)
    assert "50 tokens" in finding.detail


@pytest.mark.parametrize("memento", ["", " \n\t"])
def test_an_empty_memento_is_rejected_and_nothing_else_is_said(memento: str) -> None:
    assert [(f.check, f.severity) for f in found(memento)] == [("empty", Severity.REJECT)]


def test_every_check_has_an_example() -> None:
    assert {check.name for check in MEMENTO_CHECKS} == {e[0] for e in EXAMPLES} | {"longer_than_block"}


@pytest.mark.parametrize(
    ("memento", "block"),
    [
        ("The segment AB: this segment has length 5.", "Consider the segment AB of length 5."),
        ("The block slides; the block stops.", "A block of mass 2 slides down."),
        ("# count the ones\nn & 1", "# count the ones\nwe use n & 1"),
        ("| a | b |\n- x\n- y", "The table:\n| a | b |\n- x\n  - y"),
    ],
)
def test_what_the_block_itself_speaks_of_is_its_subject(memento: str, block: str) -> None:
    assert found(memento, block) == []


@pytest.mark.parametrize(
    ("boxed", "memento"),
    [
        ("\\frac{\\sqrt{3}}{2}", "x = √3/2"),
        ("x^{2}+1", "f = x^2 + 1"),
        ("\\text{(B)}", "choice B"),
        ("12,345", "12345 ways"),
        ("\\left(1, 2\\right)", "the point (1,2)"),
        ("\\{1,2\\}", "{1, 2}"),
        ("\\pi", "angle π"),
        ("\\ldots", "nothing"),
        ("your answer here", "nothing"),
    ],
)
def test_an_answer_is_found_however_it_is_typeset(boxed: str, memento: str) -> None:
    assert found(memento, f"so \\boxed{{{boxed}}}") == []


@pytest.mark.parametrize(("boxed", "memento"), [("7", "17 or 7.5"), ("\\frac12", "2/1"), ("B", "choice C")])
def test_an_answer_that_is_another_one_is_not_found(boxed: str, memento: str) -> None:
    checks = [finding.check for finding in found(memento, f"17, 7.5, so \\boxed{{{boxed}}}")]
    assert checks == ["answer_not_in_memento"]


def test_only_the_last_answer_of_a_block_is_asked_for() -> None:
    assert found("x = 8", "maybe \\boxed{7}, no: \\boxed{8}") == []

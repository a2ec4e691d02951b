import jinja2
import pytest

from pipeline.llm.templates import load_prompts
from schemas.openmementos import SPECIAL_TOKENS
from schemas.replies import Verdict

BLOCK = {"block_start": "First we", "words": 40}
ASKED = {
    "score": {"following": "Next."},
    "score_window": {"places": [("A", "Then we"), ("B", "So x.")]},
    "compress": BLOCK,
    "judge": {"block_start": "First we", "memento": "x = 3"},
    "refine": {**BLOCK, "memento": "x = 3", "feedback": ["y is missing"], "shortfalls": [("values", 1, 2)]},
}


@pytest.fixture(scope="module")
def prompts():
    return load_prompts()


def user(prompts, question: str, reasoning: str) -> str:
    return prompts.messages(question, problem="What is x?", reasoning=reasoning, **ASKED[question])[1].content


@pytest.mark.parametrize("question", ASKED)
def test_all_questions_about_a_trace_begin_alike(prompts, question):
    reasoning = "First we add. Then we check.\n\n"
    asked = user(prompts, question, reasoning)
    shared = asked[: asked.index(reasoning) + len(reasoning)]
    assert user(prompts, "score", reasoning + "So x.").startswith(shared)


@pytest.mark.parametrize("question", ASKED)
def test_a_missing_value_is_an_error(prompts, question):
    with pytest.raises(jinja2.UndefinedError):
        prompts.messages(question, problem="p", reasoning="r")


def test_the_text_of_a_trace_is_not_a_template(prompts):
    assert "{{ 1 + 1 }}" in user(prompts, "score", "{{ 1 + 1 }}")


def test_a_digest_changes_with_its_own_questions_only(prompts):
    assert prompts.digest("score") != prompts.digest("judge")
    assert prompts.digest("score") == load_prompts().digest("score")


def test_labels_name_every_template_that_is_used(prompts):
    names = [label.split("@")[0] for label in prompts.labels("compress", "judge")]
    assert names == ["system", "trace", "compress", "judge"]


def test_prompts_hold_no_special_tokens(prompts):
    texts = [prompts.system.text, prompts.trace.text, *(q.text for q in prompts.questions.values())]
    assert not [token for token in SPECIAL_TOKENS for text in texts if token in text]


def test_a_refinement_can_be_told_of_every_criterion_of_the_rubric() -> None:
    shortfalls = [(name, 0, most) for name, most in Verdict.most_points().items()]
    (_, asked) = load_prompts().messages(
        "refine",
        problem="x?",
        reasoning="x = 3.",
        block_start="",
        memento="x is 3.",
        feedback=[],
        shortfalls=shortfalls,
        words=40,
    )
    assert asked.content.count("\n- ") == len(shortfalls)

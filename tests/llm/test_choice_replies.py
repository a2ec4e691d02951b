"""Rows of choices: exactly one option per label, each with its own probabilities, or no reply."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.choice_replies import row_pattern, row_shares, row_text
from pipeline.llm.model import Choices, ReplyError
from tests.llm.questions import ask, question
from tests.servers.stub_llm import StubLlm

ROW = Choices(("A", "B", "C"), ("0", "1", "2", "3"))


def told(*tokens: str, top: dict[str, float] | None = None) -> dict[str, Any]:
    """Logprobs of these tokens, each with the same candidates."""
    shares = top or {"2": 0.6, "3": 0.2}
    candidates = [{"token": token, "logprob": math.log(share)} for token, share in shares.items()]
    return {"content": [{"token": token, "top_logprobs": candidates} for token in tokens]}


def test_a_row_comes_with_the_probability_of_every_option_under_its_label() -> None:
    with StubLlm() as stub:
        (reply,) = ask(stub.endpoint, question(ROW))
    assert re.fullmatch(row_pattern(ROW), reply.text)
    assert reply.probabilities is not None
    for written in reply.text.split():
        of_label = {option: reply.probabilities[written[0] + option] for option in ROW.options}
        assert sum(of_label.values()) == pytest.approx(1)
        assert written[1] == max(of_label, key=lambda option: of_label[option])


@pytest.mark.parametrize(
    "text", ["A1 B2", "A1 B2 C3 D0", "A1 C2 B3", "A1 B2 C4", "1 2 3", "A1 B2 C", "A1B2C3"]
)
def test_a_row_with_another_number_of_options_or_other_ones_is_no_reply(text: str) -> None:
    with StubLlm(answer=lambda body: text) as stub, pytest.raises(ReplyError):
        ask(stub.endpoint, question(ROW), max_attempts=1)


@given(
    st.tuples(*[st.sampled_from(ROW.options)] * 3), st.sampled_from(["{}{} ", "{}: {}\n", "**{}** = {}, "])
)
def test_punctuation_of_an_endpoint_without_constraints_is_passed_over(
    options: tuple[str, ...], form: str
) -> None:
    written = "".join(map(form.format, ROW.labels, options))
    assert row_text(ROW, written) == f"A{options[0]} B{options[1]} C{options[2]}"


def test_each_option_is_weighed_by_the_candidates_of_its_own_token() -> None:
    row = Choices(("A", "B"), ("0", "1", "2", "3"))
    logprobs = told("A", "2", " B", " 0", "<|im_end|>")
    logprobs["content"][3]["top_logprobs"] = [{"token": " 0", "logprob": 0.0}]
    shares = row_shares(row, "A2 B 0", logprobs)
    assert shares is not None
    assert (shares["A2"], shares["A3"]) == (pytest.approx(0.75), pytest.approx(0.25))
    assert (shares["B0"], shares["B2"]) == (1, 0)


@pytest.mark.parametrize(
    "tokens",
    [("A2", " B0"), ("A", "2", " B"), ("A", "2", " B", "1"), ()],
    ids=["label and option in one token", "an option missing", "tokens of another text", "none"],
)
def test_options_without_candidates_of_their_own_give_no_probabilities(tokens: tuple[str, ...]) -> None:
    assert row_shares(Choices(("A", "B"), ("0", "1", "2")), "A2 B0", told(*tokens)) is None

"""Whatever JSON an endpoint answers with, it is a reading or it is unusable."""

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import LlmConfig
from pipeline.llm.chat_completions import ParsedReply, UnusableReply, parse_reply, usage
from pipeline.llm.deviations import Deviation
from pipeline.llm.model import Choices, Constraint, FreeText, Text
from schemas.openmementos import SPECIAL_TOKENS
from tests.llm.questions import DIGIT, GRADES, TEXT, question

COMPLETION: dict[str, Any] = {
    "choices": [
        {
            "message": {"content": "2", "refusal": None},
            "finish_reason": "stop",
            "logprobs": {"content": [{"top_logprobs": [{"token": "2", "logprob": -0.1}]}]},
        }
    ],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 0},
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def paths(value: Any) -> list[tuple[Any, ...]]:
    """Ways to every place of a JSON value but its root."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for step, inner in steps for path in [(step,), *((step, *rest) for rest in paths(inner))]]


ROW = Choices(("A",), DIGIT.options)
ROW_COMPLETION = copy.deepcopy(COMPLETION)
ROW_COMPLETION["choices"][0]["message"]["content"] = "A2"
ROW_COMPLETION["choices"][0]["logprobs"]["content"] = [
    {"token": token, "top_logprobs": [{"token": token, "logprob": -0.1}]} for token in "A2"
]


@given(
    case=st.sampled_from(
        [(COMPLETION, DIGIT), (COMPLETION, GRADES), (COMPLETION, TEXT), (ROW_COMPLETION, ROW)]
    ),
    data=st.data(),
    value=JSON,
)
def test_a_completion_with_anything_anywhere_is_read_or_unusable(
    case: tuple[dict[str, Any], Constraint], data: st.DataObject, value: Any
) -> None:
    completion, constraint = copy.deepcopy(case[0]), case[1]
    path = data.draw(st.sampled_from(paths(completion)))
    place = completion
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    used = usage(completion)
    assert all(type(count) is int and count >= 0 for count in vars(used).values())
    try:
        reading = read(constraint, completion)
    except UnusableReply as unusable:
        unusable.text.encode()
        return
    assert isinstance(reading.text, str)
    if reading.probabilities is not None:
        assert sum(reading.probabilities.values()) == pytest.approx(1)
        assert all(math.isfinite(share) for share in reading.probabilities.values())


def read(
    constraint: Constraint, answer: dict[str, Any], *, max_tokens: int = 64, **config: Any
) -> ParsedReply:
    return parse_reply(question(constraint, max_tokens=max_tokens), answer, LlmConfig(**config))


def completion(finish: str | None, **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("answer", "text", "ended"),
    [
        (completion("stop", content=" 42\n"), " 42\n", True),
        (completion("length", content="4"), "4", False),
        (completion("stop", content="the same\n" * 9), "the same\n" * 9, True),
        (
            completion("stop", content=None, refusal="I can't assist with that."),
            "I can't assist with that.",
            True,
        ),
        (completion("stop", content="42", reasoning="Hm."), "<think>Hm.</think>42", True),
        (completion("stop", content="42", reasoning_content="Hm."), "<think>Hm.</think>42", True),
        (completion("stop", content=None, reasoning="Hm."), "<think>Hm.</think>", True),
        (completion("length", reasoning="Hm"), "<think>Hm", False),
        (completion("length", content="4", reasoning="Hm."), "<think>Hm.</think>4", False),
        (completion("stop", content=None), "", True),
        (completion("content_filter", content="so"), "so", False),
        (completion("stop", content="half \ud83d"), "half \\ud83d", True),
    ],
)
def test_free_text_is_whatever_was_answered(answer: dict[str, Any], text: str, ended: bool) -> None:
    reading = read(FreeText(), answer)
    assert (reading.text, reading.ended) == (text, ended)


@pytest.mark.parametrize("finish", ["abort", "error"])
def test_free_text_is_no_text_that_an_engine_has_failed_at(finish: str) -> None:
    with pytest.raises(UnusableReply, match=f"ended by '{finish}'"):
        read(FreeText(), completion(finish, content="Let us"))


@pytest.mark.parametrize("answer", [{}, {"choices": []}, completion("stop", content=["42"])])
def test_free_text_is_asked_again_where_nothing_was_answered(answer: dict[str, Any]) -> None:
    with pytest.raises(UnusableReply, match=r"no chat completion|content that is no text"):
        read(FreeText(), answer)


ENDS = ["stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE", None, "", "EndOfThought"]
CUTS = ["length", "LENGTH", "max_tokens", "MAX_TOKENS", "model_length", "max-output-tokens", "Max Tokens"]
OTHERS = [
    "content_filter",
    "content-filter",
    "SAFETY",
    "tool_calls",
    "tool_use",
    "function_call",
    "error",
    "abort",
]


@pytest.mark.parametrize("finish", ENDS)
def test_a_reply_has_ended_whatever_its_provider_calls_that(finish: str | None) -> None:
    assert read(TEXT, completion(finish, content="x = 3")).text == "x = 3"
    assert read(FreeText(), completion(finish, content="x = 3")).ended


@pytest.mark.parametrize("finish", [*CUTS, *OTHERS])
def test_a_reply_that_is_known_not_to_have_ended_is_not_used(finish: str) -> None:
    reads = "a reply cut at max_tokens" if finish in CUTS else "a reply ended by '"
    with pytest.raises(UnusableReply, match=reads):
        read(TEXT, completion(finish, content="x = 3"))


@pytest.mark.parametrize("finish", [*CUTS, "content_filter", "tool_calls"])
def test_a_response_that_is_known_not_to_have_ended_is_kept_as_cut(finish: str) -> None:
    assert not read(FreeText(), completion(finish, content="x = 3")).ended


@pytest.mark.parametrize(
    ("finish", "generated", "cut"), [(None, 64, True), ("?", 64, True), ("?", 63, False)]
)
def test_a_reply_of_unknown_end_that_is_as_long_as_allowed_was_cut(
    finish: str | None, generated: int, cut: bool
) -> None:
    answer = completion(finish, content="x = 3") | {"usage": {"completion_tokens": generated}}
    assert read(FreeText(), max_tokens=64, answer=answer).ended is not cut
    # Who says that it has ended is believed, also in the last token that was allowed.
    assert read(FreeText(), max_tokens=64, answer=answer | completion("stop", content="x")).ended


def test_a_choice_is_complete_at_its_only_token() -> None:
    assert read(DIGIT, max_tokens=1, answer=completion("length", content="2")).text == "2"


def test_how_a_response_ended_is_told_where_that_is_no_known_word() -> None:
    ended = {end: read(FreeText(), completion(end, content="x")).unknown_end for end in ENDS}
    assert {end: said for end, said in ended.items() if said} == {
        None: "none",
        "EndOfThought": "endofthought",
    }


SWITCHED_OFF = [
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"chat_template_kwargs": {"thinking": False}},
    {"reasoning": {"enabled": False}},
    {"thinking": {"type": "disabled"}},
    {"think": False},
    {"reasoning_effort": "none"},
]


@pytest.mark.parametrize("extra_body", SWITCHED_OFF)
@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize("content", [None, ""])
def test_where_thinking_is_off_what_the_server_takes_for_thinking_is_the_reply(
    extra_body: dict[str, Any], name: str, content: str | None
) -> None:
    for constraint, text in ((TEXT, "x = 3"), (DIGIT, "2"), (GRADES, '{"formulas": 2, "missing": []}')):
        answer = completion("stop", content=content, **{name: text})
        reading = read(constraint, answer, extra_body=extra_body)
        assert (reading.text, reading.deviations) == (text, (Deviation.FROM_REASONING,))
        assert read(FreeText(), answer, extra_body=extra_body).text == text


@pytest.mark.parametrize(
    "extra_body", [{}, {"chat_template_kwargs": {"enable_thinking": True}}, {"reasoning_effort": "low"}]
)
def test_where_a_model_may_think_its_thinking_is_no_reply_and_the_remedy_is_told(extra_body: Any) -> None:
    with pytest.raises(UnusableReply, match="start the server without its reasoning parser"):
        read(TEXT, completion("stop", content=None, reasoning="x = 3"), extra_body=extra_body)


def test_a_reply_from_reasoning_has_to_satisfy_its_constraint_and_to_have_ended() -> None:
    off: dict[str, Any] = {"extra_body": SWITCHED_OFF[0]}
    for answer, why in (
        (completion("stop", content=None, reasoning="perhaps 2"), "none of 0, 1, 2, 3"),
        (completion("content_filter", content=None, reasoning="x"), "ended by"),
    ):
        with pytest.raises(UnusableReply, match=why):
            read(DIGIT if "none" in why else TEXT, answer, **off)
    with pytest.raises(UnusableReply, match="cut at max_tokens, all of it thinking"):
        read(TEXT, completion("length", content=None, reasoning="Let me"), **off)


def test_content_beside_thinking_is_the_reply() -> None:
    reading = read(TEXT, completion("stop", content="x = 3", reasoning="Hm."), extra_body=SWITCHED_OFF[0])
    assert (reading.text, reading.deviations) == ("x = 3", ())


@pytest.mark.parametrize(
    "thinking", ["Hm. {x}", [{"type": "text", "text": "Hm. "}, {"type": "text", "text": "{x}"}]]
)
def test_a_reply_in_parts_is_its_texts_behind_its_thinking(thinking: Any) -> None:
    parts = [
        {"type": "thinking", "thinking": thinking},
        {"type": "text", "text": "x "},
        {"type": "text", "text": "= 3"},
    ]
    assert read(TEXT, completion("stop", content=parts)).text == "x = 3"
    assert read(FreeText(), completion("stop", content=parts)).text == "<think>Hm. {x}</think>x = 3"


@pytest.mark.parametrize("mark", ["\0", "\x1b", "\x7f"])
def test_a_memento_has_no_control_characters(mark: str) -> None:
    with pytest.raises(UnusableReply, match="control character"):
        read(TEXT, completion("stop", content=f"x = {mark}3"))


def test_no_more_tokens_are_cached_than_were_sent() -> None:
    told = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 99}}
    assert usage({"usage": told}).cached_tokens == 10


THOUGHT = [
    "<think>\nHm.\n</think>\n\n{}",
    "Hm.</think>{}",
    "<think>a</think>b</think>{}",
    "[THINK]Hm.[/THINK]{}",
]


@pytest.mark.parametrize("thought", THOUGHT)
def test_thinking_in_front_of_a_reply_is_dropped_where_the_config_allows_it(thought: str) -> None:
    for constraint, text in ((TEXT, "x = 3"), (DIGIT, "2"), (ROW, "A2")):
        answer = completion("stop", content=thought.format(text))
        reading = read(constraint, answer)
        assert (reading.text, reading.deviations) == (text, (Deviation.THINKING_DROPPED,))
        with pytest.raises(UnusableReply, match=r"llm\.drop_thinking does not allow"):
            read(constraint, answer, drop_thinking=False)
    assert read(FreeText(), completion("stop", content=thought.format("x"))).text == thought.format("x")


def test_thinking_that_has_not_ended_is_no_reply() -> None:
    with pytest.raises(UnusableReply, match="an empty reply"):
        read(TEXT, completion("stop", content="<think>Hm.</think>\n"))
    with pytest.raises(UnusableReply, match="<think>"):
        read(Text(SPECIAL_TOKENS), completion("stop", content="<think>Hm."))

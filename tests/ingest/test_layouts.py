import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import SourceConfig
from pipeline.ingest.columns import layout_of, layouts_of
from pipeline.ingest.layouts import Layout, RawTrace, answers_of
from pipeline.ingest.think_tags import split_thought
from pipeline.run.outcomes import Rejected, RejectReason

THOUGHT = "<think>\nHm,  \r\n\tso 2.\n</think>\n\n It is 2. \n"
EXPECTED = RawTrace("1+1?", "\nHm,  \r\n\tso 2.\n", "\n\n It is 2. \n", "unknown", "file.jsonl", None)


def read(row: dict[str, Any], **source: Any) -> RawTrace | Rejected:
    (outcome,) = read_all(row, **source)
    return outcome


def read_all(row: dict[str, Any], **source: Any) -> list[RawTrace | Rejected]:
    layouts = layouts_of(tuple(row), SourceConfig.model_validate(source), some_labels_missing=True)
    if isinstance(layouts, Rejected):
        return [layouts]
    return [outcome for _, outcome in answers_of(layouts, row, "file.jsonl")]


def reason(row: dict[str, Any], **source: Any) -> RejectReason:
    outcome = read(row, **source)
    assert isinstance(outcome, Rejected)
    assert outcome.detail
    return outcome.reason


def turns(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"conversations": [{"from": role, "value": text} for role, text in pairs]}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def chat(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": list(parts)}]}


def marked(start: str, end: str) -> str:
    return f"{start}{EXPECTED.reasoning}{end}{EXPECTED.answer}"


@pytest.mark.parametrize(
    "row",
    [
        turns(("human", "1+1?"), ("gpt", THOUGHT)),
        turns(("system", "Be brief."), ("human", "1+1?"), ("gpt", THOUGHT)),
        {"conversations": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": THOUGHT}]},
        {"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": THOUGHT}]},
        {
            "messages": [
                {"role": "user", "content": "1+1?", "reasoning_content": None},
                {
                    "role": "assistant",
                    "content": EXPECTED.answer,
                    "reasoning_content": EXPECTED.reasoning,
                },
            ]
        },
        {"messages": [{"role": "User", "content": "1+1?"}, {"role": "ASSISTANT", "content": THOUGHT}]},
        {
            "messages": [
                {"role": "user", "content": [text_part("1+"), text_part("1?") | {"image_url": None}]},
                {"role": "assistant", "content": [text_part(THOUGHT)]},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "1+1?"},
                {
                    "role": "assistant",
                    "content": EXPECTED.answer,
                    "reasoning_content": f"<think>{EXPECTED.reasoning}</think>\n",
                },
            ]
        },
        {"problem": "1+1?", "response": THOUGHT},
        {"problem": "1+1?", "response": THOUGHT.removeprefix("<think>")},
        {"problem": "1+1?", "response": " \n" + THOUGHT},
        {"problem": "1+1?", "reasoning": EXPECTED.reasoning, "answer": EXPECTED.answer},
        {"prompt": "1+1?", "completion": THOUGHT},
        {
            "prompt": [{"role": "user", "content": "1+1?"}],
            "completion": [{"role": "assistant", "content": THOUGHT}],
        },
        {
            "prompt": [{"role": "system", "content": "Brief."}, {"role": "user", "content": "1+1?"}],
            "completion": THOUGHT,
        },
        {"question": "1+1?", "output": THOUGHT},
        {"instruction": "1+1?", "input": "", "output": THOUGHT},
        {"question": "1+1?", "thinking": EXPECTED.reasoning, "output": EXPECTED.answer},
        {"prompt": "1+1?", "reasoning_content": EXPECTED.reasoning, "solution": EXPECTED.answer},
        {"problem": "1+1?", "reasoning": EXPECTED.reasoning, "response": EXPECTED.answer},
        {"problem": "1+1?", "generations": [THOUGHT], "messages": None, "solution": "a proof", "answer": "2"},
        {"problem": "1+1?", "response": [THOUGHT]},
        {"messages": json.dumps(turns(("user", "1+1?"), ("assistant", THOUGHT))["conversations"])},
        turns(
            ("human", "1+1?"),
            ("gpt", f"<|begin_of_thought|>{EXPECTED.reasoning}<|end_of_thought|>{EXPECTED.answer}"),
        ),
        {"problem": "1+1?", "response": THOUGHT.replace("think>", "reasoning>")},
        {"problem": "1+1?", "response": THOUGHT.replace("think>", "thinking>")},
        # A sequence of dicts, as Parquet of `datasets` may have it.
        {"conversations": {"from": ["human", "gpt"], "value": ["1+1?", THOUGHT]}},
        {"messages": {"role": ["user", "assistant"], "content": ["1+1?", THOUGHT]}},
        # Parts of a content (Anthropic, the Responses of OpenAI), and turns of channels (gpt-oss).
        chat(
            {"type": "thinking", "thinking": EXPECTED.reasoning, "signature": "s"}, text_part(EXPECTED.answer)
        ),
        chat(
            {"type": "reasoning", "text": EXPECTED.reasoning},
            {"type": "output_text", "text": EXPECTED.answer},
        ),
        {
            "messages": [
                {"role": "user", "content": "1+1?"},
                {"role": "assistant", "channel": "analysis", "content": EXPECTED.reasoning},
                {"role": "assistant", "channel": "final", "content": EXPECTED.answer},
            ]
        },
        {
            "prompt": "1+1?",
            "completion": f"<|channel|>analysis<|message|>{EXPECTED.reasoning}<|end|>"
            f"<|start|>assistant<|channel|>final<|message|>{EXPECTED.answer}<|return|>",
        },
        {
            "user": "1+1?",
            "analysis": EXPECTED.reasoning,
            "final": EXPECTED.answer,
            "reasoning_language": "de",
        },
        # Of s1K and s1K-1.1, OpenThoughts-114k, medical-o1, OpenMathReasoning, Magpie, SYNTHETIC-1.
        {
            "question": "1+1?",
            "solution": "a proof",
            "thinking_trajectories": [EXPECTED.reasoning],
            "attempt": EXPECTED.answer,
        },
        {
            "question": "1+1?",
            "solution": "a proof",
            "deepseek_thinking_trajectory": EXPECTED.reasoning,
            "deepseek_attempt": EXPECTED.answer,
            "gemini_attempt": "3",
        },
        {"problem": "1+1?", "deepseek_reasoning": EXPECTED.reasoning, "deepseek_solution": EXPECTED.answer},
        {"Question": "1+1?", "Complex_CoT": EXPECTED.reasoning, "Response": EXPECTED.answer},
        {"problem": "1+1?", "generated_solution": THOUGHT, "expected_answer": "2"},
        {"instruction": "1+1?", "generation": THOUGHT, "model_name": "m"},
        {"prompt": "1+1?", "llm_response": THOUGHT},
        {"input": "1+1?", "output": THOUGHT, "solution": "print(2)"},
        {"conversation": [{"role": "user", "content": "1+1?"}, {"role": "model", "text": THOUGHT}]},
        # Nemotron: the prompt as turns, and a switch called reasoning.
        {"input": [{"role": "user", "content": "1+1?"}], "output": THOUGHT, "reasoning": "on"},
        {
            "messages": [
                {"role": "user", "content": "1+1?"},
                {"role": "assistant", "content": THOUGHT, "reasoning": "high"},
            ]
        },
        # Dolphin-R1: turns hold the prompt alone.
        {
            "messages": [{"role": "system", "content": "Brief."}, {"role": "user", "content": "1+1?"}],
            "reasoning": EXPECTED.reasoning,
            "answer": EXPECTED.answer,
        },
        # What is null, or says nothing, is looked for elsewhere.
        {"messages": None, "problem": "1+1?", "response": THOUGHT},
        {"conversations": [], "problem": "1+1?", "reasoning": EXPECTED.reasoning, "answer": EXPECTED.answer},
        {"problem": "1+1?", "response": None, "messages": chat(text_part(THOUGHT))["messages"]},
        # Marks of other makers.
        {"problem": "1+1?", "response": marked("[THINK]", "[/THINK]")},
        {"problem": "1+1?", "response": marked("◁think▷", "◁/think▷")},
        {"problem": "1+1?", "response": marked("<seed:think>", "</seed:think>")},
        {"problem": "1+1?", "response": marked("<THINK>", "</THINK>")},
        {"problem": "1+1?", "response": marked('<think seconds="3">', "</think>")},
        {"problem": "1+1?", "response": marked("\ufeff<think>", "</think>")},
        {"problem": "1+1?", "response": marked("\u200b <think>", "</think>")},
        {"problem": "1+1?", "response": marked("Here is my thought process:", "Here is my response:")},
        {
            "problem": "1+1?",
            "response": marked("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>")
            + "<|END_RESPONSE|>",
        },
    ],
)
def test_every_layout_gives_the_same_trace_byte_for_byte(row: dict[str, Any]) -> None:
    assert read(row) == EXPECTED


def test_labels_are_taken_over_and_their_absence_is_named() -> None:
    row = {"problem": "1+1?", "response": THOUGHT, "domain": "math", "source": "me", "difficulty": 7}
    assert read(row) == EXPECTED._replace(domain="math", source="me", difficulty=7)
    assert read(row | {"domain": None, "source": "", "difficulty": None}) == EXPECTED


@pytest.mark.parametrize(
    ("given", "number"), [("7", 7), (7.0, 7), (float("nan"), None), ("", None), (-1, -1)]
)
def test_a_difficulty_that_is_like_a_whole_number_becomes_one(given: object, number: int | None) -> None:
    row = {"problem": "1+1?", "response": THOUGHT, "difficulty": given}
    assert read(row) == EXPECTED._replace(difficulty=number)


@pytest.mark.parametrize("given", ["hard", 7.5, True, [1], {}, float("inf"), 2**63, "9" * 5000])
def test_any_other_difficulty_is_null_and_costs_no_trace(given: object) -> None:
    assert read({"problem": "1+1?", "response": THOUGHT, "difficulty": given}) == EXPECTED


@pytest.mark.parametrize("label", ["domain", "source"])
def test_a_number_as_domain_or_source_becomes_text_and_anything_else_is_missing(label: str) -> None:
    row = {"problem": "1+1?", "response": THOUGHT}
    assert read(row | {label: 3}) == EXPECTED._replace(**{label: "3"})
    assert read(row | {label: 0.5}) == EXPECTED._replace(**{label: "0.5"})
    for useless in (["math"], {"a": 1}, True, float("nan")):
        assert read(row | {label: useless}) == EXPECTED


def test_only_one_pair_of_think_marks_around_reasoning_is_taken_away() -> None:
    row = {"problem": "1+1?", "answer": "2"}
    for marked, kept in [
        ("<think>\n<think>a</think>\n</think>", "\n<think>a</think>\n"),
        ("a</think>", "a</think>"),
        (" a ", " a "),
    ]:
        outcome = read(row | {"reasoning": marked})
        assert isinstance(outcome, RawTrace)
        assert outcome.reasoning == kept


def test_own_column_names_are_used() -> None:
    row = {"question": "1+1?", "output": THOUGHT, "level": 3}
    columns = {"problem": "question", "response": "output", "difficulty": "level"}
    assert read(row, columns=columns) == EXPECTED._replace(difficulty=3)


def test_own_column_names_go_before_layouts_that_would_fit_too() -> None:
    row = {"messages": None, "conversations": None, "q": "1+1?", "thoughts": "\nso\n", "final": "2"}
    columns = {"problem": "q", "reasoning": "thoughts", "answer": "final"}
    assert read(row, columns=columns) == EXPECTED._replace(reasoning="\nso\n", answer="2")


def test_a_layout_that_the_config_names_is_the_only_one_tried() -> None:
    row = {"messages": None, "problem": "1+1?", "response": THOUGHT}
    assert read(row, layout="problem_response") == EXPECTED
    assert reason(row, layout="conversations") is RejectReason.UNKNOWN_LAYOUT


def test_unknown_columns_are_named_with_the_way_out() -> None:
    outcome = read({"task": "1+1?", "text": THOUGHT})
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.UNKNOWN_LAYOUT
    assert "task, text" in outcome.detail
    assert "source.columns" in outcome.detail


def test_a_mapped_label_may_be_missing_in_a_row_but_not_in_a_whole_file() -> None:
    config = SourceConfig(columns={"difficulty": "level", "domain": "field"})
    names = ("problem", "response", "field")
    row = layout_of(names, config, some_labels_missing=True)
    assert isinstance(row, Layout)
    ((_, trace),) = row.answers({"problem": "1+1?", "response": THOUGHT, "field": "math"}, "file.jsonl")
    assert trace == EXPECTED._replace(domain="math")
    file = layout_of(names, config)
    assert isinstance(file, Rejected)
    assert file.detail == "source.columns names level, but the columns are problem, response, field"


def test_a_mapped_column_that_is_missing_is_named() -> None:
    outcome = read({"problem": "1+1?", "output": THOUGHT}, columns={"response": "reply"})
    assert isinstance(outcome, Rejected)
    assert outcome.detail == "source.columns names reply, but the columns are problem, output"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (turns(("gpt", THOUGHT)), RejectReason.NO_PROBLEM),
        (turns(("human", " \n"), ("gpt", THOUGHT)), RejectReason.NO_PROBLEM),
        (turns(("human", "1+1?")), RejectReason.NO_ANSWER),
        (
            turns(("human", "1+1?"), ("gpt", THOUGHT), ("human", "Why?"), ("gpt", THOUGHT)),
            RejectReason.SEVERAL_TURNS,
        ),
        (turns(("human", "1+1?"), ("oracle", THOUGHT)), RejectReason.UNREADABLE_ROW),
        (turns(("human", "1+1?"), ("gpt", 2)), RejectReason.UNREADABLE_ROW),
        (turns(("human", "1+1?"), (["gpt"], THOUGHT)), RejectReason.UNREADABLE_ROW),
        (
            turns(("human", [text_part("1?"), {"type": "image_url"}]), ("gpt", THOUGHT)),
            RejectReason.UNREADABLE_ROW,
        ),
        (turns(("human", [{"type": "text", "text": None}]), ("gpt", THOUGHT)), RejectReason.UNREADABLE_ROW),
        (turns(("human", []), ("gpt", THOUGHT)), RejectReason.NO_PROBLEM),
        ({"conversations": "1+1?"}, RejectReason.UNREADABLE_ROW),
        ({"conversations": '{"from": "human"}'}, RejectReason.UNREADABLE_ROW),
        ({"problem": "1+1?", "generations": []}, RejectReason.NO_ANSWER),
        ({"problem": "1+1?", "generations": None}, RejectReason.NO_REASONING),
        (
            {"problem": "1+1?", "generations": [THOUGHT], "correctness_llama": [True, False]},
            RejectReason.UNREADABLE_ROW,
        ),
        ({"prompt": [], "completion": [{"role": "assistant", "content": THOUGHT}]}, RejectReason.NO_PROBLEM),
        ({"prompt": "1+1?", "completion": "<|begin_of_thought|>So"}, RejectReason.CUT_BEFORE_THINK_END),
        (
            {"prompt": "1+1?", "completion": "<|begin_of_thought|>So<|end_of_thought|>\n"},
            RejectReason.NO_ANSWER,
        ),
        ({"conversations": None}, RejectReason.UNREADABLE_ROW),
        ({"conversations": [None]}, RejectReason.UNREADABLE_ROW),
        ({"problem": None, "response": THOUGHT}, RejectReason.NO_PROBLEM),
        ({"problem": 1, "response": THOUGHT}, RejectReason.UNREADABLE_ROW),
        ({"problem": "1+1?", "response": None}, RejectReason.NO_REASONING),
        ({"problem": "1+1?", "response": "It is 2."}, RejectReason.NO_REASONING),
        ({"problem": "1+1?", "response": "<think> \n</think>2"}, RejectReason.NO_REASONING),
        ({"problem": "1+1?", "response": "<think>Hm, so"}, RejectReason.CUT_BEFORE_THINK_END),
        ({"problem": "1+1?", "response": "<think>Hm</think>\n\n"}, RejectReason.NO_ANSWER),
        ({"problem": "1+1?", "response": "Sure! <think>Hm</think>2"}, RejectReason.TEXT_BEFORE_THINK),
        (
            {"problem": "1+1?", "response": "<think>a</think>b<think>c</think>d"},
            RejectReason.SEVERAL_THINK_PARTS,
        ),
        ({"problem": "1+1?", "response": "a</think>b<think>c"}, RejectReason.SEVERAL_THINK_PARTS),
        ({"problem": "1+1?", "response": "<think>a</think>b</think>c"}, RejectReason.SEVERAL_THINK_PARTS),
        ({"problem": "1+1?", "reasoning": None, "answer": "2"}, RejectReason.NO_REASONING),
        ({"problem": "1+1?", "reasoning": "so", "answer": None}, RejectReason.NO_ANSWER),
        (
            {
                "messages": [
                    {"role": "user", "content": "1+1?"},
                    {"role": "assistant", "content": None, "reasoning": "so"},
                ]
            },
            RejectReason.NO_ANSWER,
        ),
    ],
)
def test_a_row_without_a_whole_trace_is_rejected_with_its_reason(
    row: dict[str, Any], expected: RejectReason
) -> None:
    assert reason(row) is expected


def test_the_marks_of_a_solution_are_no_part_of_the_answer() -> None:
    response = (
        "<|begin_of_thought|>\n\nHm, 2.\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n\nIt is 2.\n\n<|end_of_solution|>"
    )
    outcome = read(turns(("user", "1+1?"), ("assistant", response)))
    assert outcome == EXPECTED._replace(reasoning="\n\nHm, 2.\n\n", answer="\n\nIt is 2.\n\n")


def test_marks_of_ones_own_are_the_only_ones_looked_for() -> None:
    row = {"problem": "1+1?", "response": "[[so <think> 2]] It is 2."}
    outcome = read(row, think=["[[", "]]"])
    assert outcome == EXPECTED._replace(reasoning="so <think> 2", answer=" It is 2.")
    assert reason({"problem": "1+1?", "response": THOUGHT}, think=["[[", "]]"]) is RejectReason.NO_REASONING


def test_each_answer_of_a_row_is_a_trace_of_its_own_and_needs_one_verdict() -> None:
    row = {
        "problem": "1+1?",
        "generations": [THOUGHT, "<think>No.</think>3", "<think>Hm", "<think>So.</think>2"],
        "correctness_math_verify": [True, False, True, False],
        "correctness_llama": [None, None, None, True],
    }
    first, second, third, fourth = read_all(row)
    assert first == EXPECTED
    assert isinstance(second, Rejected)
    assert second.reason is RejectReason.NOT_VERIFIED
    assert second.detail == "correctness_math_verify is False, correctness_llama is None"
    assert isinstance(third, Rejected)
    assert third.reason is RejectReason.CUT_BEFORE_THINK_END
    assert fourth == EXPECTED._replace(reasoning="So.", answer="2")


def test_answers_that_the_config_maps_are_verified_only_where_it_says_so() -> None:
    row = {
        "problem": "1+1?",
        "tries": [THOUGHT] * 2,
        "right": ["no", "yes"],
        "correctness_llama": [False] * 2,
    }
    assert read_all(row, columns={"response": "tries"}) == [EXPECTED, EXPECTED]
    first, second = read_all(row, columns={"response": "tries", "verified": "right"})
    assert isinstance(first, Rejected)
    assert second == EXPECTED


def test_an_instruction_with_an_input_is_one_problem() -> None:
    outcome = read({"instruction": "Add them.", "input": "1 and 1", "output": THOUGHT})
    assert outcome == EXPECTED._replace(problem="Add them.\n\n1 and 1")


text = st.text().filter(lambda text: "think>" not in text)


@given(text, text)
def test_reasoning_and_answer_are_kept_byte_for_byte(reasoning: str, answer: str) -> None:
    assert split_thought(f"<think>{reasoning}</think>{answer}") == (reasoning, answer)


@given(st.lists(st.sampled_from(["<think>", "</think>", " ", "a"])).map("".join))
def test_no_think_mark_is_left_in_a_part(response: str) -> None:
    thought = split_thought(response)
    assert isinstance(thought, Rejected) or "think>" not in thought.reasoning + thought.answer


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(THOUGHT),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["from", "value", "role", "content", "reasoning"]), inner, max_size=3
        )
    ),
)
columns = ["conversations", "messages", "problem", "response", "reasoning", "answer", "domain", "difficulty"]
columns += ["prompt", "completion", "generations", "correctness_llama", "instruction", "input", "solution"]


@given(st.dictionaries(st.sampled_from(columns), anything))
def test_any_row_is_a_whole_trace_or_rejected_with_words(row: dict[str, Any]) -> None:
    outcomes = read_all(row)
    assert outcomes
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            assert outcome.detail
        else:
            assert all(isinstance(text, str) and text.strip() for text in outcome[:3])
            assert outcome.difficulty is None or type(outcome.difficulty) is int


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "Correct", "passed"])
def test_what_a_verifier_confirms_is_taken(value: object) -> None:
    assert isinstance(verified(value), RawTrace)


@pytest.mark.parametrize("value", [False, None, 0, 0.5, "", "false", "incorrect", ["true"]])
def test_what_a_verifier_does_not_confirm_is_left_out_and_says_what_stands_there(value: object) -> None:
    found = verified(value)
    assert isinstance(found, Rejected)
    assert (found.reason, found.detail) == (RejectReason.NOT_VERIFIED, f"is_right is {value!r}")


def verified(value: object) -> RawTrace | Rejected:
    row = {"problem": "1 + 1?", "response": "<think>Two.</think>2", "is_right": value}
    return read(row, columns={"verified": "is_right"})


def test_a_column_that_is_not_mapped_verifies_nothing() -> None:
    row = {"problem": "1 + 1?", "response": "<think>Two.</think>2", "verified": False}
    assert isinstance(read(row), RawTrace)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"input": "1+1?", "output": "2", "reasoning": "off"}, RejectReason.NO_REASONING),
        ({"problem": "1+1?", "reasoning": "high", "answer": "2"}, RejectReason.NO_REASONING),
        (
            {"messages": chat(text_part("<think>so"))["messages"], "problem": "1+1?", "response": THOUGHT},
            RejectReason.CUT_BEFORE_THINK_END,
        ),
        (
            {
                "problem": "1+1?",
                "response": "2",
                "verified": 0,
                "messages": chat(text_part(THOUGHT))["messages"],
            },
            RejectReason.NOT_VERIFIED,
        ),
        (
            {"messages": [{"role": "user", "content": "1+1?"}, {"role": "tool", "content": "2"}]},
            RejectReason.SEVERAL_TURNS,
        ),
        ({"custom_id": "r1", "response": {"body": {}}}, RejectReason.UNKNOWN_LAYOUT),
        ({"messages": {"role": ["user"], "content": []}}, RejectReason.UNREADABLE_ROW),
        (chat(text_part("2"), {"type": "image", "image_url": "x"}), RejectReason.UNREADABLE_ROW),
    ],
)
def test_what_is_there_and_unfit_is_not_replaced(row: dict[str, Any], why: RejectReason) -> None:
    columns = {"verified": "verified"} if "verified" in row else {}
    assert reason(row, columns=columns) is why


def test_what_is_mapped_or_verified_is_not_looked_for_elsewhere() -> None:
    good = chat(text_part(THOUGHT))
    mapped = {"task": "1+1?", "texts": None, **good}
    assert reason(mapped, columns={"problem": "task", "response": "texts"}) is RejectReason.NO_REASONING
    verified = {"problem": "1+1?", "generations": [], "correctness_math_verify": [], **good}
    assert reason(verified) is RejectReason.NO_ANSWER


@pytest.mark.parametrize(
    ("end", "taken"),
    [("</s>", "</s>"), ("<end_of_turn>\n", "<end_of_turn>\n"), ("[EOS]", "[EOS]"), ("<|im_end|></s> ", None)],
)
def test_marks_with_which_a_model_ends_are_taken_off_the_answer(end: str, taken: str | None) -> None:
    expected = EXPECTED._replace(answer="It is 2.", taken_off=taken or end)
    assert (
        read({"problem": "1+1?", "response": f"<think>{EXPECTED.reasoning}</think>It is 2.{end}"}) == expected
    )


def test_an_answer_of_nothing_but_its_end_is_none() -> None:
    assert reason({"problem": "1+1?", "response": "<think>so</think></s>"}) is RejectReason.NO_ANSWER

"""What a judge writes is read where nobody could read it in two ways, and only there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.chat_completions import UnusableReply, validated
from pipeline.llm.deviations import Deviation
from pipeline.llm.model import JsonReply
from schemas.replies import Verdict

POINTS = {
    "formulas": 3,
    "values": 1,
    "methods": 2,
    "validation": 0,
    "only_confirmed": 1,
    "result_first": 1,
}


def written(*missing: str, **points: Any) -> str:
    return json.dumps({**POINTS, **points, "missing": list(missing)})


def read(text: str) -> tuple[dict[str, Any], set[Deviation]]:
    reading = validated(JsonReply(Verdict), text, drop_thinking=True)
    assert isinstance(reading.value, Verdict)
    return reading.value.model_dump(), set(reading.deviations)


WITHOUT_LIST = json.dumps(POINTS)
PYTHON = str({**POINTS, "missing": ["it's 4"]})
READABLE: list[tuple[str, list[str], set[Deviation]]] = [
    (written("y = 4"), ["y = 4"], set()),
    (written("a\\b", "tab\there", "ü", 'say "4"'), ["a\\b", "tab\there", "ü", 'say "4"'], set()),
    (f"<think>Is {{this}} it?</think>\n{written()}", [], {Deviation.THINKING_DROPPED}),
    (f"Is it?\n</think>{written()}", [], {Deviation.THINKING_DROPPED}),
    (written("no </think> there"), ["no </think> there"], set()),
    (f"My {{honest}} verdict:\n{written()}\nBye {{}}.", [], {Deviation.TEXT_AROUND}),
    (f"```json\n{written()}\n```", [], {Deviation.TEXT_AROUND}),
    (f"So:\n```\n{written()}\n```\nDone.", [], {Deviation.TEXT_AROUND}),
    (f"[{written()}]", [], {Deviation.WRAPPED}),
    (f'{{"verdict": {written()}}}', [], {Deviation.WRAPPED}),
    (f'{{"points": {WITHOUT_LIST}, "missing": ["y"]}}', ["y"], {Deviation.WRAPPED}),
    (written() + written(), [], {Deviation.SAID_TWICE, Deviation.TEXT_AROUND}),
    (written()[:-1] + ", }", [], {Deviation.NOT_QUITE_JSON}),
    (written("y").replace('"y"', '"y",'), ["y"], {Deviation.NOT_QUITE_JSON}),
    (written("Y").replace("Y", "one\ntwo"), ["one\ntwo"], {Deviation.NOT_QUITE_JSON}),
    (written("a, ]").replace('"values"', "values"), ["a, ]"], {Deviation.NOT_QUITE_JSON}),
    (PYTHON, ["it's 4"], {Deviation.NOT_QUITE_JSON}),
    (f"verdict = {PYTHON}", ["it's 4"], {Deviation.NOT_QUITE_JSON, Deviation.TEXT_AROUND}),
    (written("Y").replace("Y", r"\(x\) is \alpha"), [r"\(x\) is \alpha"], {Deviation.LONE_BACKSLASH}),
    (written("Y").replace("Y", r"\beta, \frac12, \times, \nabla"), [r"\beta, \frac12, \times, \nabla"],
     {Deviation.LONE_BACKSLASH}),
    (written("Y").replace("Y", r"\theta\neq\text{m}"), [r"\theta\neq\text{m}"], {Deviation.LONE_BACKSLASH}),
    (written("Y").replace("Y", r"\rho\nmid"), ["\\rho\nmid"], {Deviation.LONE_BACKSLASH}),
    (written("Y").replace("Y", r"\uparrow, don\'t"), [r"\uparrow, don't"], {Deviation.LONE_BACKSLASH}),
    (written("Y").replace("Y", r"\\frac, \u00e9\n\"next"), ['\\frac, é\n"next'], set()),
    (written(total=8), [], {Deviation.OTHER_KEY}),
    (written().replace("only_confirmed", "Only confirmed"), [], {Deviation.OTHER_KEY}),
    (written(formulas="3/3", values="1 of 2", methods="2 points"), [], {Deviation.POINTS_AS_TEXT}),
    (WITHOUT_LIST, [], {Deviation.NO_LIST}),
    (written().replace("[]", "null"), [], {Deviation.NO_LIST}),
    (written().replace("[]", '""'), [], {Deviation.NO_LIST}),
    (written().replace("[]", '"Nothing is missing."'), [], {Deviation.NO_LIST}),
    (written().replace("[]", '"nothing but y"'), ["nothing but y"], {Deviation.NO_LIST}),
    (written("", "y"), ["y"], {Deviation.EMPTY_ITEM}),
    (written("y" * 160), ["y" * 160], set()),
    (written("y" * 161), ["y" * 159 + "…"], {Deviation.ITEM_SHORTENED}),
    (written(*"abcd"), [*"abcd"], set()),
    (written(*"abcde"), [*"abcd"], {Deviation.ITEM_DROPPED}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "missing", "mended"), READABLE)
def test_what_can_be_read_in_one_way_is_read_so_and_named(
    text: str, missing: list[str], mended: set[Deviation]
) -> None:
    assert read(text) == ({**POINTS, "missing": missing}, mended)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (written(formulas=2.5), "formulas: Input should be a valid integer"),
        (written(formulas=4), "formulas: Input should be less than or equal to 3"),
        (written(formulas=None), "formulas: Input should be a valid integer"),
        (written(values="1/3"), "values: Input should be a valid integer"),
        (written(formulas="two"), "formulas: Input should be a valid integer"),
        (written() + written(formulas=2), "several JSON objects that differ"),
        # What has to be mended first is a second verdict no less.
        (written() + written(formulas=2)[:-1] + ",}", "several JSON objects that differ"),
        (written().replace('"values": 1', '"values": 1, "values": 2'), "two values of 'values'"),
        (written().replace('"values": 1', '"values": 1, "Values": 2'), "two values of 'values'"),
        (written().replace('"values": 1', '"values": NaN'), "values: Input should be"),
        (written()[:-1], "no JSON object with these keys"),
        (written("cut here")[:-5], "no JSON object with these keys"),
        (written().replace('"values": 1, ', ""), "no JSON object with these keys"),
        (f'{{"a": {written()}, "b": {written(formulas=0)}}}', "no JSON object with these keys"),
        (written().replace("[]", '[{"item": "y"}]'), "missing.0: Input should be a valid string"),
        ("formulas 3, values 1", "no JSON object with these keys"),
        ("", "no JSON object with these keys"),
        ("[" * 5_000, "no JSON object with these keys"),
        ('{"a":' * 5_000, "no JSON object with these keys"),
        (written().replace("3", "3" * 5_000), "formulas|Exceeds"),
    ],
)
def test_what_can_be_read_in_several_ways_or_none_is_not_read(text: str, why: str) -> None:
    with pytest.raises(UnusableReply, match=f"not a Verdict .*{why}"):
        read(text)


@given(
    points=st.fixed_dictionaries(
        {name: st.integers(0, most) for name, most in Verdict.most_points().items()}
    ),
    missing=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40), max_size=4
    ),
    ascii_only=st.booleans(),
)
def test_json_that_is_as_asked_for_is_read_as_it_is(
    points: dict[str, int], missing: list[str], ascii_only: bool
) -> None:
    value = {**points, "missing": [f"r{item}" for item in missing]}
    assert read(json.dumps(value, ensure_ascii=ascii_only)) == (value, set())


@given(st.text(max_size=80))
def test_no_text_is_read_as_a_verdict_that_it_does_not_hold(text: str) -> None:
    with pytest.raises(UnusableReply):
        read(text)

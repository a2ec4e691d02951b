"""Whatever JSON an endpoint answers with, it is a reading or it is unusable."""

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.chat_completions import UnusableReply, parse_reply, usage
from pipeline.llm.model import Choices, Constraint
from tests.llm.questions import DIGIT, GRADES, TEXT

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
        reading = parse_reply(constraint, completion)
    except UnusableReply as unusable:
        unusable.text.encode()
        return
    assert isinstance(reading.text, str)
    if reading.probabilities is not None:
        assert sum(reading.probabilities.values()) == pytest.approx(1)
        assert all(math.isfinite(share) for share in reading.probabilities.values())

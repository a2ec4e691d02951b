"""Replies chosen from options: one digit, or a row as "A2 B0 C1"; their text, and how sure the model was."""

import math
import re
from collections.abc import Sequence
from typing import Any

from pipeline.llm.model import Choice, Choices


def row_pattern(row: Choices) -> str:
    """A regular expression for exactly the replies wanted, as an endpoint constrains them."""
    one_of = "|".join(map(re.escape, row.options))
    return " ".join(f"{re.escape(label)}({one_of})" for label in row.labels)


def row_text(row: Choices, text: str) -> str | None:
    """The row as `row_pattern` has it, from a reply with any punctuation between; None for anything else."""
    found = _written(row).fullmatch(text)
    if found is None:
        return None
    return " ".join(label + option for label, option in zip(row.labels, found.groups(), strict=True))


def choice_shares(choice: Choice, logprobs: Any) -> dict[str, float] | None:
    """Probability of each option by the first token's candidates; None where the endpoint told none."""
    try:
        return _shares(choice.options, logprobs["content"][0])
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError):
        return None


def row_shares(row: Choices, text: str, logprobs: Any) -> dict[str, float] | None:
    """Probability of each option under its label ("A2"), adding up to 1 for every label.

    text: the reply as it came. None where not every option has a token of its own with candidates.
    """
    found = _written(row).fullmatch(text)
    shares: dict[str, float] = {}
    try:
        tokens = {}
        spelled = ""
        for token in logprobs["content"]:
            # The space before an option may belong to its token.
            tokens[len(spelled) + len(token["token"]) - 1] = token
            spelled += token["token"]
        if found is None or not spelled.startswith(text):
            return None
        for group, label in enumerate(row.labels, 1):
            token = tokens[found.end(group) - 1]
            of_label = _shares(row.options, token)
            if of_label is None or token["token"].strip() not in row.options:
                return None
            shares |= {label + option: share for option, share in of_label.items()}
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError):
        return None
    return shares


def _written(row: Choices) -> re.Pattern[str]:
    one_of = "|".join(map(re.escape, row.options))
    return re.compile(r"\W*" + r"\W+".join(rf"{re.escape(n)}\W*({one_of})" for n in row.labels) + r"\W*")


def _shares(options: Sequence[str], token: Any) -> dict[str, float] | None:
    weights = dict.fromkeys(options, 0.0)
    for candidate in token["top_logprobs"]:
        # " 2" and "2" are two tokens of one option.
        if (option := candidate["token"].strip()) in weights:
            weights[option] += math.exp(candidate["logprob"])
    total = sum(weights.values())
    return {option: w / total for option, w in weights.items()} if 0 < total < math.inf else None

"""Whether answers are right, each kind in its own way."""

import importlib
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pipeline.evaluate.answers import (
    as_words,
    bare,
    chosen_letter,
    final_answer,
    is_words,
    last_box,
    may_be_product,
    reference,
)
from pipeline.evaluate.code_judging import judge_program
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.mathematics import mentioned, quantity, same
from pipeline.evaluate.problems import AnswerKind, Problem

# Raise when the same answer would be judged otherwise: all that is kept is then judged again.
VERSION = 2
NO_ANSWER = "no answer"
WRONG = "wrong"
UNREADABLE = "reference cannot be read"


@dataclass(frozen=True)
class Judgement:
    """said: the answer as votes count it, None where none was found; fault: why it is not right, else ""."""

    said: str | None
    fault: str

    @property
    def is_right(self) -> bool:
        return not self.fault


def check_judges(kinds: Collection[AnswerKind]) -> None:
    """Raises EvaluateError where answers of one of these kinds cannot be judged here."""
    if "math" in kinds:
        _check_math_verify()
    if "code" in kinds:
        from pipeline.evaluate.sandbox import SandboxError, check_sandbox

        try:
            check_sandbox()
        except SandboxError as error:
            raise EvaluateError(str(error)) from error


def judgement(problem: Problem, answer: str) -> Judgement:
    """Whether an answer to a problem is right, by the kind that the problem has (problems.AnswerKind)."""
    if problem.kind == "math":
        return _by_mathematics(problem.expected, answer)
    if problem.kind == "words":
        return _by_words(problem.expected, answer)
    if problem.kind == "choice":
        letter = chosen_letter(answer)
        return Judgement(letter, _fault(letter, letter == problem.expected))
    if problem.kind == "code":
        return Judgement(None, judge_program(answer, problem.details))
    if problem.kind == "function":
        name, row = problem.details
        return _by_function(name, row, answer)
    said = last_box(answer) or answer.strip() or None
    return Judgement(said, _fault(said, _gym_score(problem.details, said) == 1.0))


def unreadable(kind: AnswerKind, expected: str) -> bool:
    """Whether a reference cannot be read as its kind, so that no answer could be judged by it."""
    text = bare(reference(expected))
    if kind == "math":
        return is_words(text) or not text or quantity(text, seconds=None) is None
    if kind == "words":
        return not any(sign.isalnum() for sign in as_words(text))
    return kind == "choice" and not re.fullmatch(r"[A-J]", expected)


def function_named(name: str) -> Callable[[str, Mapping[str, Any]], bool | Judgement]:
    """The function with a dotted name, `my_module.my_judge`; modules of the working folder are found, too.

    Raises EvaluateError where there is none.
    """
    module, _, attribute = name.rpartition(".")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise EvaluateError(f"judge {name}: cannot be imported ({error})") from None
    if not callable(found):
        raise EvaluateError(f"judge {name}: is not a function of an answer and its row")
    return cast("Callable[[str, Mapping[str, Any]], bool | Judgement]", found)


def _fault(said: str | None, is_right: bool) -> str:
    return NO_ANSWER if said is None else "" if is_right else WRONG


def _by_words(expected: str, answer: str) -> Judgement:
    said = as_words(final_answer(answer) or answer) or None
    return Judgement(said, _fault(said, said == as_words(reference(expected))))


def _by_mathematics(expected: str, answer: str) -> Judgement:
    """As mathematics; a reference of words by its words."""
    text, said = bare(reference(expected)), bare(final_answer(answer) or "")
    is_formula = not is_words(said)
    if is_words(text) and not (is_formula and may_be_product(text)):
        return _by_words(expected, answer)
    wanted = quantity(text)
    if wanted is None:
        return Judgement(None, UNREADABLE)
    found = quantity(said) if is_formula or may_be_product(said) else None
    if found is None and last_box(answer) is not None:
        return Judgement(as_words(said) or None, WRONG)
    if found is None and (found := mentioned(answer)) is None:
        return Judgement(None, NO_ANSWER)
    return Judgement(str(found), "" if same(wanted, found) else WRONG)


def _by_function(name: str, row: Mapping[str, Any], answer: str) -> Judgement:
    result = function_named(name)(answer, row)
    if isinstance(result, Judgement):
        return result
    if not isinstance(result, bool):
        raise TypeError(f"judge {name} gave {type(result).__name__}, and neither a bool nor a Judgement")
    return Judgement(final_answer(answer), "" if result else WRONG)


def _gym_score(details: tuple[str, dict[str, Any]], said: str | None) -> float:
    import reasoning_gym

    name, entry = details
    score: float = reasoning_gym.get_score_answer_fn(name)(answer=said, entry=entry)
    return score


def _check_math_verify() -> None:
    try:
        import math_verify  # noqa: F401
    except ImportError:
        raise EvaluateError(
            "judging mathematics needs math-verify: pip install 'openmementos[evaluate]'"
        ) from None

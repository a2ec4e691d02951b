"""Whether answers are right, each kind in its own way."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pipeline.evaluate.code_judging import judge_program
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.problems import AnswerKind, Problem
from pipeline.records.boxed import boxed_answers

# Raise when the same answer would be judged otherwise: all that is kept is then judged again.
VERSION = 1
NO_ANSWER = "no answer"
WRONG = "wrong"


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
    """Whether an answer to a problem is right."""
    if problem.kind == "words":
        said = " ".join(answer.split())
        return Judgement(said or None, "" if said == " ".join(problem.expected.split()) else WRONG)
    if problem.kind == "code":
        return Judgement(None, judge_program(answer, problem.details))
    if problem.kind == "choice":
        letter = _letter(answer)
        return Judgement(letter, _fault(letter, letter == problem.expected))
    if problem.kind == "gym":
        said_or_none = _last_boxed(answer) or answer.strip() or None
        return Judgement(said_or_none, _fault(said_or_none, _gym_score(problem.details, said_or_none) == 1.0))
    return _math(problem.expected, answer)


def _fault(said: str | None, is_right: bool) -> str:
    return NO_ANSWER if said is None else "" if is_right else WRONG


def _last_boxed(text: str) -> str | None:
    found = boxed_answers(text)
    return found[-1] if found else None


def _letter(answer: str) -> str | None:
    """The letter that is boxed, or else the last one that stands for itself behind `answer`."""
    if (boxed := _last_boxed(answer)) is not None:
        found = re.search(r"(?<![A-Za-z])([A-Da-d])(?![A-Za-z])", boxed)
        return found[1].upper() if found else None
    letters = re.findall(r"(?i:answer)\W+(?:(?i:is|option)\W+)*([A-D])(?![A-Za-z])", answer)
    return letters[-1] if letters else None


def _gym_score(details: tuple[str, dict[str, Any]], said: str | None) -> float:
    import reasoning_gym

    name, entry = details
    score: float = reasoning_gym.get_score_answer_fn(name)(answer=said, entry=entry)
    return score


def _math(expected: str, answer: str) -> Judgement:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    # The expected answer is one whether or not somebody has put it into dollars.
    wanted = parse(f"\\boxed{{{expected}}}", [LatexExtractionConfig(), ExprExtractionConfig()])
    found = parse(answer, [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()])
    if not found:
        return Judgement(None, NO_ANSWER)
    return Judgement(str(found[0]), "" if verify(wanted, found) else WRONG)


def _check_math_verify() -> None:
    try:
        import math_verify  # noqa: F401
    except ImportError:
        raise EvaluateError(
            "judging mathematics needs math-verify: pip install 'openmementos[evaluate]'"
        ) from None

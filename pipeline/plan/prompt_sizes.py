"""How many tokens the questions about one trace will have: by arithmetic, no prompt is put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import BuildConfig
from pipeline.llm.templates import Prompts
from pipeline.mementos.view import BlockView
from pipeline.segmentation.score.prefill import Stretch, stretches
from pipeline.segmentation.score.questions import QUOTED_CHARACTERS, Places
from pipeline.segmentation.score.stage import shown_limit
from pipeline.text.pieces import block_texts
from pipeline.text.tokens import TokenCounter

# Blocks of the released data have 1,150 tokens, their mementos 194; whole traces go from 10,900 to 1,850
# (design section 2, from arXiv 2604.09852 and the card of microsoft/OpenMementos).
_BLOCK_PER_MEMENTO_TOKENS = 6
# Share of mementos that have not reached 8 of 10 points after so many rounds (the same source: 28 % pass the
# first, 92 % pass after two). Each further round is taken to help the same part of those that are left.
_LEFT_AFTER_ONE = 0.72
_LEFT_AFTER_TWO = 0.08
# The judge's JSON object, and the points of its list that a refinement is told, as seen on real traces.
_VERDICT_TOKENS = 130
_FEEDBACK_TOKENS = 60
# A letter and its digit, in a row about several boundaries; the row's end is one more.
_TOKENS_PER_LABEL = 2
# What ChatML adds: before the user's text, and after it up to the answer.
_CHAT_TOKENS_BEFORE = 8
_CHAT_TOKENS_AFTER = 5
# vLLM keeps prefixes in blocks of this size: the tokens after the last whole one are computed again.
_CACHE_BLOCK_TOKENS = 16


@dataclass(frozen=True)
class Load:
    """Work for the model. computed_tokens: the part of prompt_tokens that no prefix cache can serve.

    Fractions of a request come from shares of mementos that need another round.
    """

    requests: float = 0
    prompt_tokens: float = 0
    computed_tokens: float = 0
    generated_tokens: float = 0

    def __add__(self, other: "Load") -> "Load":
        names = self.__dataclass_fields__
        return Load(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __mul__(self, times: float) -> "Load":
        return Load(**{name: getattr(self, name) * times for name in self.__dataclass_fields__})


def judge_rounds(max_rounds: int) -> float:
    """Rounds that a memento takes on average, at the paper's rates of passing; at least one."""
    helped = _LEFT_AFTER_TWO / _LEFT_AFTER_ONE
    left = [1.0, *(_LEFT_AFTER_ONE * helped**n for n in range(max_rounds - 1))]
    return sum(left[:max_rounds])


@dataclass(frozen=True)
class PromptSizes:
    """Loads of the questions about a trace, in tokens of the vocabulary that `count` counts by.

    window: tokens that the model can see, None where unknown. What is cached is the most that an engine can
    keep: the system prompt over all traces, a trace's beginning from one question of a stage to the next.
    """

    build: BuildConfig
    prompts: Prompts
    count: TokenCounter
    window: int | None

    def score(self, trace: dict[str, Any], asked: Sequence[int]) -> Load:
        """The questions about these boundaries; their prompts are exact but for the seams between parts.

        A seam is where two parts would share a token; on real traces they make 1.2 % of the tokens.
        trace: problem, reasoning, sentence_ends and sentence_tokens.
        """
        config = self.build.score
        places = Places.of(trace)
        limit = shown_limit(trace["problem"], self.window, config)
        if config.form == "prefill":
            return self._prefill(trace["problem"], places, stretches(places, limit) if asked else [])
        windows = places.windows(asked, config.window, limit)
        questions = [places.question(window, config.window, limit) for window in windows]
        words = self.count([self._question(question.name, question.values) for question in questions])
        tails = self.count([question.tail for question in questions])
        prefix = _Prefix(*self._head(trace["problem"]))
        total = Load()
        for window, question, size, tail in zip(windows, questions, words, tails, strict=True):
            shown = places.token_offsets[window[-1] + 1] - places.token_offsets[question.start] + tail
            generated = 1 if config.window == 1 else _TOKENS_PER_LABEL * len(window) + 1
            total += prefix.load(question.start, shown, shown, size, generated=generated)
        return total

    def _prefill(self, problem: str, places: Places, parts: Sequence[Stretch]) -> Load:
        """Prompts that are only read; with prompt_logprobs, vLLM takes nothing of them from its cache."""
        _, head = self._head(problem)
        total = Load()
        for part in parts:
            last = places.ends[part.end - 1]
            (tail,) = self.count([places.reasoning[last : last + QUOTED_CHARACTERS]])
            shown = places.token_offsets[part.end] - places.token_offsets[part.start] + tail
            prompt = head + shown + _CHAT_TOKENS_AFTER
            total += Load(1, prompt, prompt, 1)
        return total

    def mementos(
        self, trace: dict[str, Any], block_ends: Sequence[int], block_tokens: Sequence[int]
    ) -> dict[str, Load]:
        """The questions about these blocks by purpose ("compress", "judge", "refine"); an estimate."""
        config = self.build.mementos
        texts = block_texts(trace["reasoning"], trace["sentence_ends"], block_ends)
        mementos = [min(config.max_tokens, size // _BLOCK_PER_MEMENTO_TOKENS + 1) for size in block_tokens]
        kept = {"trace": list(block_tokens), "mementos": mementos, "block": []}[config.context]
        rounds = judge_rounds(config.max_rounds)
        prefix = _Prefix(*self._head(trace["problem"]))
        total = {purpose: Load() for purpose in ("compress", "judge", "refine")}
        for number, (text, size, memento) in enumerate(zip(texts, block_tokens, mementos, strict=True)):
            earlier = kept[:number]
            # One character stands for each earlier piece, so that the length tells how many are shown.
            view = BlockView(0, "", number, trace["problem"], ["x"] * len(earlier), earlier, text, size)
            reasoning = view.reasoning(view.limit(self.window, config))
            start = len(earlier) - (len(reasoning) - len(text))
            words = {"block_start": view.start_words(reasoning), "words": 100}
            compress, judge, refine = self.count(
                [
                    self._question("compress", words),
                    self._question("judge", {**words, "memento": ""}),
                    self._question("refine", {**words, "memento": "", "feedback": [], "shortfalls": []}),
                ]
            )
            shown = sum(earlier[start:]) + size
            # The block stays where it is for the next one to follow only where whole traces are shown.
            reused = shown if config.context == "trace" else shown - size
            first = prefix.load(start, shown, reused, compress, generated=memento)
            judged = prefix.again(shown, judge + memento, generated=_VERDICT_TOKENS)
            refined = prefix.again(shown, refine + memento + _FEEDBACK_TOKENS, generated=memento)
            more = prefix.again(shown, judge + memento, generated=_VERDICT_TOKENS, repeated=True)
            total["compress"] += first
            total["judge"] += (judged + more * (config.judges.number - 1)) * rounds
            total["refine"] += refined * (rounds - 1)
        return total

    def _head(self, problem: str) -> tuple[int, int]:
        """Tokens of the system prompt, and of all that comes before the reasoning."""
        shown = self.prompts.trace.render(problem=problem, reasoning="")
        system, trace = self.count([self.prompts.system.text, shown])
        return system, system + trace + _CHAT_TOKENS_BEFORE

    def _question(self, name: str, values: dict[str, Any]) -> str:
        return self.prompts.questions[name].render(**values)


class _Prefix:
    """What of a trace an engine has seen, while its questions come in order."""

    def __init__(self, system: int, head: int) -> None:
        self._head = head
        self._start: int | None = None
        self._seen = system

    def load(self, start: int, shown: int, reused: int, question: int, *, generated: int) -> Load:
        """A question over `shown` tokens from piece `start`, of which the next may begin with `reused`."""
        if self._start not in (None, start):
            self._seen = self._head
        load = self._load(self._seen, self._head + shown + question, generated)
        self._start, self._seen = start, self._head + reused
        return load

    def again(self, shown: int, question: int, *, generated: int, repeated: bool = False) -> Load:
        """Another question over what the last one showed; repeated: the very question that was just asked."""
        seen = self._head + shown
        return self._load(seen + question * repeated, seen + question, generated)

    def _load(self, seen: int, prompt: int, generated: int) -> Load:
        prompt += _CHAT_TOKENS_AFTER
        cached = min(seen, prompt - 1) // _CACHE_BLOCK_TOKENS * _CACHE_BLOCK_TOKENS
        return Load(1, prompt, prompt - cached, generated)

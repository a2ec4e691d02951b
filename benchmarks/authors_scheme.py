"""A client that asks as the authors' pipeline does (design sections 2 and 9), to compare our costs with.

The scheme, not the words: where their prompts have fixed text, filler of about as many tokens stands.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import openai

from benchmarks.economy_replies import FIRST, REFINED, memento, passes

WINDOWS = (16, 11)
# About the tokens of fixed text in their prompts: of 3,600, 6,400 and 11,700 characters with their questions
# (microsoft/memento, data/pipeline/prompts).
SCORE_RULES, SCORE_QUESTION = 800, 45
SUMMARY_RULES, SUMMARY_QUESTION = 1_900, 950
JUDGE_RULES, JUDGE_QUESTION = 1_450, 90
REFINE_QUESTION = 60
# Points for seven criteria, each justified, then what is missing, then three to five improvements.
VERDICT_TOKENS, FEEDBACK_TOKENS = 400, 150


@dataclass(frozen=True)
class Cut:
    """A trace cut into sentences and blocks, with the blocks' sizes in tokens."""

    problem: str
    sentences: Sequence[str]
    blocks: Sequence[str]
    block_tokens: Sequence[int]


async def play(cuts: Sequence[Cut], endpoint: str) -> None:
    """Asks all that the authors' pipeline asks about these traces; failed blocks are judged twice."""
    async with openai.AsyncOpenAI(base_url=endpoint, api_key="none") as client:
        for cut in cuts:
            await _score(client, cut)
            await _summarize(client, cut)
            for block, tokens in zip(cut.blocks, cut.block_tokens, strict=True):
                await _judge_and_refine(client, cut, block, tokens)


async def _score(client: openai.AsyncOpenAI, cut: Cut) -> None:
    boundaries = len(cut.sentences) - 1
    for window in WINDOWS:
        for first in range(0, boundaries, window):
            last = min(first + window, boundaries)
            marked = [f"{cut.sentences[n]}\n<<<BOUNDARY_{n}>>>\n" for n in range(first, last)]
            listed = [f"BOUNDARY_{n}: between sentence {n} and {n + 1}\n" for n in range(first, last)]
            text = "".join(marked) + cut.sentences[last]
            asked = text + "".join(listed) + _filler("count", SCORE_QUESTION)
            await _ask(client, _filler("score", SCORE_RULES), asked, str({"scores": [1] * (last - first)}))


async def _summarize(client: openai.AsyncOpenAI, cut: Cut) -> None:
    marked = [f"BEGIN BLOCK {n}\n{block}\nEND BLOCK {n}\n" for n, block in enumerate(cut.blocks, 1)]
    mementos = [memento(b, t, FIRST) for b, t in zip(cut.blocks, cut.block_tokens, strict=True)]
    reply = "".join(f"Summary {n}:\n{text}\n\n" for n, text in enumerate(mementos, 1))
    await _ask(client, _filler("summary", SUMMARY_RULES), _to_summarize(cut.problem, "".join(marked)), reply)


async def _judge_and_refine(client: openai.AsyncOpenAI, cut: Cut, block: str, tokens: int) -> None:
    feedback = _filler("feedback", FEEDBACK_TOKENS)
    first = memento(block, tokens, FIRST)
    await _judge(client, cut.problem, block, first)
    if passes(block, refined=False):
        return
    again = memento(block, tokens, REFINED)
    asked = f"{_filler('refine', REFINE_QUESTION)}{block}{first}{feedback}"
    asked += _to_summarize(cut.problem, f"BEGIN BLOCK 1\n{block}\nEND BLOCK 1\n")
    await _ask(client, _filler("summary", SUMMARY_RULES), asked, f"Summary 1:\n{again}")
    await _judge(client, cut.problem, block, again)


async def _judge(client: openai.AsyncOpenAI, problem: str, block: str, text: str) -> None:
    asked = f"Judge. {problem}\n{block}\n{text}\n{_filler('form', JUDGE_QUESTION)}"
    await _ask(client, _filler("judge", JUDGE_RULES), asked, _filler("points", VERDICT_TOKENS))


def _to_summarize(problem: str, marked: str) -> str:
    before, after = _filler("ask", SUMMARY_QUESTION // 3), _filler("rules", SUMMARY_QUESTION * 2 // 3)
    return f"{before}{problem}{after}{marked}"


def _filler(name: str, tokens: int) -> str:
    """Text of that many tokens that begins as no other filler does."""
    return name + " rule" * (tokens - 1) + "\n"


async def _ask(client: openai.AsyncOpenAI, system: str, user: str, reply: str) -> None:
    """One request; the stub is told to answer with `reply`, so that its tokens are counted."""
    await client.chat.completions.create(
        model="stub",
        messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
        extra_body={"reply": reply},
    )


def run_scheme(cuts: Sequence[Cut], endpoint: str) -> None:
    """`play`, to its end."""
    asyncio.run(play(cuts, endpoint))

"""The questions that make a memento: write it (compress), and write it again (refine)."""

from collections.abc import Sequence

from pipeline.config import MementosConfig
from pipeline.llm.context_window import fitting
from pipeline.llm.model import Reply, Request, Text
from pipeline.llm.session import LlmSession
from pipeline.mementos.view import BlockView
from schemas.openmementos import SPECIAL_TOKENS

# Mementos of the released data have 0.16 to 0.23 of their block's characters (design section 2); a prompt
# that asks for a fifth in words gets about that.
_WORDS_PER_BLOCK_TOKEN = 0.15
_FEWEST_WORDS = 40
# Prose has 1.3 tokens a word, LaTeX and code up to 2.5; between the two, with room for a long-winded model.
_TOKENS_PER_WORD = 2.0


async def compress(view: BlockView, config: MementosConfig, session: LlmSession) -> Reply:
    """A first memento of a block. Raises ModelError where the model gives none."""
    return await _ask("compress", view, 0, config, session, {})


async def refine(
    view: BlockView,
    memento: str,
    feedback: Sequence[str],
    shortfalls: Sequence[tuple[str, int, int]],
    round_number: int,
    config: MementosConfig,
    session: LlmSession,
) -> Reply:
    """The memento written again with what was missing or wrong put right.

    shortfalls: criteria without full points, as `Judgement.shortfalls` gives them.
    """
    extra: dict[str, object] = {"memento": memento, "feedback": list(feedback), "shortfalls": shortfalls}
    return await _ask("refine", view, round_number, config, session, extra)


async def _ask(
    question: str,
    view: BlockView,
    round_number: int,
    config: MementosConfig,
    session: LlmSession,
    extra: dict[str, object],
) -> Reply:
    wanted = max(_FEWEST_WORDS, round(view.block_tokens * _WORDS_PER_BLOCK_TOKEN))
    # What is asked for must fit what may be answered: a reply that is cut off is not used.
    words = min(wanted, int(config.max_tokens / _TOKENS_PER_WORD))

    def request(limit: int) -> Request:
        reasoning = view.reasoning(limit)
        return Request(
            messages=session.prompts.messages(
                question,
                problem=view.problem,
                reasoning=reasoning,
                block_start=view.start_words(reasoning),
                words=words,
                **extra,
            ),
            constraint=Text(forbidden=SPECIAL_TOKENS),
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=session.seed_of(view.trace_id, question, view.number, round_number),
            purpose=question,
            label=f"{view.label}, round {round_number}, {question}",
        )

    limit = view.limit(session.window, config)
    return await fitting(
        limit, lambda limit: session.ask(lambda: request(limit), view.rank), shortest=view.block_tokens
    )

"""The judges: points for a memento, criterion by criterion, and what is missing."""

from pipeline.config import MementosConfig
from pipeline.llm.context_window import fitting
from pipeline.llm.model import JsonReply, Request
from pipeline.llm.session import LlmSession, together
from pipeline.mementos.judgement import Judgement, combined
from pipeline.mementos.view import BlockView
from schemas.replies import Verdict

# Six small numbers with their names and four short points: 130 tokens of JSON seen, four times that allowed.
_MAX_TOKENS = 512


async def judge(
    view: BlockView, memento: str, round_number: int, config: MementosConfig, session: LlmSession
) -> Judgement:
    """What the configured number of verdicts on a memento come to; they are asked for at once.

    Raises ModelError where the model gives no readable one for any of them.
    """
    verdicts = await together(
        _verdict(view, memento, round_number, judge_number, config, session)
        for judge_number in range(config.judges.number)
    )
    return combined(verdicts, config.judges.combine)


async def _verdict(
    view: BlockView,
    memento: str,
    round_number: int,
    judge_number: int,
    config: MementosConfig,
    session: LlmSession,
) -> Verdict:
    # The first judge decides the likeliest way; the others, asked the same, would only repeat it.
    temperature = config.judges.temperature if judge_number else 0.0
    which = (judge_number,) if judge_number else ()

    def request(limit: int) -> Request:
        reasoning = view.reasoning(limit)
        return Request(
            messages=session.prompts.messages(
                "judge",
                problem=view.problem,
                reasoning=reasoning,
                block_start=view.start_words(reasoning),
                memento=memento,
            ),
            constraint=JsonReply(Verdict),
            max_tokens=_MAX_TOKENS,
            temperature=temperature,
            seed=session.seed_of(view.trace_id, "judge", view.number, round_number, *which),
            purpose="judge",
            label=f"{view.label}, round {round_number}, judge{''.join(f' {n}' for n in which)}",
        )

    limit = view.limit(session.window, config)
    reply = await fitting(
        limit, lambda limit: session.ask(lambda: request(limit), view.rank), shortest=view.block_tokens
    )
    assert isinstance(reply.value, Verdict)
    return reply.value

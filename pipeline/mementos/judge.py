"""The judge: points for a memento, criterion by criterion, and what is missing."""

from pipeline.config import MementosConfig
from pipeline.llm.asking import Asking
from pipeline.llm.model import JsonReply, Request
from pipeline.llm.window import fitting
from pipeline.mementos.view import BlockView
from schemas.replies import Verdict

# Six small numbers with their names and four short points: 130 tokens of JSON seen, four times that allowed.
_MAX_TOKENS = 512


async def judge(
    view: BlockView, memento: str, round_number: int, config: MementosConfig, asking: Asking
) -> Verdict:
    """The judge's verdict on a memento. Raises ModelError where the model gives no readable one."""

    def request(limit: int) -> Request:
        reasoning = view.reasoning(limit)
        return Request(
            messages=asking.prompts.messages(
                "judge",
                problem=view.problem,
                reasoning=reasoning,
                block_start=view.start_words(reasoning),
                memento=memento,
            ),
            constraint=JsonReply(Verdict),
            max_tokens=_MAX_TOKENS,
            temperature=0.0,
            seed=asking.seed_of(view.trace_id, "judge", view.number, round_number),
            purpose="judge",
            label=f"{view.label}, round {round_number}, judge",
        )

    limit = view.limit(asking.window, config)
    reply = await fitting(
        limit, lambda limit: asking.ask(lambda: request(limit), view.rank), shortest=view.block_tokens
    )
    assert isinstance(reply.value, Verdict)
    return reply.value

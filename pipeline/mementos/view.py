"""What a request about one block shows of its trace."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import MementosConfig
from pipeline.llm.context_window import first_shown, shown_tokens
from pipeline.text.pieces import offsets

# What stands between the mementos of earlier blocks, where these are shown.
MEMENTO_END = "\n\n"
_WORDS_OF_BLOCK_START = 12


@dataclass(frozen=True)
class BlockView:
    """One block, and what stands before it by the context policy: reasoning, earlier mementos, nothing.

    rank: the trace's number in its shard; number: the block's in its trace.
    """

    rank: int
    trace_id: str
    number: int
    problem: str
    before: Sequence[str]
    before_tokens: Sequence[int]
    block: str
    block_tokens: int

    @property
    def label(self) -> str:
        return f"trace {self.trace_id}, block {self.number}"

    def limit(self, window: int | None, config: MementosConfig) -> int:
        """Tokens of reasoning, the block included, that a request about it shows at most."""
        # The question quotes a memento, and the answer is another.
        around = len(self.problem) // 3 + 2 * config.max_tokens
        return shown_tokens(window, config.context_tokens + self.block_tokens, around=around)

    def reasoning(self, limit: int) -> str:
        """The block, always whole, after as much of what stands before it as fits `limit` tokens."""
        room = limit - self.block_tokens
        before = offsets(self.before_tokens)
        if room <= 0 or not self.before:
            return self.block
        start = first_shown(before, len(self.before), room)
        if before[-1] - before[start] > room:
            return self.block
        return "".join(self.before[start:]) + self.block

    def start_words(self, reasoning: str) -> str:
        """How the block begins, for a question to name it by; empty where it is all that is shown."""
        return (
            ""
            if reasoning == self.block
            else " ".join(self.block.split(None, _WORDS_OF_BLOCK_START)[:_WORDS_OF_BLOCK_START])
        )

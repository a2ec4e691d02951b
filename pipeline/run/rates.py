"""How fast something goes, from how far it was at each look."""

from collections import deque
from dataclasses import dataclass, field

_MINUTE = 60.0
# Where a trace takes minutes, one minute says nothing of how many end in an hour.
_LONGEST = 600.0
_ENOUGH = 10


@dataclass(frozen=True)
class Moved:
    """How far this run has come: traces that have left a stage, tokens of its prompts and replies."""

    traces: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(
            self.traces + other.traces,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass
class Rates:
    """Traces and tokens per second of one stage; `note` tells how far it is now.

    Before it begins to move, the last look alone counts, so that a wait before it does not. A count that
    goes back (a shard that is tried again) is no negative rate.
    """

    _looks: deque[tuple[float, Moved]] = field(default_factory=deque, init=False)

    def note(self, at: float, moved: Moved, *, begun: bool) -> None:
        """at: monotonic seconds."""
        if not begun:
            self._looks.clear()
        self._looks.append((at, moved))
        while at - self._looks[0][0] > _LONGEST:
            self._looks.popleft()

    def traces(self) -> float:
        """Per second: of the last minute, of ten where fewer than ten traces have ended in one."""
        seconds, moved = self._within(_MINUTE)
        if moved.traces < _ENOUGH:
            seconds, moved = self._within(_LONGEST)
        return moved.traces / seconds if seconds else 0.0

    def tokens(self) -> tuple[float, float]:
        """Of prompts and of replies, per second, in the last minute."""
        seconds, moved = self._within(_MINUTE)
        return (moved.prompt_tokens / seconds, moved.completion_tokens / seconds) if seconds else (0.0, 0.0)

    def _within(self, seconds: float) -> tuple[float, Moved]:
        """Seconds between the first look of the last `seconds` and the last one, and what has moved."""
        if not self._looks:
            return 0.0, Moved()
        now, last = self._looks[-1]
        then, first = next(look for look in self._looks if now - look[0] <= seconds)
        return now - then, Moved(
            max(0, last.traces - first.traces),
            max(0, last.prompt_tokens - first.prompt_tokens),
            max(0, last.completion_tokens - first.completion_tokens),
        )

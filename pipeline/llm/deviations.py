"""What of a reply or its request was other than asked for, and taken all the same: named, told, counted."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

LOG = logging.getLogger(__name__)


class Deviation(StrEnum):
    """What it was; `counter` names it in a stage's counters."""

    THINKING_DROPPED = "thinking_dropped"
    FROM_REASONING = "from_reasoning"
    TEXT_AROUND = "text_around"
    WRAPPED = "wrapped"
    SAID_TWICE = "said_twice"
    LONE_BACKSLASH = "lone_backslash"
    NOT_QUITE_JSON = "not_quite_json"
    OTHER_KEY = "other_key"
    POINTS_AS_TEXT = "points_as_text"
    NO_LIST = "no_list"
    EMPTY_ITEM = "empty_item"
    ITEM_SHORTENED = "item_shortened"
    ITEM_DROPPED = "item_dropped"
    SYSTEM_IN_USER = "system_in_user"
    WITHOUT_SEED = "without_seed"
    WITHOUT_TEMPERATURE = "without_temperature"

    @property
    def counter(self) -> str:
        return f"taken.{self.value}"

    @property
    def line(self) -> str | None:
        """What a run says of it once, where somebody can do better; None where the count is enough."""
        return _LINES.get(self)

    @property
    def text(self) -> str:
        """For people, after a number of replies."""
        return _TEXTS[self]


_TEXTS = {
    Deviation.THINKING_DROPPED: "with thinking in front of the reply, which was dropped",
    Deviation.FROM_REASONING: "that stood where the server puts thinking",
    Deviation.TEXT_AROUND: "with text or a fence around the JSON",
    Deviation.WRAPPED: "with a list or another object around the JSON",
    Deviation.SAID_TWICE: "with the same JSON more than once",
    Deviation.LONE_BACKSLASH: "with backslashes of LaTeX that JSON wants doubled",
    Deviation.NOT_QUITE_JSON: "with a line break, a comma, quotes or keys that JSON does not allow",
    Deviation.OTHER_KEY: "with a key that was not asked for, or spelled otherwise",
    Deviation.POINTS_AS_TEXT: 'with points as text ("2/3" of 3)',
    Deviation.NO_LIST: "with null, text or nothing where a list was asked for",
    Deviation.EMPTY_ITEM: "with an empty remark, which was dropped",
    Deviation.ITEM_SHORTENED: "with a remark over its limit, which was shortened",
    Deviation.ITEM_DROPPED: "with more remarks than asked for; the last ones were dropped",
    Deviation.SYSTEM_IN_USER: "of a model without a system role: its prompt stood before the user's text",
    Deviation.WITHOUT_SEED: "of an endpoint that takes no seed",
    Deviation.WITHOUT_TEMPERATURE: "of an endpoint that takes no temperature",
}


_LINES = {
    Deviation.THINKING_DROPPED: "the model thinks before it answers: what stands before </think> is paid for "
    "and dropped; switch thinking off in llm.extra_body where the model can do without "
    "(chat_template_kwargs: {enable_thinking: false})",
    Deviation.FROM_REASONING: "the server puts whole replies where thinking belongs (reasoning_content): "
    "they are taken from there; start it without a reasoning parser (vLLM: without --reasoning-parser)",
}


def taken(counters: Iterable[Mapping[str, int]]) -> dict[Deviation, int]:
    """Replies by what was not as asked for, from counters of stages; the most frequent first."""
    found = Counter[Deviation]()
    for its in counters:
        found.update({each: its[each.counter] for each in Deviation if its.get(each.counter)})
    return dict(found.most_common())


class Notices:
    """Lines that a run has to say about what it asks, each once, however many clients find the same.

    tell: who hears them. One object for all clients of a process; unpickled in another one it starts anew.
    """

    def __init__(self, tell: Callable[[str], None] = LOG.warning) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def once(self, line: str) -> None:
        """Tells a line that has not been told."""
        if line not in self._told:
            self._told.add(line)
            self._tell(line)

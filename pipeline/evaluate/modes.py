"""What a model keeps in its KV cache while it thinks: the three ways that are compared."""

from enum import StrEnum

from pipeline.attention.visibility import AS_IN_THE_PAPER, FORGET_NOTHING, Forgetting


class Mode(StrEnum):
    """vanilla: every token; memento: no finished block; restart: none, mementos computed without them."""

    VANILLA = "vanilla"
    MEMENTO = "memento"
    RESTART = "restart"

    @property
    def forgetting(self) -> Forgetting:
        """Which blocks are dropped, and when, where a model does not say what it was trained for."""
        return FORGET_NOTHING if self is Mode.VANILLA else AS_IN_THE_PAPER

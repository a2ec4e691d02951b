"""How far the layers of a model see: all the way, or a sliding window."""

from typing import Any

FULL, SLIDING = "full_attention", "sliding_attention"


class UnsupportedModel(Exception):
    """A model that memento attention cannot be given to; the message names it and says why."""


def layer_types(config: Any) -> list[str]:
    """For each layer of a model `FULL` or `SLIDING`, from its Transformers config.

    Raises UnsupportedModel for any other kind: a recurrent state, for one, cannot give up a block.
    """
    text = config.get_text_config(decoder=True)
    # Models such as Mistral name a window and no layer types: every layer has it.
    every = SLIDING if getattr(text, "sliding_window", None) else FULL
    types: list[str] = getattr(text, "layer_types", None) or [every] * text.num_hidden_layers
    if others := sorted({*types} - {FULL, SLIDING}):
        raise UnsupportedModel(
            f"{text.model_type}: has layers of the kind {', '.join(others)}; memento attention "
            f"needs layers of {FULL} or {SLIDING}"
        )
    return types


def windows(config: Any) -> dict[str, int | None]:
    """By layer type that the model has, how many tokens such a layer sees, itself included; None is all."""
    text = config.get_text_config(decoder=True)
    return {
        kind: text.sliding_window if kind == SLIDING else None for kind in dict.fromkeys(layer_types(config))
    }

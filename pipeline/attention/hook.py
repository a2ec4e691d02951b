"""Memento attention for models of Transformers as they are: a hook makes their masks from `visible_until`."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask
from torch.utils.hooks import RemovableHandle

from pipeline.attention.dense import dense_mask
from pipeline.attention.layers import UnsupportedModel, windows
from pipeline.attention.tiles import tiled_mask

Masks = torch.Tensor | BlockMask | dict[str, Any]
# A boolean mask under eager attention would be added instead of applied, without a word.
_MASKS: dict[str, Callable[[torch.Tensor, int | None], torch.Tensor | BlockMask]] = {
    "sdpa": dense_mask,
    "flex_attention": tiled_mask,
}


def masks(config: Any, visible_until: torch.Tensor) -> Masks:
    """What a model with this config takes as `attention_mask`: one mask, or one for each type of its layers.

    visible_until: (rows, n). For FlexAttention n must be a multiple of 128. Raises UnsupportedModel.
    """
    implementation = config._attn_implementation
    if implementation not in _MASKS:
        raise UnsupportedModel(
            f"{config.model_type}: attn_implementation is {implementation!r}; memento attention needs one of "
            f"{', '.join(_MASKS)}"
        )
    by_type = {
        kind: _MASKS[implementation](visible_until, window) for kind, window in windows(config).items()
    }
    return by_type if len(by_type) > 1 else next(iter(by_type.values()))


def take_visible_until(model: Any) -> RemovableHandle:
    """Makes `model(…, visible_until=v)` attend as the vector v says; without v it attends as ever.

    model: a causal language model of Transformers, not wrapped yet (PEFT's wrappers may come around it).
    Raises UnsupportedModel where it does not heed masks.
    """
    handle: RemovableHandle = model.get_decoder().register_forward_pre_hook(_give_masks, with_kwargs=True)
    try:
        _check_masks_are_heeded(model)
    except Exception:
        handle.remove()
        raise
    return handle


def _give_masks(decoder: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    visible_until = kwargs.pop("visible_until", None)
    if visible_until is None:
        return None
    return args, {**kwargs, "attention_mask": masks(decoder.config, visible_until)}


@torch.no_grad()
def _check_masks_are_heeded(model: Any) -> None:
    """Raises UnsupportedModel where a token that nobody may see makes a difference to the others."""
    length = 128 if model.config._attn_implementation == "flex_attention" else 4
    ids = torch.zeros((2, length), dtype=torch.long, device=model.device)
    ids[1, 0] = 1
    hidden = torch.full((2, length), length, device=model.device)
    hidden[:, 0] = 1
    was_training = model.training
    try:
        decoder = model.eval().get_decoder()
        seen = decoder(input_ids=ids, visible_until=hidden, use_cache=False).last_hidden_state[:, 1:]
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UnsupportedModel(
            f"{model.config.model_type}: does not take an attention mask of its own ({error})"
        ) from error
    finally:
        model.train(was_training)
    if not torch.equal(seen[0], seen[1]):
        raise UnsupportedModel(
            f"{model.config.model_type}: tokens see what its attention mask hides from them, so it cannot "
            "learn to do without blocks; take a model with softmax attention in every layer"
        )

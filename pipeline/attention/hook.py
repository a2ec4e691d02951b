"""Memento attention for models of Transformers as they are: hooks make their masks from `visible_until`.

That a model heeds them is tried before it is used, and counted while it is trained: a model that takes a mask
and does not heed it would learn, without a word, what it learns with full attention.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask

from pipeline.attention.dense import dense_mask
from pipeline.attention.layers import UnsupportedModel, layer_types, windows
from pipeline.attention.tiles import TILE, tiled_mask

Masks = torch.Tensor | BlockMask | dict[str, Any]
# A boolean mask under eager attention would be added instead of applied, without a word.
_MASKS: dict[str, Callable[[torch.Tensor, int | None], torch.Tensor | BlockMask]] = {
    "sdpa": dense_mask,
    "flex_attention": tiled_mask,
}
# Tokens of each of the two texts that a model is tried with; FlexAttention takes whole tiles.
_TRIED = {"sdpa": 16, "flex_attention": TILE}
_OTHERS = "docs/architectures.md lists models that do"


def masks(config: Any, visible_until: torch.Tensor) -> Masks:
    """What a model with this config takes as `attention_mask`: one mask, or one for each type of its layers.

    visible_until: (rows, n). For FlexAttention n must be a multiple of 128. Raises UnsupportedModel.
    """
    implementation = _implementation(config)
    by_type = {
        kind: _MASKS[implementation](visible_until, window) for kind, window in windows(config).items()
    }
    return by_type if len(by_type) > 1 else next(iter(by_type.values()))


def take_visible_until(model: Any) -> "MaskedAttention":
    """Makes `model(…, visible_until=v)` attend as the vector v says; without v it attends as ever.

    model: a causal language model of Transformers, not wrapped yet (wrappers may come around it). Raises
    UnsupportedModel where it does not heed masks, which is tried with a few tokens.
    """
    attention = MaskedAttention(model)
    try:
        _check_texts(model)
        attention.find_layers()
    except BaseException:
        attention.remove()
        raise
    return attention


class MaskedAttention:
    """A model's attention by `visible_until`; it knows whether each layer was given the masks."""

    def __init__(self, model: Any) -> None:
        self.name = type(model).__name__
        self._model = model
        self._passed: torch.Tensor | None = None
        self._given = self._without = 0
        self._masks: list[weakref.ref[Any]] = []
        self._layers: list[Any] = []
        self._reached: set[int] = set()
        # The whole model takes the vector, so that nothing on the way to its decoder need know of it. To
        # where the model's `forward` is called without its hooks (PEFT does so), it comes as an argument.
        self._handles = [
            model.register_forward_pre_hook(self._take, with_kwargs=True),
            model.get_decoder().register_forward_pre_hook(self._give, with_kwargs=True),
        ]

    def remove(self) -> None:
        """The model knows nothing of `visible_until` any more."""
        for handle in self._handles:
            handle.remove()

    @contextmanager
    def in_every_layer(self) -> Iterator[None]:
        """Around a forward: raises UnsupportedModel unless every attention layer was given its masks.

        And where a layer that was computed again for the last backward (gradient checkpointing) was not.
        """
        self._given = 0
        self._reached.clear()
        yield
        if not self._given:
            raise UnsupportedModel(
                f"{self.name}: was computed without masks, as with full attention: no `visible_until` "
                f"reached its decoder; {_OTHERS}"
            )
        missed = len(self._layers) - len(self._reached) or self._without
        if missed:
            raise UnsupportedModel(
                f"{self.name}: {missed} of {len(self._layers)} attention layers were computed without masks, "
                f"as with full attention; {_OTHERS}"
            )

    def find_layers(self) -> None:
        """Finds the modules that attend: the innermost ones that the decoder's masks come to as they are.

        Raises UnsupportedModel where they do not come to every layer.
        """
        reached = Counter[Any]()

        def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            reached[module] += self._has_mask(args, kwargs)

        handles = [
            module.register_forward_pre_hook(note, with_kwargs=True)
            for module in self._model.get_decoder().modules()
        ]
        try:
            ids = _random_ids(self._model)
            _logits(self._model, ids, torch.full_like(ids, ids.shape[1]))
        finally:
            for handle in handles:
                handle.remove()
        self._layers = [
            module
            for module, calls in reached.items()
            if calls and not any(reached[inner] for inner in module.modules() if inner is not module)
        ]
        given, layers = sum(reached[each] for each in self._layers), len(layer_types(self._model.config))
        if given < layers:
            raise UnsupportedModel(
                f"{self._model.config.model_type}: hands its attention mask on to {given} of {layers} "
                f"layers, so it cannot be seen to heed it; {_OTHERS}"
            )
        self._handles += [
            layer.register_forward_pre_hook(self._count, with_kwargs=True) for layer in self._layers
        ]

    def _take(self, _model: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self._passed = kwargs.pop("visible_until", None)
        return args, kwargs

    def _give(self, decoder: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        visible_until = kwargs.pop("visible_until", self._passed)
        self._passed = None
        if visible_until is None:
            return None
        made = masks(decoder.config, visible_until)
        self._given += 1
        self._masks = [weakref.ref(mask) for mask in (made.values() if isinstance(made, dict) else [made])]
        return args, {**kwargs, "attention_mask": made}

    def _has_mask(self, args: Any, kwargs: dict[str, Any]) -> bool:
        ours = [mask for reference in self._masks if (mask := reference()) is not None]
        return any(mask is each for each in (*args, *kwargs.values()) for mask in ours)

    def _count(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if self._has_mask(args, kwargs):
            self._reached.add(id(layer))
        elif layer.training:  # else it generates, by masks of its cache
            self._without += 1


def check_nothing_leaks(
    compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ids: torch.Tensor,
    others: torch.Tensor,
    name: str,
    precision: torch.dtype,
) -> None:
    """Raises UnsupportedModel where tokens make a difference to tokens that they are hidden from.

    compute: what a model says of the second half of its tokens, from ids and `visible_until`, each (rows, n).
    ids, others: the same in their second halves. precision: of the model's sums.
    """
    half = ids.shape[1] // 2
    seen = torch.full_like(ids, ids.shape[1])
    hidden = seen.clone()
    hidden[:, :half] = half
    one, other = compute(ids, hidden), compute(others, hidden)
    # Not to the bit: where tokens go to experts, those beside a token change how its sums are rounded.
    if _differ(one, other, 1e-3 * (one - compute(ids, seen)).norm(), 2, precision):
        raise UnsupportedModel(
            f"{name}: tokens see what its attention mask hides from them, so it cannot learn to do without "
            f"blocks; {_OTHERS}"
        )


def _check_texts(model: Any) -> None:
    """Raises UnsupportedModel unless masks hide what they should, and texts get what each gets alone."""
    name = model.config.model_type
    ids, others = _random_ids(model), _random_ids(model, seed=1)
    half = ids.shape[1] // 2
    others[:, half:] = ids[:, half:]

    def second(ids: torch.Tensor, visible_until: torch.Tensor, **how: Any) -> torch.Tensor:
        return _logits(model, ids, visible_until, **how)[:, half:]

    check_nothing_leaks(second, ids, others, name, model.dtype)
    # Some attend otherwise while they are trained.
    check_nothing_leaks(partial(second, training=True), ids, others, name, model.dtype)
    apart = torch.full_like(ids, 2 * half)
    together = second(ids, apart, texts=2)
    apart[:, :half] = half
    packed = second(ids, apart, texts=2)
    # What stands behind a text makes no difference to it.
    alone = _logits_as_written(model, ids.roll(half, 1))[:, :half]
    if _differ(packed, alone, 0.05 * (packed - together).norm(), 8, model.dtype):
        raise UnsupportedModel(
            f"{name}: a text gets something else alone than in one row with another, which it does not see, "
            f"so it cannot be trained on rows of several texts; {_OTHERS}"
        )


def _differ(
    one: torch.Tensor, other: torch.Tensor, much: torch.Tensor, roundings: int, precision: torch.dtype
) -> bool:
    """Whether two results differ by more than is `much`, and more than rounding does."""
    rounding = roundings * torch.finfo(precision).eps * one.norm()
    return bool((one - other).norm() > torch.maximum(much, rounding))


@torch.no_grad()
def _logits(
    model: Any,
    ids: torch.Tensor,
    visible_until: torch.Tensor | None = None,
    *,
    texts: int = 1,
    training: bool = False,
) -> torch.Tensor:
    """Of the whole model, (1, n, vocabulary), for so many texts of equal length.

    Transformers hides texts in one row from each other by their positions alone, so that only a part of one
    text tells whether a mask is heeded.
    """
    told: dict[str, Any] = {}
    if visible_until is not None:
        told["visible_until"] = visible_until
        told["position_ids"] = torch.arange(ids.shape[1] // texts, device=ids.device).repeat(texts)[None]
    was_training = model.training
    try:
        # What is dropped in training is the same each time.
        with torch.random.fork_rng([ids.device] if ids.is_cuda else []):
            torch.manual_seed(0)
            logits: torch.Tensor = model.train(training)(input_ids=ids, use_cache=False, **told).logits
            return logits.float()
    except UnsupportedModel:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise UnsupportedModel(
            f"{model.config.model_type}: does not take an attention mask of its own "
            f"({type(error).__name__}: {first})"
        ) from error
    finally:
        model.train(was_training)


def _logits_as_written(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Without masks of ours, by the attention that every model has: FlexAttention would be compiled anew."""
    attention = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        return _logits(model, ids)
    finally:
        model.set_attn_implementation(attention)


def _random_ids(model: Any, seed: int = 0) -> torch.Tensor:
    """Two texts in a row, (1, n)."""
    n = 2 * _TRIED[_implementation(model.config)]
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocabulary, (1, n), generator=draws).to(model.device)


def _implementation(config: Any) -> str:
    found: str = config._attn_implementation
    if found not in _MASKS:
        raise UnsupportedModel(
            f"{config.model_type}: attn_implementation is {found!r}; memento attention needs one of "
            f"{', '.join(_MASKS)}"
        )
    return found

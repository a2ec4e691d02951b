"""The KV cache that a trace would take, kept whole and with every finished block dropped: a simulation."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.attention.kv_curve import held_tokens as curve_of
from pipeline.attention.visibility import Ints, visible_until_of_sizes


@dataclass(frozen=True)
class Architecture:
    """What a model keeps of a token; numbers as in the model's own config.json on the Hub."""

    name: str
    layers: int
    kv_heads: int
    head_size: int

    @property
    def bytes_per_token(self) -> int:
        """A key and a value per layer and head, two bytes per number (bfloat16)."""
        return 2 * self.layers * self.kv_heads * self.head_size * 2


MODELS = (
    Architecture("Qwen3-8B", 36, 8, 128),
    Architecture("Phi-4-reasoning", 40, 10, 128),
    Architecture("Qwen3-32B", 64, 8, 128),
)


def held_tokens(blocks: Sequence[int], mementos: Sequence[int]) -> list[tuple[int, int]]:
    """Points (tokens written, tokens held), in straight lines between, of a trace with its mementos.

    blocks, mementos: their sizes in tokens, in order. A block is held until its memento is written, mementos
    to the end; problem and answer, which both ways keep, are left out.
    """
    curve = _curve(blocks, mementos)
    points, written, after = [(0, 0)], 0, 0
    for block, memento in zip(blocks, mementos, strict=True):
        written += block + memento
        before = int(curve[written - 1]) if written else 0
        after += memento
        points += [(written, before), (written, after)]
    return points


def area_kept(block_tokens: int) -> float:
    """Tokens held, added up over the tokens written, of a trace that is kept whole."""
    return block_tokens**2 / 2


def area_with_mementos(blocks: Sequence[int], mementos: Sequence[int]) -> float:
    """Tokens held, added up over the tokens written: the area under the line of `held_tokens`."""
    curve = _curve(blocks, mementos)
    # While a token is written, half of it is held in the mean.
    return float(curve.sum()) - len(curve) / 2


def peak_tokens(blocks: Sequence[int], mementos: Sequence[int]) -> int:
    """Most tokens held at once; kept whole, the trace ends with as many as its blocks have."""
    return int(_curve(blocks, mementos).max(initial=0))


def _curve(blocks: Sequence[int], mementos: Sequence[int]) -> Ints:
    return curve_of(visible_until_of_sizes(blocks, mementos))

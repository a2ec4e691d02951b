"""Examples put together into packs of at most so many tokens, so that no step computes padding."""

from collections.abc import Sequence

# Packs that wait for an example that still fits. More fill packs better and mix the order more.
OPEN_PACKS = 64


def packs(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Numbers of the examples in each pack; every example is in one, at most `most` tokens are in a pack.

    Each goes, in order, into the fullest open pack that has room (best fit), else into a new one; of more
    than `OPEN_PACKS` the fullest is closed.
    """
    closed: list[list[int]] = []
    opened: list[tuple[int, list[int]]] = []  # tokens of room, examples
    for number, length in enumerate(lengths):
        fitting = [(room, at) for at, (room, _) in enumerate(opened) if room >= length]
        if fitting:
            room, at = min(fitting)
            opened[at] = (room - length, [*opened[at][1], number])
        else:
            opened.append((most - length, [number]))
        if len(opened) > OPEN_PACKS:
            closed.append(opened.pop(min(range(len(opened)), key=lambda at: opened[at][0]))[1])
    return closed + [examples for _, examples in opened]

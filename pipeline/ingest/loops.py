"""How much of a text is a loop: the same words over and over, where a model did not find the end."""


def looped_share(text: str) -> float:
    """The part (0 to 1) of the text's stretches of 200 characters that come five times within 12,000.

    Such are loops whose turns have up to 2,400 characters and do not change; one that counts its turns is
    none. Of 197 real traces four have such stretches, all of them ends that go round until they are cut off:
    0.54 to 0.93 of the trace; the others, with their tables, lists and drafts of programs, have none. Time is
    linear in the text.
    """
    starts = range(0, len(text) - _STRETCH + 1, _STRETCH)
    again = sum(_comes_often(text, start) for start in starts)
    return again / len(starts) if again else 0.0


def _comes_often(text: str, start: int) -> bool:
    around = max(0, start - _AROUND), start + _AROUND
    return text.count(text[start : start + _STRETCH], *around) >= _TIMES


# Characters, also in scripts where they say more: what is said five times with 200 of them is a loop in any.
_STRETCH = 200
_AROUND = 6_000
_TIMES = 5

"""What a row says of its trace besides the texts: domain, source, difficulty, and whether it was verified."""

_CONFIRMED = ("true", "1", "1.0", "yes", "correct", "passed")


def confirms(verdict: object) -> bool:
    """Whether a verifier's verdict says that the answer is right: true, 1, yes, correct or passed."""
    return str(verdict).strip().lower() in _CONFIRMED


def label_text(value: object) -> str:
    """A text or number as text; empty for anything else. NaN is how pandas writes a gap."""
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number and value == value else ""


def whole_number(value: object) -> int | None:
    """The number that the value is or spells, where it is whole and fits 64 bits."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    exact = isinstance(value, str) or number == value
    return number if exact and -(2**63) <= number < 2**63 else None

"""What stops an evaluation before it begins."""


class EvaluateError(Exception):
    """The evaluation cannot be done as told; the message says what is wrong and what to do."""

"""What stops a training run before it begins."""


class SftError(Exception):
    """The run cannot be done as configured; the message says what is wrong and what to do."""

"""The mementos of a run judged again, without writing them again."""

from pipeline.recheck.judging import RECHECK
from pipeline.recheck.running import Rechecked, recheck

__all__ = ["RECHECK", "Rechecked", "recheck"]

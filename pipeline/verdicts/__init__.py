"""A person's verdicts on a run's mementos: kept, set against the judge's, exported.

`verdict.py` says what a verdict is, `store.py` keeps them in RUN/verdicts.parquet, `mementos.py` finds what
they are about, `agreement.py` counts how far judge and person agree, `export.py` writes them for others.
"""

from pipeline.verdicts.agreement import Agreement, agreement, agreement_of
from pipeline.verdicts.export import ExportError, export_verdicts
from pipeline.verdicts.mementos import JudgedMemento, memento_of, mementos_of, points_that_pass
from pipeline.verdicts.store import put, read_verdicts, take_back
from pipeline.verdicts.verdict import LONGEST_WHY, Key, Opinion, Verdict

__all__ = [
    "LONGEST_WHY",
    "Agreement",
    "ExportError",
    "JudgedMemento",
    "Key",
    "Opinion",
    "Verdict",
    "agreement",
    "agreement_of",
    "export_verdicts",
    "memento_of",
    "mementos_of",
    "points_that_pass",
    "put",
    "read_verdicts",
    "take_back",
]

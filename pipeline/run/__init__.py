"""One run: its folder (`store.py`), outcomes of traces (`outcomes.py`), progress, totals.

`circuit_breaker.py` stops a run that loses nearly every trace; `repair.py` sets damaged files aside before a
run goes on.
"""

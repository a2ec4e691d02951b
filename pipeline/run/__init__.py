"""One run: its folder (`store.py`), outcomes of traces (`outcomes.py`), totals.

Whoever works on a shard says how far it is in a small file (`progress.py`); from these and the manifests
`status_reader.py` computes what the run is doing, with `stage_sum.py` and `rates.py`; `status_writer.py`
keeps it in RUN/status.json, which all that shows a run at work reads (`status.py`, `status_words.py`).
`circuit_breaker.py` stops a run that loses nearly every trace; `repair.py` sets damaged files aside before a
run goes on.
"""

"""What a stage is (`stage.py`), the stages in order (`registry.py`), and how a shard goes through them.

A new stage is one file that declares a `Stage` with the function that handles one trace, and its name in
`registry.JOURNEYS`. `run_shard.py` reads and writes the shards; `journey.py` takes each trace along.
"""

"""What a stage is (`stage.py`), the stages in order (`registry.py`), and how a shard goes through them.

A new stage is one file and its name in `registry.JOURNEYS`. The file declares the stage and the function that
handles one trace, with or without a model:

    SHOUT = Stage(
        name="shout",                                  # its folder in a run, its line in the funnel
        verb="write in capitals",
        reads=("trace_id", "reasoning"),               # columns of the stages before it
        adds=pa.schema([("capitals", pa.string())]),   # by convention in schemas/tables.py
        begin=lambda build, session: _shouting(),      # session: a model, where `asks` says so, else None
        config=lambda build: {},                       # what makes results stale when it changes
        version=1,                                     # raised when the same input gives another output
    )

    def _shouting() -> TraceWork:
        async def shout(rank: int, row: Row, counters: Counter[str]) -> Outcome:
            return Done({"capitals": row["reasoning"].upper()})   # or Rejected(reason, detail)
        return shout

`run_shard.py` reads and writes the shards, `run_traces.py` takes each trace along. A stage that asks a model
awaits `session.ask(…)`; errors of the model become `Failed` (`llm/session.py`), and the next run tries again.
"""

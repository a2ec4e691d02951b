"""Models asked the problems of benchmarks: whether they think shorter, and are still right.

`evaluation` goes through models, tasks and modes (`config`, `modes`); `tasks` finds the problems, of
`benchmarks` or computed; `local_model` or `endpoint` writes the responses, `responses` takes them apart,
`judging` says which are right: what an answer says and whether it is words (`answers`), mathematics
(`mathematics`, `units`), and programs (`code_judging`, `code_answers`, `code_harness`), which run in a
`sandbox` only (`bwrap`, `syscalls`). `answering` does what is missing: each response is kept as it comes
(`generations`), then judged, in a table of its own (`judgements`). `accuracy` and `summary` count; `claims`
are held against it; `tables`, `figures` and `report` show; `register_machine` looks at what is carried past a
block. `probe` (`probe_texts`, `probing`) reads from a memento's keys and values what its words do not say.

Of a data set, `published` reads the traces, `dataset_kv` counts what they take of a KV cache, `sufficiency`
asks whether mementos are enough. `inspect_adapter` is Inspect AI's way to a model here.

The flow is `flows/evaluate.py`, the command `pipeline/commands/evaluate.py`.
"""

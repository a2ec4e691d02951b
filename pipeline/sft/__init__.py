"""From a data set to a model that thinks in blocks and forgets them: the paper's two stages of fine-tuning.

`rows` finds the data, `examples` makes token ids of a row, `tokenized_rows` keeps them on disk and puts them
into packs (`packing`), `collate` makes batches with the vector that says who sees whom. `model`, `tokens` and
`lora` are what learns. `stage_plan` says what the stages are, `train_stage` trains one, with TRL's `trainer`,
here or with one process on each of several devices (`launch`, `device`); its `checkpoints` are kept until
`selection` chooses one by held-out loss and by responses (`check`). `prepare` is all before the first step,
`estimate` what it will take, `report`, `card` and `upload` what comes of it. The flow is `flows/sft.py`.
"""

"""From a data set to a model that thinks in blocks and forgets them: the paper's two stages of fine-tuning.

`rows` finds the data, `examples` makes token ids of a row, `prepare` keeps them on disk and puts them into
packs (`packing`), `collate` makes batches with the vector that says who sees whom. `model`, `tokens` and
`lora` are what learns; `learning` says what the stages are, `stages` trains one with TRL's trainer, and
`selection` chooses its checkpoint by held-out loss and by responses (`check`). `ready` is all before the
first step, `estimate` what it will take, `report`, `card` and `upload` what comes of it. The flow is
`flows/sft.py`.
"""

"""Memento attention: who sees whom in a text of blocks and mementos, and everything that follows from it.

`visibility` gives each token one number, the first query position that no longer sees it. From it come

| file | what |
| --- | --- |
| `dense`, `tiles` | the mask for SDPA, and for FlexAttention |
| `layers` | which layers of a model see all the way, and which through a sliding window |
| `hook` | models of Transformers attend so, unchanged, or are refused |
| `cache` | a KV cache that really drops finished blocks |
| `generate`, `sampling` | responses of a batch with that cache: the likeliest tokens, or drawn ones |
| `kv_curve` | tokens held while a text is written |
| `trained_for` | what a model was trained to forget, in its own `config.json` |

Only `visibility`, `kv_curve` and `trained_for` do without PyTorch, which takes seconds to import.
"""

"""A training run that takes seconds: a model of a few thousand weights on short register machines."""

from pathlib import Path
from typing import Any

from pipeline.sft.config import SftConfig
from pipeline.sft.prepare import Prepared, prepared


def tiny(**changes: Any) -> SftConfig:
    """Sixty short traces, two stages of a few steps; changes: sections that replace these."""
    told: dict[str, Any] = {
        "name": "tiny",
        "data": {
            "register_machine": {"kind": "hidden", "sizes": [[2, 2, 60]]},
            "held_out": 0.2,
            "max_tokens": 80,
        },
        "model": {
            "scratch": {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1},
            "gradient_checkpointing": False,
        },
        "full": {"epochs": 2, "learning_rate": 0.01, "batch": 4, "packs_at_once": 2, "evaluations": 2},
        "memento": {"epochs": 2, "learning_rate": 0.01, "batch": 4, "packs_at_once": 2, "evaluations": 2},
        "check": {"problems": 2, "problems_between": 1, "new_tokens": 20},
    }
    return SftConfig.model_validate(told | changes)


def ready(config: SftConfig, run: Path) -> Prepared:
    return prepared(config, run, lambda line: None)

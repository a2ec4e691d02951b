"""What the stages are, what they learn from, and what comes of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline.attention.trained_for import TrainedFor
from pipeline.attention.visibility import FORGET_NOTHING, Forgetting
from pipeline.sft.check import Quality
from pipeline.sft.config import SftConfig, StageConfig
from pipeline.sft.examples import Tokenizing
from pipeline.sft.tokenized_rows import Examples


@dataclass(frozen=True)
class Learning:
    """What both stages learn from: examples to learn and held out, and held-out rows to generate from.

    data, revision: name and state of the data set.
    """

    train: Examples
    held_out: Examples
    problems: Sequence[dict[str, str]]
    tokenizing: Tokenizing
    data: str
    revision: str

    def examples_of(self, settings: StageConfig) -> Examples:
        """Those that a stage learns."""
        return self.train.of_last_size() if settings.curriculum == "last" else self.train


@dataclass(frozen=True)
class StageResult:
    """A stage's chosen model, in `folder`, and its quality; `losses` and `evaluations` by step."""

    folder: Path
    step: int
    losses: list[dict[str, float]]
    evaluations: list[dict[str, float]]
    quality: Quality

    @property
    def held_out_loss(self) -> float:
        """Of the chosen checkpoint."""
        return next(each["loss"] for each in self.evaluations if each["step"] == self.step)


@dataclass(frozen=True)
class Stage:
    """`name` (full or memento) names its folder; `title` is for people."""

    name: str
    title: str
    settings: StageConfig
    forgetting: Forgetting


@dataclass(frozen=True)
class Job:
    """A stage to be trained in `folder`; start: folder of the model of the stage before, if there is one.

    checkpoint: the one to go on from, which is whole; None begins with the first step.
    """

    stage: Stage
    config: SftConfig
    learning: Learning
    folder: Path
    start: Path | None
    checkpoint: Path | None = None


def trained_for(stage: Stage, config: SftConfig, learning: Learning) -> TrainedFor:
    """What a stage's model was trained for; that of stage 1 is asked with the forgetting of stage 2."""
    return TrainedFor(
        forgets=stage.forgetting != FORGET_NOTHING,
        forgetting=Forgetting(config.attention.keep_last_blocks, config.attention.mask_delimiters),
        longest=max(learning.train.lengths),
        tokens=learning.tokenizing.tokens,
        data=learning.data,
        revision=learning.revision,
        rows=learning.train.digest,
        version=version("openmementos"),
    )


def stages_of(config: SftConfig) -> list[Stage]:
    """The stages that a run has, in order."""
    forgetting = Forgetting(config.attention.keep_last_blocks, config.attention.mask_delimiters)
    wanted = [
        ("full", "stage 1, full attention", config.full, FORGET_NOTHING),
        ("memento", "stage 2, memento attention", config.memento, forgetting),
    ]
    return [Stage(name, title, made, how) for name, title, made, how in wanted if made is not None]

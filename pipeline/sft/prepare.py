"""Everything before the first step of a training run: rows read, tokenized, and told of."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.sft.config import SftConfig
from pipeline.sft.examples import CUT, Tokenizing
from pipeline.sft.model import load_tokenizer, position_limit
from pipeline.sft.rows import Rows, load_rows
from pipeline.sft.stage_plan import Learning
from pipeline.sft.tokenized_rows import Examples, prepare
from pipeline.sft.tokens import block_tokens

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """Everything before the first step."""

    rows: Rows
    learning: Learning


def prepared(config: SftConfig, run: Path, tell: Tell) -> Prepared:
    """Data read and tokenized. Raises SftError where nothing is left to learn."""
    tokenizer, _ = load_tokenizer(config.model)
    most = config.data.max_tokens
    if (positions := position_limit(config.model)) and positions < most:
        tell(
            f"{config.model.path} has {positions:,} positions (max_position_embeddings): rows are cut there, "
            f"at a block's end, not at data.max_tokens {most:,}"
        )
        most = positions
    tokenizing = Tokenizing(tokenizer, block_tokens(tokenizer), most)
    rows = load_rows(config.data, run, tell)
    identity = (rows.name, rows.revision, str(config.data.held_out))
    folder = run / "prepared"
    train = prepare(rows.train, (*identity, "train", str(config.data.limit)), tokenizing, folder, tell)
    held_out = prepare(rows.held_out, (*identity, "held out"), tokenizing, folder, tell)
    for name, examples, given in (("train", train, rows.train), ("held out", held_out, rows.held_out)):
        tell(told_of(name, examples, len(given)))
    problems = [
        dict(row) for row in rows.held_out.select(range(min(config.check.problems, len(rows.held_out))))
    ]
    return Prepared(rows, Learning(train, held_out, problems, tokenizing, rows.name, rows.revision))


def told_of(name: str, examples: Examples, given: int) -> str:
    """How many rows and tokens there are, and what happened to the others, for people."""
    lengths = examples.lengths
    notes = "".join(
        f", {count:,} {reason}" if reason == CUT else f", {count:,} left out ({reason})"
        for reason, count in examples.counts.items()
    )
    longest = max(lengths, default=0)
    return f"{name}: {len(lengths):,} of {given:,} rows, {sum(lengths):,} tokens, longest {longest:,}{notes}"

"""The four special tokens in a tokenizer and a model: added once, their rows made from related words."""

from collections.abc import Sequence
from typing import Any

import torch

from pipeline.attention.visibility import BlockTokens
from pipeline.sft.errors import SftError
from schemas.openmementos import BLOCK_END, BLOCK_START, SUMMARY_END, SUMMARY_START

SPECIAL = (BLOCK_START, BLOCK_END, SUMMARY_START, SUMMARY_END)
# A new row begins as the mean of these words' rows plus noise (arXiv 2604.09852, section 4).
RELATED = {
    BLOCK_START: "start begin block",
    BLOCK_END: "end finish block",
    SUMMARY_START: "start begin summary",
    SUMMARY_END: "end finish summary",
}
NOISE = 0.01  # standard deviation


def block_tokens(tokenizer: Any) -> BlockTokens:
    """The ids of the special tokens. Raises SftError where the tokenizer does not read each as one token."""
    ids = []
    for token in SPECIAL:
        found = tokenizer.encode(token, add_special_tokens=False)
        if len(found) != 1 or found[0] == tokenizer.unk_token_id:
            raise SftError(
                f"{tokenizer.name_or_path or 'the tokenizer'}: reads {token} as {found}, not as a token of "
                "its own; take a tokenizer without it, or one that has it as a special token"
            )
        ids += found
    if len(set(ids)) != len(ids):
        raise SftError(
            f"{tokenizer.name_or_path}: reads {', '.join(SPECIAL)} as {ids}: two are the same token"
        )
    return BlockTokens(*ids)


def add_block_tokens(tokenizer: Any) -> list[str]:
    """Adds the special tokens; those that are new, which is all or none.

    Raises SftError where the tokenizer has some already, as tokens of something else.
    """
    known = tokenizer.get_vocab()
    new = [token for token in SPECIAL if token not in known]
    if new and len(new) < len(SPECIAL):
        had = ", ".join(f"{token} (id {known[token]})" for token in SPECIAL if token in known)
        raise SftError(
            f"{tokenizer.name_or_path}: has {had} already, but not {', '.join(new)}: it was made for another "
            "format; take a model with none of them, or with all four"
        )
    # Also where it has them: as ordinary tokens they would be cut differently inside words.
    tokenizer.add_tokens(list(SPECIAL), special_tokens=True)
    block_tokens(tokenizer)
    return new


def prepare_embeddings(model: Any, tokenizer: Any, new: Sequence[str], seed: int) -> None:
    """Rows for the new tokens in the embeddings, and in the output layer where that is not the same.

    The matrices grow where they have too few rows; they never shrink (some models have more rows than
    tokens).
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    matrices = [model.get_input_embeddings().weight]
    output = model.get_output_embeddings()
    if output is not None and output.weight is not matrices[0]:
        matrices.append(output.weight)
    with torch.no_grad():
        for matrix in matrices:
            for token in new:
                related = tokenizer.encode(RELATED[token], add_special_tokens=False)
                mean = matrix[related].float().mean(0).cpu()
                noise = torch.randn(mean.shape, generator=generator) * NOISE
                matrix[tokenizer.convert_tokens_to_ids(token)] = (mean + noise).to(matrix)

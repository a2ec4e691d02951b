from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from pipeline.sft.errors import SftError
from pipeline.sft.tokens import NOISE, RELATED, SPECIAL, add_block_tokens, block_tokens, prepare_embeddings

WORDS = ["<unk>", *sorted({word for text in RELATED.values() for word in text.split()}), "other"]


def tokenizer_of(*words: str) -> Any:
    inner = Tokenizer(models.WordLevel({w: n for n, w in enumerate([*WORDS, *words])}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")


def model_of(rows: int, *, tied: bool) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=rows, hidden_size=64, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


def test_tokens_are_added_once() -> None:
    tokenizer = tokenizer_of()
    assert add_block_tokens(tokenizer) == list(SPECIAL)
    assert add_block_tokens(tokenizer) == []
    ids = block_tokens(tokenizer)
    assert tokenizer.encode("".join(SPECIAL)) == list(ids)


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_related_words_and_a_little_noise(tied: bool) -> None:
    tokenizer, model = tokenizer_of(), model_of(len(WORDS), tied=tied)
    before = model.get_input_embeddings().weight.clone()
    new = add_block_tokens(tokenizer)
    prepare_embeddings(model, tokenizer, new, seed=1)
    for matrix in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
        assert matrix.shape[0] == len(tokenizer) == len(WORDS) + 4
    for token, row in zip(SPECIAL, block_tokens(tokenizer), strict=True):
        mean = before[tokenizer.encode(RELATED[token])].mean(0)
        noise = (model.get_input_embeddings().weight[row] - mean).std()
        assert 0.5 * NOISE < noise < 1.5 * NOISE
    assert model.get_input_embeddings().weight[: len(WORDS)].equal(before)


def test_rows_are_the_same_for_a_seed_and_the_matrix_never_shrinks() -> None:
    made = []
    for seed in (1, 1, 2):
        tokenizer, model = tokenizer_of(), model_of(60, tied=True)
        prepare_embeddings(model, tokenizer, add_block_tokens(tokenizer), seed)
        assert model.get_input_embeddings().weight.shape[0] == 60
        made.append(model.get_input_embeddings().weight.clone())
    assert made[0].equal(made[1])
    assert not made[0].equal(made[2])


def test_a_tokenizer_that_has_only_some_is_refused_with_their_ids() -> None:
    with pytest.raises(SftError, match=r"has <\|block_start\|> \(id \d+\) already, but not <\|block_end\|>"):
        add_block_tokens(tokenizer_of(SPECIAL[0]))


def test_rows_that_a_model_has_learnt_are_left_alone() -> None:
    tokenizer, model = tokenizer_of(*SPECIAL), model_of(len(WORDS) + 4, tied=True)
    before = model.get_input_embeddings().weight.clone()
    prepare_embeddings(model, tokenizer, add_block_tokens(tokenizer), seed=1)
    assert model.get_input_embeddings().weight.equal(before)

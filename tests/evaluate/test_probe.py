"""The probe reads a code where the entries carry it, and nowhere else."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from pipeline.attention.visibility import Forgetting
from pipeline.evaluate.probe import ProbeConfig, ProbeResult, probe, probe_table
from pipeline.evaluate.probe_texts import (
    CodedText,
    ProbeError,
    attending_by_masks,
    coded_texts,
    digit_words,
    memento_entries,
    passcode_sentence,
)
from pipeline.procedural.register_machine import WORDS, trace
from pipeline.records import assemble
from pipeline.sft.examples import Tokenizing
from pipeline.sft.model import word_tokenizer
from pipeline.sft.tokens import block_tokens
from tests.attention.models import CONFIGS, PARTLY_RECURRENT, RECURRENT, model_of

# The next memento's block sees the memento from the second layer on, the next memento from the third.
DEEP = LlamaConfig(**CONFIGS["llama"].to_dict() | {"num_hidden_layers": 4})
QUICK = ProbeConfig(sequences=400, texts=2, hidden=64)
CODES = 40


def tokenizing(words: Sequence[str] = WORDS, max_tokens: int = 512) -> Tokenizing:
    tokenizer = word_tokenizer(words)
    return Tokenizing(tokenizer, block_tokens(tokenizer), max_tokens)


def rows(count: int, runs: int = 3) -> list[dict[str, str]]:
    """Rows whose problems and blocks differ in length."""
    traces = [trace(0, number, "stated", runs=runs, steps=2 + number % 2) for number in range(count)]
    return [
        {"problem": t.problem, "response": assemble(["".join(b) for b in t.blocks], t.mementos, t.answer)}
        for t in traces
    ]


def coded(count: int = CODES, of: int = 1) -> list[CodedText]:
    return coded_texts(tokenizing(), rows(of), count, of, digit_words, 0)


def entries(model: Any, texts: list[CodedText], mode: Any, batch: int = 8, last: int = 4) -> torch.Tensor:
    """(texts, 2 mementos, layers, size)"""
    with attending_by_masks(model):
        batches = list(memento_entries(model, texts, mode, rows=batch, most_tokens=10_000, last=last))
    whole = torch.empty(len(texts), *batches[0][1].shape[1:])
    for numbers, part in batches:
        whole[numbers] = part
    return whole


def differ(some: torch.Tensor) -> bool:
    """Whether the texts, in the first dimension, do not all have the same entries."""
    return not torch.allclose(some, some[:1].expand_as(some), rtol=0, atol=1e-6)


def silent(_: str) -> None:
    pass


def test_texts_of_a_row_differ_in_the_code_alone() -> None:
    tokenizer = tokenizing().tokenizer
    one, other = coded(2)
    assert one.digits != other.digits
    for text in (one, other):
        written = tokenizer.decode(text.ids)
        assert f"<|block_start|>{digit_words(text.digits, {})}" in written
        first, second = (tokenizer.decode(text.ids[slice(*span)]) for span in text.mementos)
        assert written.endswith(second)
        kept = tokenizer.decode(text.ids[text.kept])
        assert kept.endswith(f"<think>{first}{second}")
        assert "block" not in kept
    assert (one.ids != other.ids).sum() <= 5
    assert one.mementos == other.mementos


def test_markers_in_a_problem_are_text_to_the_probe() -> None:
    (row,) = rows(1)
    marked = "<|block_start|>1 <|block_end|><|summary_start|>2 <|summary_end|><|block_start|>3 "
    (text,) = coded_texts(tokenizing(), [{**row, "problem": marked}], 1, 1, digit_words, 0)
    prompt = len(tokenizing().prompt_ids(marked))
    n = len(text.ids)
    assert set(text.visible_until[:prompt].tolist()) == {n + 1}
    (plain,) = coded(1)
    shift = prompt - len(tokenizing().prompt_ids(row["problem"]))
    assert (text.visible_until[prompt:] - shift).tolist() == plain.visible_until[prompt - shift :].tolist()
    assert text.mementos == tuple((start + shift, end + shift) for start, end in plain.mementos)


@pytest.mark.parametrize("config", [*CONFIGS.values(), DEEP], ids=[*CONFIGS, "deep"])
def test_first_layer_and_entries_without_blocks_are_the_same_for_all_codes(config) -> None:
    model = model_of(config)
    assert not differ(entries(model, coded(), "memento")[:, :, 0])
    assert not differ(entries(model, coded(), "restart"))


def test_the_code_is_in_the_own_memento_from_the_second_layer_and_in_the_next_from_the_third() -> None:
    found = entries(model_of(DEEP), coded(), "memento")
    assert [differ(found[:, 0, layer]) for layer in range(4)] == [False, True, True, True]
    assert [differ(found[:, 1, layer]) for layer in range(4)] == [False, False, True, True]


def test_first_layer_of_both_modes_is_the_same_as_positions_are_kept() -> None:
    model, texts = model_of(DEEP), coded(6, of=3)
    memento, restart = entries(model, texts, "memento"), entries(model, texts, "restart")
    assert torch.allclose(memento[:, :, 0], restart[:, :, 0], atol=1e-5)
    assert not torch.allclose(memento[:, :, 1], restart[:, :, 1], atol=1e-2)


@pytest.mark.parametrize("mode", ["memento", "restart"])
@pytest.mark.parametrize("name", CONFIGS)
def test_batches_and_padding_change_no_entries(name: str, mode: str) -> None:
    model, texts = model_of(CONFIGS[name]), coded(6, of=3)
    together, alone = entries(model, texts, mode), entries(model, texts, mode, batch=1)
    assert torch.allclose(together, alone, atol=1e-4)


def test_nothing_before_a_memento_is_read_where_more_tokens_are_asked_for_than_it_has() -> None:
    texts = coded(2)
    (start, end), _ = texts[0].mementos
    own = entries(model_of(DEEP), texts, "memento", last=end - start)
    more = entries(model_of(DEEP), texts, "memento", last=end - start + 3)
    assert torch.equal(more[..., -own.shape[-1] :], own)
    assert not more[..., : -own.shape[-1]].any()


def results_of(found: list[ProbeResult]) -> dict[tuple[str, str, str], float]:
    return {(result.entries, result.mode, result.layers): result.accuracy for result in found}


def test_the_code_is_read_where_it_is_and_not_in_the_controls() -> None:
    found = probe(model_of(DEEP), tokenizing(), rows(2), QUICK, silent, note=digit_words)
    accuracy = results_of(found)
    assert accuracy["own memento", "memento", "all"] > 0.3
    assert accuracy["next memento", "memento", "all"] > 0.2
    controls = [
        ("own memento", "memento", "first"),
        ("own memento", "restart", "all"),
        ("next memento", "restart", "all"),
    ]
    assert all(abs(accuracy[control] - 0.1) < 0.05 for control in controls)
    assert len(found) == 5
    assert all(result.test_sequences == 80 for result in found)


def test_a_projection_leaves_the_code_to_be_read() -> None:
    config = ProbeConfig(sequences=400, texts=1, hidden=64, dimensions=128)
    found = probe(model_of(DEEP), tokenizing(), rows(1), config, silent, note=digit_words)
    assert results_of(found)["own memento", "memento", "all"] > 0.3


def test_the_same_seed_gives_the_same_results_and_leaves_the_model_as_it_was() -> None:
    config = ProbeConfig(sequences=60, texts=2, hidden=16, epochs=3)
    model = model_of(CONFIGS["olmo3"], "eager").train()
    state = torch.random.get_rng_state()
    first = probe(model, tokenizing(), rows(2), config, silent, note=digit_words)
    assert torch.equal(state, torch.random.get_rng_state())
    assert first == probe(model, tokenizing(), rows(2), config, silent, note=digit_words)
    assert (model.training, model.config._attn_implementation) == (True, "eager")


def test_rows_without_three_blocks_or_form_or_room_are_no_texts() -> None:
    short, broken = rows(1, runs=2), [{"problem": "1 2 3 : ", "response": "no response"}]
    for unusable in ([], short, broken):
        with pytest.raises(ProbeError, match="at least 3 blocks"):
            probe(model_of(DEEP), tokenizing(), unusable, QUICK, silent, note=digit_words)
    with pytest.raises(ProbeError, match="fit into 20 tokens"):
        probe(model_of(DEEP), tokenizing(max_tokens=20), rows(2), QUICK, silent, note=digit_words)
    texts = coded_texts(tokenizing(), [*broken, *short, *rows(1)], 2, 5, digit_words, 0)
    assert [text.row for text in texts] == [0, 0]


def test_a_tokenizer_that_does_not_tell_digits_apart_is_refused() -> None:
    unknowing = tokenizing([word for word in WORDS if not word.isdecimal()])
    with pytest.raises(ProbeError, match="does not read each digit"):
        coded_texts(unknowing, rows(1), 3, 1, digit_words, 0)
    # In a sentence the last digit stands before a full stop: for this tokenizer that is another word.
    with pytest.raises(ProbeError, match="does not read each digit of 'The passcode is"):
        coded_texts(tokenizing(), rows(1), 3, 1, passcode_sentence, 0)


def test_a_sentence_says_the_code_where_the_tokenizer_knows_its_words() -> None:
    knowing = tokenizing([*WORDS, "The", "passcode", "is", *(f"{digit}." for digit in range(10))])
    (text,) = coded_texts(knowing, rows(1), 1, 1, passcode_sentence, 0)
    code = " ".join(map(str, text.digits))
    assert f"<|block_start|>The passcode is {code}. " in knowing.tokenizer.decode(text.ids)


@pytest.mark.parametrize(("config", "attention"), [(RECURRENT, "eager"), (PARTLY_RECURRENT, "sdpa")])
def test_a_model_that_cannot_attend_by_masks_is_refused(config, attention: str) -> None:
    with pytest.raises(ProbeError, match="memento attention"):
        probe(model_of(config, attention), tokenizing(), rows(1), QUICK, silent, note=digit_words)


def test_too_few_sequences_are_refused() -> None:
    with pytest.raises(ProbeError, match="give 20 or more"):
        probe(model_of(DEEP), tokenizing(), rows(1), ProbeConfig(sequences=5), silent, note=digit_words)


def test_the_table_has_a_line_for_each_result_and_one_for_chance() -> None:
    table = probe_table(
        [
            ProbeResult("own memento", "memento", "all", 0.651, 0.012, 400),
            ProbeResult("next memento", "restart", "all", 0.1, 0.01, 400),
        ]
    )
    assert table.splitlines()[2:] == [
        "| own memento | with its block | all | 65.1% ± 1.2% |",
        "| next memento | again, without blocks | all | 10.0% ± 1.0% |",
        "| chance | | | 10% |",
    ]


def test_the_probe_forgets_as_its_model_was_trained_to() -> None:
    def text(forgetting: Forgetting) -> CodedText:
        (made,) = coded_texts(tokenizing(), rows(1), 1, 1, digit_words, 0, forgetting)
        return made

    without, with_delimiters = text(Forgetting()), text(Forgetting(mask_delimiters=False))
    assert len(with_delimiters.kept) == len(without.kept) + 4, "of two blocks"
    with pytest.raises(ProbeError, match="keep_last_blocks 1, so the second memento still sees the block"):
        text(Forgetting(keep_last_blocks=1))

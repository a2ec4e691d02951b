import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.attention.visibility import (
    AS_IN_THE_PAPER,
    Forgetting,
    memento_tokens,
    packed,
    padded,
    visible_until,
)
from pipeline.procedural.register_machine import WORDS, trace
from pipeline.records import assemble
from pipeline.sft.collate import IGNORED, Collator, Seeing, padded_size, sizes_of_batches, told_sizes
from pipeline.sft.errors import SftError
from pipeline.sft.examples import CUT, MALFORMED, NO_MEMENTOS, PROMPT_TOO_LONG, Tokenizing
from pipeline.sft.model import word_tokenizer
from pipeline.sft.packing import OPEN_PACKS, packs
from pipeline.sft.tokens import block_tokens


def tokenizing(most: int = 1000) -> Tokenizing:
    tokenizer = word_tokenizer(WORDS)
    return Tokenizing(tokenizer, block_tokens(tokenizer), most)


def row(runs: int = 3, steps: int = 2) -> tuple[str, str]:
    made = trace(0, 0, "hidden", runs=runs, steps=steps)
    return made.problem, assemble(["".join(block) for block in made.blocks], made.mementos, made.answer)


def text_of(made: Any, ids: Any) -> str:
    return made.tokenizer.decode(ids, skip_special_tokens=False)


def test_an_example_is_the_prompt_the_response_and_the_end() -> None:
    made = tokenizing()
    problem, response = row()
    example = made.example(problem, response)
    assert text_of(made, example.ids[: example.prompt]) == f"<|user|>{problem}<|assistant|>"
    assert text_of(made, example.ids[example.prompt :]) == response + "<|end|>"
    assert not made.counts


@given(st.integers(20, 200))
def test_a_long_row_is_cut_at_the_end_of_a_memento_and_counted(most: int) -> None:
    made = tokenizing(most)
    problem, response = row(runs=8, steps=2)
    example = made.example(problem, response)
    if example is None:
        assert made.counts == {PROMPT_TOO_LONG: 1}
        return
    assert len(example.ids) <= most
    whole = tokenizing().example(problem, response)
    assert whole.ids[: len(example.ids)].tolist() == example.ids.tolist()
    if len(example.ids) < len(whole.ids):
        assert made.counts == {CUT: 1}
        assert example.ids[-1] == made.tokens.summary_end
        ends = np.flatnonzero(whole.ids[:most] == made.tokens.summary_end)
        assert len(example.ids) == ends[-1] + 1


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("<think>only thinking</think>1 ", NO_MEMENTOS),
        ("just 1 ", NO_MEMENTOS),
        ("<think><|block_start|>1 ", MALFORMED),
    ],
)
def test_what_teaches_no_memento_is_left_out_with_its_reason(response: str, reason: str) -> None:
    made = tokenizing()
    assert made.example("1 ", response) is None
    assert made.counts == {reason: 1}


@pytest.mark.parametrize("opened", ["<think>", "<think>\n", "<think>\n\n</think>\n\n", "<think></think>"])
def test_a_template_that_writes_of_the_thinking_does_not_open_it_twice(opened: str) -> None:
    made = tokenizing()
    problem, response = row()
    expected = made.example(problem, response).ids.tolist()
    made.tokenizer.chat_template = made.tokenizer.chat_template.replace(
        "<|assistant|>", "<|assistant|>" + opened
    )
    assert made.example(problem, response).ids.tolist() == expected


def test_thinking_with_thoughts_in_a_template_stays() -> None:
    made = tokenizing()
    before = made.prompt("1 ")
    made.tokenizer.chat_template += "<think>1 </think>"
    assert made.prompt("1 ") == before + "<think>1 </think>"


@pytest.mark.parametrize("opened", ["<think>", "<think>\n", "<think>\n\n</think>\n\n", ""])
def test_a_model_of_others_is_asked_as_its_template_asks(opened: str) -> None:
    tokenizer = word_tokenizer(WORDS)
    tokenizer.chat_template = tokenizer.chat_template.replace("<|assistant|>", "<|assistant|>" + opened)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1 2"}], tokenize=False, add_generation_prompt=True
    )
    assert asked.endswith(opened)
    theirs = Tokenizing(tokenizer, block_tokens(tokenizer), 100, opens_thinking=False)
    assert (theirs.prompt("1 2"), theirs.opening) == (asked, "" if "</think>" in opened else opened)
    ours = Tokenizing(tokenizer, block_tokens(tokenizer), 100)
    assert (ours.prompt("1 2") + opened, ours.opening) == (asked, "")


@pytest.mark.parametrize(
    "template",
    ["{{ raise_exception('it needs a system turn') }}", "{% for m in messages %}", "{{ 1 + 'a' }}"],
)
def test_a_template_that_cannot_ask_is_told_with_the_models_name(template: str) -> None:
    tokenizer = word_tokenizer(WORDS)
    tokenizer.name_or_path, tokenizer.chat_template = "org/model", template
    with pytest.raises(SftError, match=r"org/model: its chat template cannot ask a problem alone \(\w+: "):
        Tokenizing(tokenizer, block_tokens(tokenizer), 100)


def test_a_tokenizer_without_a_template_is_refused() -> None:
    tokenizer = word_tokenizer(WORDS)
    tokenizer.chat_template = None
    with pytest.raises(SftError, match="has no chat template"):
        Tokenizing(tokenizer, block_tokens(tokenizer), 100)


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(50, 120))
def test_every_example_is_in_one_pack_and_none_is_too_long(lengths: list[int], most: int) -> None:
    found = packs(lengths, most)
    assert sorted(number for pack in found for number in pack) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in pack) <= most for pack in found)


def test_packs_are_nearly_full() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 4000).tolist()
    found = packs(lengths, 100)
    assert sum(lengths) / (100 * len(found)) > 0.97
    assert len(found) > OPEN_PACKS


def test_a_batch_has_the_vector_of_every_document_and_no_loss_of_padding() -> None:
    made = tokenizing()
    examples = [made.example(*row(runs, 2)) for runs in (1, 3)]
    ids = np.concatenate([example.ids for example in examples])
    lengths = [len(example.ids) for example in examples]
    pack = {
        "input_ids": ids,
        "labels": ids,
        "lengths": lengths,
        "prompts": [example.prompt for example in examples],
        "seeing": Seeing.MEMENTO,
    }
    short = {
        "input_ids": ids[: lengths[0]],
        "labels": ids[: lengths[0]],
        "lengths": lengths[:1],
        "prompts": [examples[0].prompt],
        "seeing": Seeing.FULL,
    }
    batch = Collator(made.tokens, AS_IN_THE_PAPER, padding=0, sizes=(16, 128, 512))([pack, short])
    n = batch["input_ids"].shape[1]
    assert n == 128
    expected = padded(packed(visible_until(example.ids, made.tokens) for example in examples), n)
    assert batch["visible_until"][0].tolist() == expected.tolist()
    assert batch["position_ids"][0][: len(ids)].tolist() == [*range(lengths[0]), *range(lengths[1])]
    assert {*batch["labels"][1][lengths[0] :].tolist()} == {IGNORED}
    # What forgets nothing sees its whole document.
    assert {*batch["visible_until"][1][: lengths[0]].tolist()} == {lengths[0]}


def test_a_pack_that_restarts_hides_blocks_from_their_mementos_and_takes_no_loss_of_these() -> None:
    made = tokenizing()
    examples = [made.example(*row(runs, 2)) for runs in (2, 3)]
    ids = np.concatenate([example.ids for example in examples])
    lengths = [len(example.ids) for example in examples]
    labels = np.concatenate([np.where(np.arange(len(e.ids)) < e.prompt, IGNORED, e.ids) for e in examples])
    pack = {
        "input_ids": ids,
        "labels": labels,
        "lengths": lengths,
        "prompts": [e.prompt for e in examples],
        "seeing": Seeing.RESTART,
    }
    batch = Collator(made.tokens, AS_IN_THE_PAPER, padding=0)([pack])
    restart = Forgetting(before_mementos=True)
    expected = packed(visible_until(example.ids, made.tokens, restart) for example in examples)
    assert batch["visible_until"][0].tolist() == expected.tolist()
    inside = np.concatenate([memento_tokens(example.ids, made.tokens) for example in examples])
    assert inside.sum() == 5 * 4  # three registers and the end, in each of five mementos
    assert batch["labels"][0].tolist() == np.where(inside, IGNORED, labels).tolist()


MARKED = "<|block_start|>1 <|block_end|><|summary_start|>2 <|summary_end|><|block_start|>3 "


def test_a_prompts_markers_are_text_in_training() -> None:
    """A problem of a finished block and one that is open: all of it is seen to the end by its response."""
    made = tokenizing()
    _, response = row()
    plain, marked = made.example("1 2 3 ", response), made.example(MARKED, response)
    examples = [plain, marked, plain]
    pack = {
        "input_ids": np.concatenate([example.ids for example in examples]),
        "labels": np.concatenate([example.ids for example in examples]),
        "lengths": [len(example.ids) for example in examples],
        "prompts": [example.prompt for example in examples],
        "seeing": Seeing.MEMENTO,
    }
    visible = Collator(made.tokens, AS_IN_THE_PAPER, padding=0)([pack])["visible_until"][0]
    first, second, third = visible.split(pack["lengths"])
    assert set(second[: marked.prompt].tolist()) == {len(plain.ids) + len(marked.ids)}
    # Its response is seen as that of the others is.
    shift = len(plain.ids) + marked.prompt - plain.prompt
    assert (second[marked.prompt :] - shift).tolist() == first[plain.prompt :].tolist()
    assert third[0] == len(visible)


def test_a_long_row_is_not_cut_at_a_memento_in_its_problem() -> None:
    _, response = row(runs=4)
    prompt = tokenizing().example(MARKED, response).prompt
    whole = tokenizing(prompt + 2)
    assert whole.example(MARKED, response) is None
    assert whole.counts == {PROMPT_TOO_LONG: 1}
    cut = tokenizing(prompt + 60)
    example = cut.example(MARKED, response)
    assert cut.counts == {CUT: 1}
    assert example.ids[-1] == cut.tokens.summary_end
    ends = np.flatnonzero(tokenizing().example(MARKED, response).ids == cut.tokens.summary_end)
    assert len(example.ids) == ends[ends < prompt + 60][-1] + 1 > prompt


def lengths_of_traces(rows: int, seed: int) -> list[int]:
    """Tokens of rows as OpenMementos has them: 10,900 in the mean, a few of 32,768 (cut)."""
    draws = np.random.default_rng(seed).lognormal(np.log(9_000), 0.65, rows)
    return np.clip(draws, 400, 32_768).astype(int).tolist()


@given(st.integers(1, 70_000), st.sampled_from([16, 128]), st.data())
def test_every_pack_fits_into_a_size_and_there_are_few(most: int, multiple: int, data: st.DataObject) -> None:
    sizes = sizes_of_batches(most, multiple)
    assert all(size % multiple == 0 for size in sizes)
    assert most <= sizes[-1] < most + multiple
    assert len(sizes) <= math.ceil(math.log2(sizes[-1] / multiple)) + 1
    tokens = data.draw(st.integers(1, most))
    padded_to = padded_size(tokens, sizes)
    assert padded_to >= tokens
    # Never more than twice as long, but for what fills less than one multiple.
    assert padded_to <= max(2 * tokens + multiple, multiple)


def test_packs_of_traces_come_in_a_handful_of_sizes_nearly_without_padding() -> None:
    sizes = sizes_of_batches(32_768, 128)
    assert len(sizes) == 9
    for seed in range(5):
        for rows, waste in ((300, 0.08), (4_000, 0.04)):
            lengths = lengths_of_traces(rows, seed)
            tokens = [sum(lengths[at] for at in pack) for pack in packs(lengths, 32_768)]
            padded_to = [padded_size(each, sizes) for each in tokens]
            assert len({*padded_to}) <= 4
            assert 1 - sum(tokens) / sum(padded_to) < waste


def test_without_sizes_rows_are_padded_to_the_longest() -> None:
    assert padded_size(77, ()) == 77
    assert padded_size(128, (128, 256)) == 128


def test_people_are_told_how_many_sizes_there_are_and_what_they_cost() -> None:
    assert told_sizes([100, 250, 256], (128, 256)) == "3 packs in 2 sizes, 5.3% of their tokens padding"

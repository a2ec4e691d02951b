import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import BuildConfig
from pipeline.inspection import trace_lines
from pipeline.procedural.dataset import publish_register_machine
from pipeline.procedural.register_machine import INSTRUCTIONS, KINDS, LEFT_OUT, WORDS, executed, trace
from pipeline.records import parse
from pipeline.report.website import write_site
from pipeline.run.store import RunFolder

SEEDS = st.integers(0, 10**6)


def naive(instruction: str, registers: dict[str, int]) -> dict[str, int]:
    """By Python itself: the instruction as an assignment."""
    if "<>" in instruction:
        one, other = instruction.split("<>")
        return registers | {one: registers[other], other: registers[one]}
    after = dict(registers)
    exec(instruction, {}, after)
    return {name: value % 10 for name, value in after.items()}


@given(st.sampled_from(INSTRUCTIONS), st.tuples(*[st.integers(0, 9)] * 3))
def test_instructions_do_what_they_say(instruction: str, state: tuple[int, int, int]) -> None:
    expected = naive(instruction, dict(zip("abc", state, strict=True)))
    assert executed(instruction, state) == list(expected.values())


@given(SEEDS, st.integers(0, 50), st.sampled_from(KINDS), st.integers(1, 4), st.integers(1, 5))
def test_a_trace_is_the_program_run_again_and_again(seed, number, kind, runs, steps) -> None:
    made = trace(seed, number, kind, runs=runs, steps=steps)
    start, program = made.problem.split(f": {runs} ")
    state = [int(digit) for digit in start.split()]
    for block, memento in zip(made.blocks, made.mementos, strict=True):
        for sentence, instruction in zip(block, program.split(), strict=True):
            state = executed(instruction, state)
            assert sentence.split() == [instruction, *map(str, state)]
        said = memento.split()
        assert all(word in (LEFT_OUT, str(value)) for word, value in zip(said, state, strict=True))
        if kind == "stated":
            assert LEFT_OUT not in said
        if kind == "hidden":
            assert [word == LEFT_OUT for word in said] == [False, False, True]
    assert made.answer.split() == list(map(str, state))
    assert len(made.blocks) == runs


def test_mixed_mementos_leave_out_a_register_three_times_in_ten() -> None:
    mementos = [text for at in range(400) for text in trace(0, at, "mixed", runs=5, steps=2).mementos]
    left_out = [text.split().index(LEFT_OUT) for text in mementos if LEFT_OUT in text]
    assert 0.25 < len(left_out) / len(mementos) < 0.35
    assert {*left_out} == {0, 1, 2}


def test_all_words_are_known() -> None:
    made = trace(1, 1, "mixed", runs=9, steps=9)
    texts = [made.problem, made.answer, *made.mementos, *(s for block in made.blocks for s in block)]
    assert {word for text in texts for word in text.split()} <= {*WORDS}


@pytest.mark.slow
def test_a_data_set_is_published_like_any_other_and_made_once(tmp_path) -> None:
    import pyarrow.parquet as pq

    run = RunFolder(tmp_path)
    sizes = [(2, 3, 30), (3, 4, 20)]
    published = publish_register_machine(run, "hidden", sizes, seed=3, validation=0.2)
    rows = pq.read_table(published.folder / "data").to_pylist()
    assert len(rows) == published.rows < 51
    for row in rows:
        parsed = parse(row["response"])
        assert len(parsed.blocks) in (2, 3)
        assert parsed.answer.split()[:2] == parsed.mementos[-1].split()[:2]
    for audit in pq.read_table(published.folder / "audit").to_pylist():
        assert audit["judge_model"] is None
        found = {(one["score"], one["first_score"], one["rubric"]) for one in audit["mementos"]}
        assert found == {(None, None, None)}, "nobody has judged them"
        assert all(one["verdict_totals"] == [] for one in audit["mementos"])
    card = (published.folder / "README.md").read_text()
    assert "The mementos were not judged." in card
    assert not re.search(
        r"10 points|of 10|judged by|points, mean|judged them|judge's threshold",
        card.replace("nothing judged them", ""),
    )
    # And its run is looked at like any other.
    write_site(run, BuildConfig(name="machine"), tmp_path / "report", lambda done, total: None)
    pages = [path.read_text() for path in (tmp_path / "report").rglob("*.html")]
    assert len(pages) > 50
    assert not any("None of 10" in page for page in pages)
    assert {line.score for line in trace_lines(run)} == {None}
    assert not publish_register_machine(run, "hidden", sizes, seed=3, validation=0.2).changed
    assert publish_register_machine(run, "stated", sizes, seed=3, validation=0.2).changed

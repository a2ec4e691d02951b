import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.files.atomic import WriteError
from pipeline.files.damage import DamageError
from pipeline.run.store import RunFolder
from pipeline.verdicts import LONGEST_WHY, Opinion, put, read_verdicts, store, take_back
from schemas.tables import VERDICTS
from tests.verdicts.runs import NOON, sha256, verdict


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_where_nobody_gave_a_verdict_there_is_none(run):
    assert read_verdicts(run) == []
    assert take_back(run, verdict("a", 0).key) == []
    assert not run.verdicts.exists()


def test_a_verdict_comes_back_as_it_was_given(run):
    given = verdict("ä", 3, Opinion.BAD, why="=1+1, \n“weil”", score=None, passed=False)
    assert put(run, given) == [given]
    assert read_verdicts(run) == [given]


def test_the_file_has_the_columns_of_the_schema(run):
    put(run, verdict("a", 0))
    assert pq.read_schema(run.verdicts).equals(VERDICTS)
    assert pq.read_table(run.verdicts).to_pylist()[0]["at"] == NOON


def test_verdicts_are_sorted_by_trace_and_block(run):
    for name, block in (("b", 0), ("a", 10), ("a", 9)):
        put(run, verdict(name, block))
    assert [(one.trace_id, one.block) for one in read_verdicts(run)] == [("a", 9), ("a", 10), ("b", 0)]


def test_a_later_verdict_about_the_same_text_takes_the_place_of_the_earlier(run):
    put(run, verdict("a", 0, Opinion.GOOD))
    put(run, verdict("a", 1, Opinion.GOOD))
    put(run, verdict("a", 0, Opinion.BAD, why="loses the 13"))
    assert [one.verdict for one in read_verdicts(run)] == [Opinion.BAD, Opinion.GOOD]


def test_a_verdict_about_another_text_leaves_the_earlier(run):
    put(run, verdict("a", 0, Opinion.GOOD))
    put(run, verdict("a", 0, Opinion.BAD, memento_sha256=sha256("another text")))
    assert sorted(one.verdict for one in read_verdicts(run)) == [Opinion.BAD, Opinion.GOOD]


def test_a_verdict_that_is_taken_back_is_gone_and_the_others_stay(run):
    first, second = verdict("a", 0), verdict("a", 1)
    put(run, first)
    put(run, second)
    assert take_back(run, first.key) == [second]
    assert read_verdicts(run) == [second]


def test_a_reason_that_is_too_long_is_refused():
    assert verdict("a", 0, why="x" * LONGEST_WHY).why
    with pytest.raises(ValueError, match=r"why: 501 characters, and at most 500"):
        verdict("a", 0, why="x" * (LONGEST_WHY + 1))


def test_threads_that_write_at_once_lose_nothing(run):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: put(run, verdict("a", n)), range(24)))
    assert [one.block for one in read_verdicts(run)] == list(range(24))


def _put_some(root: Path, trace_id: str, number: int) -> None:
    for block in range(number):
        put(RunFolder(root), verdict(trace_id, block))


def test_processes_that_write_at_once_lose_nothing(run):
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_put_some, args=(run.root, name, 10)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(read_verdicts(run)) == 20


def _killed_while_writing(root: Path) -> None:
    def write_half(table: object, path: Path) -> None:
        path.with_name(f".{path.name}.x.tmp").write_bytes(b"PAR1")
        signal.raise_signal(signal.SIGKILL)

    store.write_table = write_half
    put(RunFolder(root), verdict("a", 1))


def test_a_kill_while_writing_loses_no_earlier_verdict_and_blocks_nobody(run):
    put(run, verdict("a", 0))
    killed = multiprocessing.get_context("fork").Process(target=_killed_while_writing, args=(run.root,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert [one.block for one in put(run, verdict("a", 2))] == [0, 2]


def test_a_build_that_clears_temporary_files_costs_no_verdict(run, monkeypatch):
    real, calls = store.write_table, []

    def cleared_once(table, path):
        calls.append(path)
        if len(calls) == 1:
            raise FileNotFoundError(path)
        real(table, path)

    monkeypatch.setattr(store, "write_table", cleared_once)
    put(run, verdict("a", 0))
    assert len(read_verdicts(run)) == 1


def test_no_changed_byte_goes_unnoticed_and_a_damaged_file_is_never_written_over(run):
    kept = put(run, verdict("a", 0, why="a reason, and a long one"))
    whole = run.verdicts.read_bytes()
    silent = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x11
        run.verdicts.write_bytes(damaged)
        try:
            silent += read_verdicts(run) != kept
        except DamageError:
            with pytest.raises(DamageError, match=r"verdicts\.parquet: damaged .*; put a copy in its place"):
                put(run, verdict("b", 0))
            assert run.verdicts.read_bytes() == damaged
    assert silent == 0


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_file_that_is_cut_off_is_damaged(run, size):
    put(run, verdict("a", 0))
    run.verdicts.write_bytes(run.verdicts.read_bytes()[:size])
    with pytest.raises(DamageError, match="nothing is written over it"):
        read_verdicts(run)


def test_a_file_that_another_program_has_rewritten_is_read(run):
    given = put(run, verdict("a", 0, why="kept"))
    pl.read_parquet(run.verdicts).write_parquet(run.verdicts)
    assert read_verdicts(run) == given


def test_a_table_with_other_columns_or_words_is_damaged(run):
    put(run, verdict("a", 0))
    table = pl.read_parquet(run.verdicts)
    table.drop("why").write_parquet(run.verdicts)
    with pytest.raises(DamageError, match="why"):
        read_verdicts(run)
    table.with_columns(verdict=pl.lit("fine")).write_parquet(run.verdicts)
    with pytest.raises(DamageError, match="'fine' is not a valid Opinion"):
        read_verdicts(run)


def test_a_run_that_cannot_be_written_says_so(run, monkeypatch):
    def refused(self, *_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(WriteError, match="make the folder writable"):
        put(run, verdict("a", 0))

"""What a person sees while a build works: a panel on a terminal, lines elsewhere."""

import io
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from pipeline.commands.progress import shown_progress
from pipeline.commands.progress_lines import ProgressLines
from pipeline.commands.progress_panel import panel
from pipeline.files.atomic import write_json
from pipeline.run.status import Status
from pipeline.run.status_words import stage_numbers
from pipeline.run.store import RunFolder
from tests.processes.test_end_with_parent import until
from tests.run.status_runs import MEMENTOS

SPLIT = replace(
    MEMENTOS,
    name="split",
    verb="split into sentences",
    done=20,
    rejected=0,
    at_work=False,
    eta_seconds=None,
    running=0,
    prompt_tokens_per_second=0,
    completion_tokens_per_second=0,
    cached_share=None,
    requests=0,
    prompt_tokens=0,
    cached_tokens=0,
    completion_tokens=0,
)
RECORDS = replace(SPLIT, name="records", verb="assemble and check records", done=0, begun=False, rate=0)
STATUS = Status(
    name="small",
    state="working",
    step="loading",
    error="",
    started_at="2026-01-01T00:00:00+00:00",
    at="2026-01-01T00:00:09+00:00",
    cost=None,
    stages=(SPLIT, MEMENTOS, RECORDS),
)
LINE = (
    "write mementos: 3 of 20 traces, 0.7/min, 24:10 left; 24 requests running, 1,810 + 96 tokens/s, "
    "71% cached; 1 rejected, 0 failed"
)
MARKUP = "[bold]odd[/bold] [/] :name:"


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_stage_at_work_has_a_line_every_ten_seconds_also_where_nothing_has_ended(clock: Clock) -> None:
    lines = ProgressLines(10, clock)
    assert lines.due(STATUS, "", "loading") == ["split into sentences: 20 of 20 traces; 0 rejected, 0 failed"]
    told = []
    for _ in range(60):
        clock.now += 0.5
        told += lines.due(STATUS, "", "loading")
    assert told == [LINE] * 3


def test_a_stage_that_all_traces_have_left_is_told_once_and_at_once(clock: Clock) -> None:
    lines = ProgressLines(10, clock)
    lines.due(STATUS, "", "")
    ended = replace(MEMENTOS, done=20, at_work=False, eta_seconds=None, running=0)
    told = lines.due(replace(STATUS, stages=(SPLIT, ended, RECORDS)), "", "")
    assert told == [
        "write mementos: 20 of 20 traces; 60 requests, 90,000 + 4,000 tokens, 71% cached; "
        "1 rejected, 0 failed"
    ]
    clock.now += 100
    assert lines.due(replace(STATUS, stages=(SPLIT, ended, RECORDS)), "", "") == []


def test_what_an_earlier_run_has_done_is_no_news(clock: Clock) -> None:
    before = replace(SPLIT, begun=False)
    assert ProgressLines(10, clock).due(replace(STATUS, stages=(before,)), "", "") == []


def test_a_step_is_told_at_once_and_how_long_it_lasts_where_nothing_else_is(clock: Clock) -> None:
    lines = ProgressLines(10, clock)
    assert lines.due(None, "starting Prefect's server", "starting Prefect's server") == [
        "starting Prefect's server"
    ]
    told = []
    for _ in range(42):
        clock.now += 0.5
        told += lines.due(None, "", "starting Prefect's server")
    assert told == ["starting Prefect's server (0:10 so far)", "starting Prefect's server (0:20 so far)"]


def test_an_interrupted_run_says_at_last_how_far_it_was(clock: Clock) -> None:
    stopped = replace(MEMENTOS, at_work=False, running=0)
    told = ProgressLines(10, clock).due(replace(STATUS, stages=(stopped,)), "", "", is_last=True)
    assert [line.partition(",")[0] for line in told] == ["write mementos: 3 of 20 traces"]


def test_lines_name_the_cost_where_there_are_prices(clock: Clock) -> None:
    clock.now = 0
    lines = ProgressLines(10, clock)
    clock.now = 10
    assert lines.due(replace(STATUS, cost=12.3456, stages=(MEMENTOS,)), "", "") == [
        f"{LINE}; cost so far 12.35"
    ]


@pytest.mark.parametrize("width", [80, 130])
def test_the_panel_shows_every_stage_in_a_line(width: int) -> None:
    shown = drawn(replace(STATUS, cost=0.5), MARKUP, width).splitlines()
    assert len(shown) == 5
    assert all(len(line) <= width for line in shown)
    assert words(shown[0]) == "stage traces rate left running tokens/s cached rejected failed"
    assert words(shown[2]) == "write mementos 3/20 0.7/min 24:10 24 1,810 + 96 71% 1 0"
    assert shown[4].rstrip() == f"1:05 elapsed · cost so far 0.50 · {MARKUP}"


@pytest.mark.parametrize("width", range(34, 80))
def test_a_narrow_panel_keeps_the_names_of_stages_and_whole_numbers(width: int) -> None:
    shown = drawn(STATUS, "", width).splitlines()
    assert all(len(line) <= width for line in shown)
    for line, name in zip(shown[1:4], ("split into sent", "write mementos", "assemble and ch"), strict=True):
        assert line.startswith(name)
        assert line.count("…") <= 1
    columns = shown[0].split()
    assert {"traces", "failed"} <= set(columns) <= set(stage_numbers(MEMENTOS)) | {"stage"}
    assert words(shown[2].removeprefix("write mementos")) == words(
        " ".join(stage_numbers(MEMENTOS)[name] for name in columns[1:])
    )


def test_a_panel_of_60_columns_has_the_time_left_and_what_is_lost() -> None:
    shown = drawn(STATUS, "", 60).splitlines()
    assert shown[0].split() == ["stage", "traces", "rate", "left", "rejected", "failed"]


def test_the_panel_says_what_is_going_on_before_there_is_a_run() -> None:
    assert drawn(None, "starting Prefect's server", 80).strip() == "1:05 elapsed · starting Prefect's server"


def words(line: str) -> str:
    return " ".join("".join(each for each in line if each not in "━╸╺").split())


def drawn(status: Status | None, step: str, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(panel(status, step, 65, width))
    return console.file.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_steps_and_numbers_are_shown_while_the_run_goes_on(tmp_path, is_terminal: bool) -> None:
    run = RunFolder(tmp_path)
    run.tell("what an earlier run said")
    write_json(replace(STATUS, stages=(replace(SPLIT, done=19, expected=19),)).as_json(), run.status_file)
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=is_terminal, color_system=None, soft_wrap=True)
    with shown_progress(run, console, 0.01) as tell:
        tell("starting Prefect's server")
        until(lambda: "starting Prefect's server" in file.getvalue())
        run.tell(MARKUP)
        until(lambda: MARKUP in file.getvalue())
        write_json(replace(STATUS, started_at="2026-01-02T00:00:00+00:00").as_json(), run.status_file)
        until(lambda: "split into" in file.getvalue())
    shown = file.getvalue()
    assert "an earlier run" not in shown
    assert "19" not in shown
    assert ("3/20" if is_terminal else "write mementos: 3 of 20 traces") in shown


def test_what_the_body_raises_is_raised(tmp_path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True)

    def work() -> None:
        with shown_progress(RunFolder(tmp_path), console, 0.01):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()

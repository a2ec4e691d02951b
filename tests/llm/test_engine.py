"""The managed engine: what the user reads when it cannot run, and that it is gone afterwards.

A small program plays vLLM here; test_real_engine.py starts the real one.
"""

import os
import textwrap
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.config import EngineConfig
from pipeline.llm import engine_command
from pipeline.llm.engine import Engine, EngineError
from tests.llm.questions import ask, question
from tests.processes.test_end_with_parent import alive, until

# Serves what the tests ask of it: a stub LLM on the port that vLLM would get.
PLAYED_SERVER = """
import sys
from tests.servers.stub_llm import main
port, model = (sys.argv[sys.argv.index(name) + 1] for name in ("--port", "--served-model-name"))
sys.argv = ["vllm", "--port", port, "--model", model]
main()
"""


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """play(program) makes the program take vLLM's place."""

    def put(program: str) -> None:
        (tmp_path / "played_server.py").write_text(textwrap.dedent(program))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)]))
        monkeypatch.setattr(engine_command, "SERVER", "played_server")

    yield put
    assert not alive(engine_processes()), "something was left running"


def engine_processes() -> list[psutil.Process]:
    """The guards that this process has started, each with all that is below it; no other children."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "pipeline.processes.end_with_parent" in child.cmdline():
                found += [child, *child.children(recursive=True)]
    return found


def start(tmp_path: Path, model: str = "some/model", **config: object) -> Engine:
    """An engine with the config, and a list of what it reports in `reports`."""
    reports: list[str] = []
    made = Engine(EngineConfig(**config), model, "stub", tmp_path / "engine.log", reports.append)
    made.reports = reports  # type: ignore[attr-defined]
    return made


def test_an_engine_answers_while_the_block_lasts_and_is_gone_after(play, tmp_path) -> None:
    play(PLAYED_SERVER)
    with start(tmp_path) as engine:
        engine.wait_ready()
        (reply,) = ask(engine.endpoint, question())
        assert reply.text
        family = engine_processes()
        assert len(family) == 2, "the guard and the server"
    assert not alive(family)


def test_other_work_can_be_done_while_the_engine_loads(play, tmp_path) -> None:
    play("import time; time.sleep(600)")
    with start(tmp_path, start_deadline_seconds=1) as engine:
        assert engine.endpoint.startswith("http://127.0.0.1:")
        with pytest.raises(EngineError, match=r"not healthy within 1 s .*start_deadline_seconds"):
            engine.wait_ready()


def test_an_engine_that_dies_while_it_loads_is_reported_with_the_end_of_its_log(play, tmp_path) -> None:
    play("print(*range(100), sep='\\n'); raise SystemExit(3)")
    with start(tmp_path) as engine, pytest.raises(EngineError) as failure:
        engine.wait_ready()
    said = str(failure.value).splitlines()
    assert said[0] == "the engine ended with exit code 3"
    assert said[1] == f"  end of {tmp_path / 'engine.log'}:"
    assert said[2:] == [f"  | {n}" for n in range(85, 100)]


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        ("api_server.py: error: unrecognized arguments: --nonsense", "llm.engine.arguments"),
        ("OSError: [Errno 98] Address already in use", "run again"),
        ("torch.OutOfMemoryError: CUDA out of memory", "a smaller llm.model"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "smaller"),
        ("ValueError: No available memory for the cache blocks", "a smaller llm.model"),
        ("huggingface_hub.errors.RepositoryNotFoundError: 404", "llm.model must be a folder"),
        ("OSError: We couldn't connect to 'https://hf.example'", "llm.model must be a folder"),
        ("No module named 'vllm'", "pip install 'openmementos[cpu]'"),
    ],
)
def test_a_known_cause_comes_with_its_remedy(play, tmp_path, log: str, remedy: str) -> None:
    play(f"print({log!r}); raise SystemExit(1)")
    with start(tmp_path) as engine, pytest.raises(EngineError) as failure:
        engine.wait_ready()
    assert remedy in str(failure.value).splitlines()[1]


@pytest.mark.parametrize("arguments", [("--port", "8000"), ("--port=8000",), ("--host=0.0.0.0",)])
def test_a_port_or_host_of_ones_own_is_refused_before_anything_starts(tmp_path, arguments) -> None:
    engine = start(tmp_path, arguments=arguments)
    with pytest.raises(EngineError, match=r"llm\.engine\.arguments has --(port|host): .*\n  remove --"):
        engine.start()


def test_a_missing_model_folder_is_reported_before_anything_starts(tmp_path) -> None:
    engine = start(tmp_path, model=str(tmp_path / "nowhere"))
    with pytest.raises(EngineError, match=r"nowhere: no such folder\n  llm\.model"):
        engine.start()


def test_a_killed_engine_is_started_again_on_its_port_and_the_request_is_answered(play, tmp_path) -> None:
    play(PLAYED_SERVER)
    with start(tmp_path) as engine:
        engine.wait_ready()
        kill_server()
        (reply,) = ask(engine.endpoint, question())
        assert reply.text
        assert engine.restarts == 1
        assert engine.reports == ["the engine died (exit code 137); restart 1 of 5"]


def test_an_engine_that_dies_too_often_is_given_up_and_says_why(play, tmp_path) -> None:
    play(PLAYED_SERVER)
    with start(tmp_path, max_restarts=0) as engine:
        engine.wait_ready()
        engine.check()
        kill_server()
        until(lambda: bool(engine.reports))
        with pytest.raises(EngineError, match=r"the engine died \(exit code 137\), after 0 restarts"):
            engine.check()


def test_a_restart_happens_even_where_nobody_can_be_told(play, tmp_path) -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError

    play(PLAYED_SERVER)
    with Engine(EngineConfig(), "some/model", "stub", tmp_path / "engine.log", broken) as engine:
        engine.wait_ready()
        kill_server()
        (reply,) = ask(engine.endpoint, question())
        assert reply.text
        engine.check()


def test_an_engine_stopped_in_the_middle_of_a_restart_is_not_started_again(play, tmp_path) -> None:
    play(PLAYED_SERVER)
    told, go_on = threading.Event(), threading.Event()

    def slowly(line: str) -> None:
        told.set()
        go_on.wait(10)

    with Engine(EngineConfig(), "some/model", "stub", tmp_path / "engine.log", slowly) as engine:
        engine.wait_ready()
        kill_server()
        assert told.wait(10)
        stopping = threading.Thread(target=engine.stop)
        stopping.start()
        until(engine._stopping.is_set)
        go_on.set()
        stopping.join(10)
        assert not stopping.is_alive()
        assert not alive(engine_processes())


def test_an_error_in_the_block_ends_the_engine_too(play, tmp_path) -> None:
    play(PLAYED_SERVER)
    family: list[psutil.Process] = []

    def interrupted() -> None:
        with start(tmp_path) as engine:
            engine.wait_ready()
            family.extend(engine_processes())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(family) == 2
    assert not alive(family)


def test_stopping_in_the_middle_of_loading_ends_the_engine(play, tmp_path) -> None:
    play("import time; time.sleep(600)")
    with start(tmp_path) as engine:
        waiting = threading.Thread(target=wait_in_vain, args=(engine,))
        waiting.start()
        family = engine_processes()
        engine.stop()
        waiting.join(10)
    assert family
    assert not waiting.is_alive()
    assert not alive(family)


def wait_in_vain(engine: Engine) -> None:
    """Returns when the wait ends with an EngineError."""
    with pytest.raises(EngineError, match="stopped while it was loading"):
        engine.wait_ready()


def kill_server() -> None:
    """kill -9 of the server, not of its guard."""
    _, server = engine_processes()
    server.kill()

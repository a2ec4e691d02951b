"""The server is started with what suits the machine, and the config's own arguments win."""

import pytest

from pipeline.llm import engine_command
from pipeline.llm.bundled_model import NAME
from pipeline.llm.engine_command import GPU_ARGUMENTS_OF_BUNDLED, server_command


def command(monkeypatch: pytest.MonkeyPatch, *own: str, model: str = NAME, cpu: bool = False) -> list[str]:
    monkeypatch.setattr(engine_command, "is_cpu_build", lambda: cpu)
    return server_command("/models/it", model, 8123, own)


def value(command: list[str], name: str) -> str:
    """What vLLM's parser takes: the last."""
    return command[len(command) - command[::-1].index(name)]


def test_the_bundled_model_takes_a_few_gib_of_a_gpu_and_compiles_nothing(monkeypatch) -> None:
    told = command(monkeypatch)
    assert int(value(told, "--kv-cache-memory-bytes")) == 4 * 2**30
    assert float(value(told, "--gpu-memory-utilization")) <= 0.1
    assert "--enforce-eager" in told


def test_another_model_has_the_card_as_vllm_would_take_it(monkeypatch) -> None:
    told = command(monkeypatch, model="Qwen/Qwen3-32B")
    assert not set(told) & {part for part in GPU_ARGUMENTS_OF_BUNDLED if part.startswith("--")}


@pytest.mark.parametrize("cpu", [True, False])
def test_no_sampling_is_taken_from_the_models_folder(monkeypatch, cpu: bool) -> None:
    assert value(command(monkeypatch, cpu=cpu), "--generation-config") == "vllm"


@pytest.mark.parametrize("cpu", [True, False])
def test_the_configs_own_arguments_come_last(monkeypatch, cpu: bool) -> None:
    own = ("--gpu-memory-utilization", "0.5", "--block-size", "16")
    assert command(monkeypatch, *own, cpu=cpu)[-4:] == list(own)


@pytest.mark.exhaustive
def test_what_the_server_is_told_is_known_to_the_vllm_that_is_installed(monkeypatch) -> None:
    arguments = pytest.importorskip("vllm.engine.arg_utils")
    parser_module = pytest.importorskip("vllm.utils.argparse_utils")
    parser = arguments.AsyncEngineArgs.add_cli_args(parser_module.FlexibleArgumentParser())
    for cpu in (True, False):
        told = command(monkeypatch, cpu=cpu)
        _, unknown = parser.parse_known_args(told[told.index("--model") :])
        # Those of the HTTP server, which another parser knows.
        assert set(unknown) <= {"--host", "127.0.0.1", "--port", "8123", "--enable-prompt-tokens-details"}

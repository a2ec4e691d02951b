"""Compiled functions run where their code can be kept on disk and where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.caching import CacheImpl

from pipeline.segmentation.partition.compiled import callback, compiled


def doubled(number: float) -> float:
    return 2 * number


def test_where_no_folder_can_be_written_functions_still_run_and_a_warning_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR"):
        assert compiled(doubled)(2.0) == 4.0
    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR"):
        callback.__wrapped__(doubled, "float64(float64)")  # type: ignore[attr-defined]


@pytest.mark.exhaustive
def test_the_first_call_on_a_machine_is_told_and_code_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-c",
                "from pipeline.segmentation.partition.warm_up import *; warm_up(print)",
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **more},
            check=False,
        )

    assert run(NUMBA_DISABLE_JIT="1").stdout == ""
    assert run().stdout.startswith("compiling the search for blocks, once on this machine")
    assert run().stdout == ""
    for index in tmp_path.rglob("*.nbi"):
        index.write_bytes(b"")
    broken = run()
    assert broken.returncode == 1
    assert "CompileError" in broken.stderr
    assert "delete the files *.nbi and *.nbc" in broken.stderr


@pytest.mark.exhaustive
def test_a_change_in_a_file_whose_functions_are_called_compiles_anew(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(
        "from called import answer\nfrom pipeline.segmentation.partition.compiled import compiled\n"
        "@compiled\ndef ask():\n    return answer()\n"
        "if __name__ == '__main__':\n    print(ask(), sum(ask.stats.cache_hits.values()))\n"
    )

    def run(answer: int) -> str:
        (tmp_path / "called.py").write_text(
            f"from pipeline.segmentation.partition.compiled import part\n"
            f"@part\ndef answer():\n    return {answer}\n"
        )
        return subprocess.run(
            [sys.executable, tmp_path / "caller.py"], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert [run(1), run(1), run(2)] == ["1 0", "1 1", "2 0"]

"""Compiled functions run where their code can be kept on disk and where it cannot."""

import pytest
from numba.core.caching import CacheImpl

from pipeline.segmentation.compiled import callback, compiled


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

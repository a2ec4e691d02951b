import pytest

from tests.verdicts.runs import judged_run
from tests.view.served import Served, served


@pytest.fixture
def server(tmp_path) -> Served:
    """A server over a run with a done trace, its site beside it."""
    with served(judged_run(tmp_path / "run"), tmp_path / "site") as one:
        yield one

"""A release whose process is killed: main is the old one or the new one, and the next release finishes."""

import os
import subprocess
import sys
import time

import pytest

from tests.publish.conftest import NAME, Publisher
from tests.servers.hub import Hub

pytestmark = pytest.mark.slow
DEADLINE = 120.0


def killed_after(hub: Hub, publisher: Publisher, requests: int) -> bool:
    """Kills the command once the Hub has seen this many requests of it; whether it was still running then."""
    seen = len(hub.seen)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "publish", str(publisher.root), "--to", NAME, "--tag", "v2"],
        env={**os.environ, **hub.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + DEADLINE
    while process.poll() is None and len(hub.seen) - seen < requests:
        assert time.monotonic() < end, f"{len(hub.seen) - seen} requests in {DEADLINE:.0f} s"
        time.sleep(0.001)
    running = process.poll() is None
    process.kill()
    process.wait()
    return running


@pytest.mark.parametrize("apart", [23, pytest.param(11, marks=pytest.mark.exhaustive)])
def test_main_is_never_half_whenever_the_release_is_killed(
    hub: Hub, publisher: Publisher, apart: int
) -> None:
    """apart: requests between one kill and the next."""
    publisher.write("t0")
    publisher.release(tag="v1")
    before = hub.files(NAME)
    publisher.write("t0", "t1")
    mains, kills, requests = [], 0, 3
    while killed_after(hub, publisher, requests):
        mains.append(hub.files(NAME))
        kills += 1
        requests += apart
    after = hub.files(NAME)
    assert kills >= 3
    assert after.keys() == before.keys()
    assert after != before
    assert all(main in (before, after) for main in mains)
    assert not list(publisher.root.glob(".release*"))
    repo = hub.dataset(NAME)
    assert repo.refs["refs/tags/v2"] == repo.refs["refs/heads/main"]
    assert [pull.status for pull in repo.pulls] == ["merged", "merged"]

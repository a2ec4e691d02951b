"""No more traces are at work than the caches keep, and none waits for ever."""

import asyncio
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.llm.admission import Admission, ShardAdmission

HERE, THERE = "http://here/v1", "http://there/v1"


async def until_quiet() -> None:
    """Lets every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 150), max_size=40),
    rooms=st.lists(st.one_of(st.none(), st.integers(1, 200)), min_size=1, max_size=3),
    most_traces=st.integers(1, 12),
)
def test_rooms_are_never_overfull_and_every_trace_gets_one(
    sizes: list[int], rooms: list[int | None], most_traces: int
) -> None:
    limits = {f"http://{number}/v1": most for number, most in enumerate(rooms)}
    at_work: dict[str, list[int]] = {endpoint: [] for endpoint in limits}

    async def one(admission: Admission, tokens: int) -> None:
        async with admission.admitted(tokens) as endpoint:
            at_work[endpoint].append(tokens)
            most = limits[endpoint]
            assert most is None or sum(at_work[endpoint]) <= most or len(at_work[endpoint]) == 1
            assert sum(map(len, at_work.values())) <= most_traces
            await asyncio.sleep(0)
            at_work[endpoint].remove(tokens)

    async def all_of_them() -> None:
        admission = Admission(limits, most_traces)
        await asyncio.wait_for(asyncio.gather(*(one(admission, size) for size in sizes)), timeout=30)

    asyncio.run(all_of_them())


def test_traces_are_admitted_in_the_order_they_came_also_where_a_later_one_would_fit() -> None:
    order: list[str] = []

    async def main() -> None:
        admission = Admission({HERE: 100}, 10)
        leave = {name: asyncio.Event() for name in ("first", "large", "small")}

        async def one(name: str, tokens: int) -> None:
            async with admission.admitted(tokens):
                order.append(name)
                await leave[name].wait()

        tasks = [asyncio.create_task(one(*each)) for each in (("first", 60), ("large", 90), ("small", 10))]
        await until_quiet()
        assert order == ["first"]
        for name in ("first", "large", "small"):
            leave[name].set()
            await until_quiet()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert order == ["first", "large", "small"]


def test_a_trace_larger_than_all_the_room_is_at_work_alone() -> None:
    async def main() -> None:
        admission = Admission({HERE: 100}, 10)
        async with admission.admitted(500):
            other = asyncio.create_task(enter(admission, 1))
            await until_quiet()
            assert not other.done()
        await asyncio.wait_for(other, timeout=5)

    asyncio.run(main())


def test_traces_spread_over_endpoints_by_their_tokens() -> None:
    async def main() -> None:
        admission = Admission({HERE: 100, THERE: 100}, 10)
        async with admission.admitted(60) as first, admission.admitted(50) as second:
            assert {first, second} == {HERE, THERE}
            async with admission.admitted(40) as third:
                assert third == second

    asyncio.run(main())


def test_a_trace_that_is_given_up_while_it_waits_takes_no_room() -> None:
    async def main() -> None:
        admission = Admission({HERE: 100}, 10)
        async with admission.admitted(100):
            gone = asyncio.create_task(enter(admission, 100))
            kept = asyncio.create_task(enter(admission, 100))
            await until_quiet()
            gone.cancel()
            await until_quiet()
        # Handed over before it could run, and given up just then.
        await asyncio.wait_for(kept, timeout=5)
        assert gone.cancelled()
        await asyncio.wait_for(enter(admission, 100), timeout=5)

    asyncio.run(main())


def test_loops_of_several_threads_share_the_room_and_lose_none_of_it() -> None:
    admission = Admission({HERE: 3}, 100)
    lock, at_work, most = threading.Lock(), 0, 0

    async def one(number: int) -> None:
        nonlocal at_work, most
        async with admission.admitted(1):
            with lock:
                at_work += 1
                most = max(most, at_work)
            try:
                await asyncio.sleep(number % 3 / 1000)
            finally:
                with lock:
                    at_work -= 1

    async def loop(seed: int) -> None:
        tasks = [asyncio.create_task(one(seed + number)) for number in range(40)]
        for task in tasks[::2]:
            await asyncio.sleep(0.0003)
            task.cancel()
        if seed % 2:
            return  # with traces that wait and are at work, as a stopped shard's loop ends
        await asyncio.gather(*tasks, return_exceptions=True)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, loop(seed)) for seed in range(12)]:
            done.result(timeout=60)
    assert most == 3

    async def all_at_once() -> None:
        async with admission.admitted(1), admission.admitted(1), admission.admitted(1):
            pass

    asyncio.run(asyncio.wait_for(all_at_once(), timeout=10))


def test_a_shard_knows_where_its_traces_are_while_they_are_at_work() -> None:
    async def main() -> None:
        shard = ShardAdmission(Admission({HERE: None}, 10))
        with suppress(ZeroDivisionError):
            async with shard.admitted(4, 10):
                assert shard.endpoint(4) == HERE
                assert shard.endpoint(5) is None
                raise ZeroDivisionError
        assert shard.endpoint(4) is None

    asyncio.run(main())


def test_another_process_has_room_of_its_own() -> None:
    async def main(admission: Admission) -> str:
        async with admission.admitted(1) as endpoint:
            return endpoint

    assert asyncio.run(main(pickle.loads(pickle.dumps(Admission({THERE: 5}, 2))))) == THERE


async def enter(admission: Admission, tokens: int) -> None:
    async with admission.admitted(tokens):
        pass

import asyncio
import pickle
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from pipeline.llm.concurrency import ConcurrencyLimit


def test_the_lowest_rank_goes_first_and_no_more_than_there_is_room_for():
    order: list[int] = []
    most = 0

    async def work(slots: ConcurrencyLimit, rank: int) -> None:
        nonlocal most
        async with slots.slot(0, rank):
            order.append(rank)
            most = max(most, len(order) - finished[0])
            await asyncio.sleep(0)
            finished[0] += 1

    finished = [0]

    async def main() -> None:
        slots = ConcurrencyLimit(2)
        await asyncio.gather(*(work(slots, rank) for rank in (9, 8, 3, 1, 2, 1)))

    asyncio.run(main())
    assert order == [9, 8, 1, 1, 2, 3]
    assert most == 2


def test_a_cancelled_waiter_loses_no_slot():
    async def main() -> None:
        slots = ConcurrencyLimit(1)
        entered = asyncio.Event()
        leave = asyncio.Event()

        async def hold() -> None:
            async with slots.slot(0, 0):
                entered.set()
                await leave.wait()
            # The first waiter has been handed the slot but has not run yet.
            waiting[0].cancel()

        async def brief() -> None:
            async with slots.slot(0, 1):
                pass

        holder = asyncio.create_task(hold())
        await entered.wait()
        waiting = [asyncio.create_task(brief()) for _ in range(2)]
        await asyncio.sleep(0)
        leave.set()
        await holder
        await asyncio.gather(*waiting, return_exceptions=True)
        assert waiting[0].cancelled()
        await asyncio.wait_for(brief(), timeout=5)

    asyncio.run(main())


def test_a_shard_that_has_all_slots_shares_them_with_the_next_and_gets_them_back():
    slots = ConcurrencyLimit(4)
    order: list[int] = []

    async def one(shard: int, rank: int) -> None:
        async with slots.slot(shard, rank):
            order.append(shard)
            await asyncio.sleep(0.002)

    async def main() -> None:
        first = [asyncio.create_task(one(0, rank)) for rank in range(40)]
        await asyncio.sleep(0)
        second = [asyncio.create_task(one(1, rank)) for rank in range(10)]
        await asyncio.gather(*first, *second)

    asyncio.run(main())
    assert order[:4] == [0, 0, 0, 0]
    assert Counter(order[4:24]) == {0: 10, 1: 10}
    assert set(order[24:]) == {0}


def test_event_loops_share_the_room():
    order: list[tuple[int, int]] = []
    slots = ConcurrencyLimit(1)
    held, leave = threading.Event(), threading.Event()

    async def hold() -> None:
        async with slots.slot(0, 0):
            held.set()
            await asyncio.to_thread(leave.wait)

    async def work(shard: int, barrier: threading.Barrier) -> None:
        async def one(trace: int) -> None:
            async with slots.slot(shard, trace):
                order.append((shard, trace))

        tasks = [asyncio.create_task(one(trace)) for trace in (2, 1)]
        # They run as far as they can: into the queue.
        await asyncio.sleep(0)
        await asyncio.to_thread(barrier.wait)
        await asyncio.gather(*tasks)

    with ThreadPoolExecutor(3) as pool:
        holder = pool.submit(asyncio.run, hold())
        held.wait()
        barrier = threading.Barrier(3)
        shards = [pool.submit(asyncio.run, work(shard, barrier)) for shard in (7, 3)]
        barrier.wait()
        leave.set()
        for done in (holder, *shards):
            done.result(timeout=30)
    assert [[trace for shard, trace in order if shard == one] for one in (3, 7)] == [[1, 2], [1, 2]]


def test_loops_that_give_up_at_random_lose_no_slot():
    slots = ConcurrencyLimit(3)
    open_now, most = Counter[str](), 0
    lock = threading.Lock()

    async def one(rank: int) -> None:
        nonlocal most
        async with slots.slot(rank % 4, rank):
            with lock:
                open_now["slots"] += 1
                most = max(most, open_now["slots"])
            try:
                await asyncio.sleep(rank % 3 / 1000)
            finally:
                with lock:
                    open_now["slots"] -= 1

    async def loop(seed: int) -> None:
        tasks = [asyncio.create_task(one(seed + number)) for number in range(60)]
        for number, task in enumerate(tasks):
            await asyncio.sleep(0.0003)
            if number % 2:
                task.cancel()
        if seed % 2:
            # The loop ends with waiters in it, as that of a stopped stage does.
            return
        await asyncio.gather(*tasks, return_exceptions=True)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, loop(seed)) for seed in range(12)]:
            done.result(timeout=60)
    assert most == 3

    async def all_at_once() -> None:
        async with slots.slot(0, 0), slots.slot(0, 0), slots.slot(0, 0):
            pass

    asyncio.run(asyncio.wait_for(all_at_once(), timeout=10))


def test_another_process_has_room_of_its_own():
    assert isinstance(pickle.loads(pickle.dumps(ConcurrencyLimit(5))), ConcurrencyLimit)

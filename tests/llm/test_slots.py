import asyncio

from pipeline.llm.slots import Slots


def test_the_lowest_rank_goes_first_and_no_more_than_there_is_room_for():
    order: list[int] = []
    most = 0

    async def work(slots: Slots, rank: int) -> None:
        nonlocal most
        async with slots.taken(rank):
            order.append(rank)
            most = max(most, len(order) - finished[0])
            await asyncio.sleep(0)
            finished[0] += 1

    finished = [0]

    async def main() -> None:
        slots = Slots(2)
        await asyncio.gather(*(work(slots, rank) for rank in (9, 8, 3, 1, 2, 1)))

    asyncio.run(main())
    assert order == [9, 8, 1, 1, 2, 3]
    assert most == 2


def test_a_cancelled_waiter_loses_no_slot():
    async def main() -> None:
        slots = Slots(1)
        entered = asyncio.Event()
        leave = asyncio.Event()

        async def hold() -> None:
            async with slots.taken(0):
                entered.set()
                await leave.wait()
            # The first waiter has been handed the slot but has not run yet.
            waiting[0].cancel()

        async def brief() -> None:
            async with slots.taken(1):
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

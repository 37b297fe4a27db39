"""Tests the queue in front of the network, and the semaphore that shares the processor."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sat2map.serve.batch_queue import BatchQueue, Cancelled, Work
from sat2map.serve.http_errors import BusyError
from sat2map.serve.priority_semaphore import PrioritySemaphore


class _Machine:
    """Doubles numbers, batch by batch, when it is allowed to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, batch: list[Work[int, int]]) -> list[int]:
        self.go.wait(60)
        self.batches.append([work.source for work in batch])
        if any(work.source < 0 for work in batch):
            raise ValueError("negative")
        return [2 * work.source for work in batch]


def test_queued_items_of_equal_key_run_together_up_to_the_limit() -> None:
    async def main() -> None:
        machine = _Machine()
        queue = BatchQueue(machine, length=10, batch=3, batch_key=lambda number: number >= 100)
        tasks = [asyncio.create_task(queue.submit(number)) for number in (1, 2, 100, 3, 4, 101)]
        await asyncio.sleep(0.05)
        machine.go.set()
        assert [(await task)[0] for task in tasks] == [2, 4, 200, 6, 8, 202]
        assert machine.batches == [[1, 2, 3], [100, 101], [4]]
        queue.close()

    asyncio.run(main())


def test_one_alone_does_not_wait_for_others() -> None:
    async def main() -> None:
        machine = _Machine()
        machine.go.set()
        queue = BatchQueue(machine, length=10, batch=8)
        assert (await queue.submit(5))[0] == 10
        assert machine.batches == [[5]]
        queue.close()

    asyncio.run(main())


def test_a_full_queue_says_busy_and_when_to_come_again() -> None:
    async def main() -> None:
        machine = _Machine()
        queue = BatchQueue(machine, length=2)
        first = asyncio.create_task(queue.submit(1))
        await asyncio.sleep(0.05)  # it runs now, and is out of the queue
        waiting = [asyncio.create_task(queue.submit(number)) for number in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as raised:
            await queue.submit(4)
        assert raised.value.retry_after >= 1
        machine.go.set()
        assert [(await task)[0] for task in (first, *waiting)] == [2, 4, 6]
        queue.close()

    asyncio.run(main())


def test_a_cancelled_item_leaves_the_queue() -> None:
    async def main() -> None:
        machine = _Machine()
        queue = BatchQueue(machine, length=5)
        first, second, third = (asyncio.create_task(queue.submit(number)) for number in (1, 2, 3))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0.01)
        machine.go.set()
        assert ((await first)[0], (await third)[0]) == (2, 6)
        assert machine.batches == [[1], [3]]
        queue.close()

    asyncio.run(main())


def test_one_bad_item_of_a_batch_fails_alone() -> None:
    async def main() -> None:
        machine = _Machine()
        queue = BatchQueue(machine, length=5, batch=3)
        tasks = [asyncio.create_task(queue.submit(number)) for number in (1, -1, 3)]
        await asyncio.sleep(0.02)
        machine.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert (results[0][0], results[2][0]) == (2, 6)  # type: ignore[index]
        assert isinstance(results[1], ValueError)
        queue.close()

    asyncio.run(main())


def test_long_work_ends_at_its_next_tile_once_it_was_left() -> None:
    async def main() -> None:
        ended = threading.Event()

        def tiles(batch: list[Work[int, int]]) -> list[int]:
            try:
                for done in range(1000):
                    time.sleep(0.005)
                    batch[0].progress(done, 1000)
            except Cancelled:
                ended.set()
                raise
            return [0]

        queue: BatchQueue[int, int] = BatchQueue(tiles, length=5)
        task = asyncio.create_task(queue.submit(1))
        await asyncio.sleep(0.05)
        task.cancel()
        assert await asyncio.get_running_loop().run_in_executor(None, ended.wait, 60)
        queue.close()

    asyncio.run(main())


def test_as_many_batches_run_at_the_same_time_as_there_are_threads() -> None:
    async def main() -> None:
        together = threading.Barrier(3, timeout=60)  # broken where fewer meet at it

        def run(batch: list[Work[int, int]]) -> list[int]:
            together.wait()
            return [2 * work.source for work in batch]

        queue = BatchQueue(run, length=10, threads=3)
        found = await asyncio.gather(*(queue.submit(number) for number in range(6)))
        assert [double for double, _ in found] == [0, 2, 4, 6, 8, 10]
        queue.close()

    asyncio.run(main())


def test_a_queue_has_a_backlog_while_more_than_one_item_waits_or_runs() -> None:
    async def main() -> None:
        machine = _Machine()
        queue = BatchQueue(machine, length=10)
        first = asyncio.create_task(queue.submit(1))
        await asyncio.sleep(0.02)
        assert not queue.has_backlog
        second = asyncio.create_task(queue.submit(2))
        await asyncio.sleep(0.02)
        assert queue.has_backlog
        machine.go.set()
        await asyncio.gather(first, second)
        assert not queue.has_backlog
        queue.close()

    asyncio.run(main())


def test_high_priority_goes_before_low_priority() -> None:
    semaphore, order = PrioritySemaphore(), []

    def take(name: str, *, high_priority: bool) -> None:
        with semaphore.acquire(1, high_priority=high_priority):
            order.append(name)

    with semaphore.acquire(1, high_priority=True):
        threads = [
            threading.Thread(target=take, args=(name,), kwargs={"high_priority": name == "high"})
            for name in ("low", "high")
        ]
        low, high = threads
        high.start()
        until = time.monotonic() + 60
        while not semaphore._high_waiting:
            assert time.monotonic() < until
            time.sleep(0.01)
        low.start()  # late, as it goes first once it has waited too long
    for thread in threads:
        thread.join()
    assert order == ["high", "low"]


def test_acquiring_all_permits_waits_until_none_is_held() -> None:
    semaphore, entered = PrioritySemaphore(2), threading.Event()

    def take_all() -> None:
        with semaphore.acquire(2, high_priority=True):
            entered.set()

    thread = threading.Thread(target=take_all)
    with semaphore.acquire(1, high_priority=True):
        with semaphore.acquire(1, high_priority=True):
            thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(60)
    thread.join()


def test_low_priority_gets_its_permits_under_constant_high_priority_load() -> None:
    semaphore, done = PrioritySemaphore(2), threading.Event()

    def high() -> None:
        while not done.is_set():
            with semaphore.acquire(1, high_priority=True):
                time.sleep(0.01)

    threads = [threading.Thread(target=high) for _ in range(4)]
    for thread in threads:
        thread.start()
    patient = threading.Thread(
        target=lambda: semaphore.acquire(2, high_priority=False).__enter__(), daemon=True
    )
    patient.start()
    patient.join(60)
    assert not patient.is_alive()
    with semaphore._changed:
        semaphore._free += 2
        semaphore._changed.notify_all()
    done.set()
    for thread in threads:
        thread.join()

"""Tests the queue before the network, and the turns at it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sat2map.serve.batching import Cancelled, Gate, Lane, Work
from sat2map.serve.http_errors import BusyError


class _Machine:
    """Doubles numbers, batch by batch, when it is allowed to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, batch: list[Work[int, int]]) -> list[int]:
        self.go.wait(5)
        self.batches.append([work.source for work in batch])
        if any(work.source < 0 for work in batch):
            raise ValueError("negative")
        return [2 * work.source for work in batch]


def test_what_is_queued_and_alike_runs_together_up_to_the_limit() -> None:
    async def main() -> None:
        machine = _Machine()
        lane = Lane(machine, length=10, batch=3, alike=lambda number: number >= 100)
        tasks = [asyncio.create_task(lane.submit(number)) for number in (1, 2, 100, 3, 4, 101)]
        await asyncio.sleep(0.05)
        machine.go.set()
        assert [(await task)[0] for task in tasks] == [2, 4, 200, 6, 8, 202]
        assert machine.batches == [[1, 2, 3], [100, 101], [4]]
        lane.close()

    asyncio.run(main())


def test_one_alone_does_not_wait_for_others() -> None:
    async def main() -> None:
        machine = _Machine()
        machine.go.set()
        lane = Lane(machine, length=10, batch=8)
        assert (await lane.submit(5))[0] == 10
        assert machine.batches == [[5]]
        lane.close()

    asyncio.run(main())


def test_a_full_queue_says_busy_and_when_to_come_again() -> None:
    async def main() -> None:
        machine = _Machine()
        lane = Lane(machine, length=2)
        first = asyncio.create_task(lane.submit(1))
        await asyncio.sleep(0.05)  # it runs now, and is out of the queue
        waiting = [asyncio.create_task(lane.submit(number)) for number in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as raised:
            await lane.submit(4)
        assert raised.value.retry_after >= 1
        machine.go.set()
        assert [(await task)[0] for task in (first, *waiting)] == [2, 4, 6]
        lane.close()

    asyncio.run(main())


def test_who_leaves_the_queue_is_not_worked_for() -> None:
    async def main() -> None:
        machine = _Machine()
        lane = Lane(machine, length=5)
        first, second, third = (asyncio.create_task(lane.submit(number)) for number in (1, 2, 3))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0.01)
        machine.go.set()
        assert ((await first)[0], (await third)[0]) == (2, 6)
        assert machine.batches == [[1], [3]]
        lane.close()

    asyncio.run(main())


def test_one_bad_image_spoils_nobody_elses() -> None:
    async def main() -> None:
        machine = _Machine()
        lane = Lane(machine, length=5, batch=3)
        tasks = [asyncio.create_task(lane.submit(number)) for number in (1, -1, 3)]
        await asyncio.sleep(0.02)
        machine.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert (results[0][0], results[2][0]) == (2, 6)  # type: ignore[index]
        assert isinstance(results[1], ValueError)
        lane.close()

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

        lane: Lane[int, int] = Lane(tiles, length=5)
        task = asyncio.create_task(lane.submit(1))
        await asyncio.sleep(0.05)
        task.cancel()
        assert await asyncio.get_running_loop().run_in_executor(None, ended.wait, 5)
        lane.close()

    asyncio.run(main())


def test_as_many_batches_run_at_the_same_time_as_there_are_threads() -> None:
    async def main() -> None:
        together = threading.Barrier(3, timeout=5)  # broken where fewer meet at it

        def run(batch: list[Work[int, int]]) -> list[int]:
            together.wait()
            return [2 * work.source for work in batch]

        lane = Lane(run, length=10, threads=3)
        found = await asyncio.gather(*(lane.submit(number) for number in range(6)))
        assert [double for double, _ in found] == [0, 2, 4, 6, 8, 10]
        lane.close()

    asyncio.run(main())


def test_a_lane_is_crowded_while_more_than_one_waits_or_runs() -> None:
    async def main() -> None:
        machine = _Machine()
        lane = Lane(machine, length=10)
        first = asyncio.create_task(lane.submit(1))
        await asyncio.sleep(0.02)
        assert not lane.crowded
        second = asyncio.create_task(lane.submit(2))
        await asyncio.sleep(0.02)
        assert lane.crowded
        machine.go.set()
        await asyncio.gather(first, second)
        assert not lane.crowded
        lane.close()

    asyncio.run(main())


def test_the_urgent_go_before_the_patient() -> None:
    gate, order = Gate(), []

    def take(name: str, *, urgent: bool) -> None:
        with gate.turn(1, urgent=urgent):
            order.append(name)

    with gate.turn(1, urgent=True):
        threads = [
            threading.Thread(target=take, args=(name,), kwargs={"urgent": name == "urgent"})
            for name in ("patient", "urgent")
        ]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert order == ["urgent", "patient"]


def test_who_needs_all_places_waits_until_nobody_holds_one() -> None:
    gate, entered = Gate(2), threading.Event()

    def take_all() -> None:
        with gate.turn(2, urgent=True):
            entered.set()

    thread = threading.Thread(target=take_all)
    with gate.turn(1, urgent=True):
        with gate.turn(1, urgent=True):
            thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(5)
    thread.join()


def test_the_patient_get_a_turn_though_the_urgent_never_end() -> None:
    gate, done = Gate(2), threading.Event()

    def urgent() -> None:
        while not done.is_set():
            with gate.turn(1, urgent=True):
                time.sleep(0.01)

    threads = [threading.Thread(target=urgent) for _ in range(4)]
    for thread in threads:
        thread.start()
    patient = threading.Thread(target=lambda: gate.turn(2, urgent=False).__enter__(), daemon=True)
    patient.start()
    patient.join(10)
    assert not patient.is_alive()
    with gate._changed:
        gate._free += 2
        gate._changed.notify_all()
    done.set()
    for thread in threads:
        thread.join()

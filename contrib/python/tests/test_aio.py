"""Watches followed on asyncio, against the real daemon."""

import asyncio
import threading

from device import PATIENCE, WithDevices

import kinfolk
from kinfolk.aio import Following, follow


class Followed(WithDevices):
    def test_bundles_come_while_other_tasks_run_and_over_a_restart(self) -> None:
        device = self.first()
        client = self.client(device)

        async def write(numbers: range) -> None:
            for number in numbers:
                await asyncio.to_thread(client.records.put, "c", f"{number}", {"n": number})

        async def main() -> list[str]:
            keys: list[str] = []
            async with follow(client.records.watch, after=0, collections=["c"], patience=PATIENCE) as bundles:
                writing = asyncio.create_task(write(range(5)))
                async for bundle in bundles:
                    keys += [change.key for change in bundle.changes if isinstance(change, kinfolk.RecordChange)]
                    if len(keys) == 5:
                        await writing
                        await asyncio.to_thread(device.end)
                        await asyncio.to_thread(device.start)
                        writing = asyncio.create_task(write(range(5, 8)))
                    if len(keys) == 8:
                        await writing
                        return keys
            return keys

        self.assertEqual(asyncio.run(main()), [f"{number}" for number in range(8)])

    def test_a_wait_that_is_given_up_loses_nothing(self) -> None:
        client = self.client(self.first())

        async def main() -> object:
            async with follow(client.records.watch, collections=["c"]) as bundles:
                waiting = asyncio.create_task(anext(bundles))
                # One turn of the loop: the wait has begun.
                await asyncio.sleep(0)
                waiting.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await waiting
                await asyncio.to_thread(client.records.put, "c", "k", {"n": 1})
                bundle = await anext(bundles)
            (change,) = bundle.changes
            assert isinstance(change, kinfolk.RecordChange)
            return change.key

        self.assertEqual(asyncio.run(main()), "k")

    def test_closing_ends_a_wait_and_leaves_no_thread(self) -> None:
        client = self.client(self.first())
        before = {thread.name for thread in threading.enumerate()}

        async def main() -> None:
            following = follow(client.conversations.watch, after=0)
            async with following as bundles:
                waiting = asyncio.create_task(anext(bundles))
                await asyncio.sleep(0)
                await following.aclose()
                with self.assertRaises(StopAsyncIteration):
                    await waiting

        asyncio.run(main())
        for thread in threading.enumerate():
            if thread.name not in before and thread.name.startswith("kinfolk-watch"):
                thread.join(PATIENCE)
                self.assertFalse(thread.is_alive())

    def test_an_error_comes_out_and_so_does_what_cannot_be_opened(self) -> None:
        client = self.client(self.first())

        async def beyond() -> None:
            async with follow(client.records.watch, after=1 << 40) as bundles:
                await anext(bundles)

        async def unopened() -> None:
            await anext(follow(client.records.watch))

        def fail() -> kinfolk.Watch:
            raise kinfolk.Unreachable("no")

        async def failing() -> None:
            async with Following(fail):
                pass

        with self.assertRaises(kinfolk.ResyncRequired):
            asyncio.run(beyond())
        with self.assertRaises(RuntimeError):
            asyncio.run(unopened())
        with self.assertRaises(kinfolk.Unreachable):
            asyncio.run(failing())

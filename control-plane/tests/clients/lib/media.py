"""Sound and pictures with a known content, and looking for that content in what was decoded."""

import asyncio
import contextlib
import time

import numpy as np
from livekit import rtc

from until import until

RATE = 48_000
AMPLITUDE = 8_000


async def publish_tone(member, hertz=440):
    """Publishes a sine of `hertz` as the microphone, for as long as the participant stays."""
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    publication = await member.local.publish_track(track, options)

    async def play():
        samples, position = RATE // 50, 0
        while True:
            at = np.arange(position, position + samples)
            wave = (AMPLITUDE * np.sin(2 * np.pi * hertz * at / RATE)).astype(np.int16)
            await source.capture_frame(rtc.AudioFrame(wave.tobytes(), RATE, 1, samples))
            position += samples

    member.run(play())
    return publication


async def publish_picture(member, luma=180, width=960, height=540, **options):
    """Publishes pictures of one shade as the camera, with a frame counter's worth of movement."""
    source = rtc.VideoSource(width, height)
    track = rtc.LocalVideoTrack.create_video_track("picture", source)
    publish = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA, simulcast=True, **options
    )
    publication = await member.local.publish_track(track, publish)

    async def show():
        frame = bytearray([luma]) * (width * height) + bytearray([128]) * (width * height // 2)
        count = 0
        while True:
            # A bar that walks along the upper edge, so that no two frames are the same.
            frame[: width * 8] = bytes([luma]) * (width * 8)
            at = count * 8 % (width - 64)
            for row in range(8):
                frame[row * width + at : row * width + at + 64] = bytes([16]) * 64
            source.capture_frame(
                rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, bytes(frame))
            )
            count += 1
            await asyncio.sleep(1 / 20)

    member.run(show())
    return publication


def loudest_frequency(samples):
    """(hertz, share of all energy at that frequency and its neighbours)."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    peak = int(spectrum[1:].argmax()) + 1
    share = spectrum[peak - 2 : peak + 3].sum() / max(spectrum.sum(), 1e-9)
    return peak * RATE / len(samples), share


@contextlib.asynccontextmanager
async def listening(track, on_samples):
    """Plays a track to `on_samples` for as long as the context lasts."""
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)

    async def listen():
        async for event in stream:
            on_samples(np.frombuffer(event.frame.data, dtype=np.int16))

    task = asyncio.create_task(listen())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()


async def hears_tone(member, identity, hertz=440):
    """Waits until half a second of somebody's decoded sound is that tone and little else."""
    window = np.zeros(RATE // 2)

    def on_samples(samples):
        nonlocal window
        window = np.concatenate([window, samples])[-len(window) :]

    def is_tone():
        loud = np.sqrt(np.mean(window**2)) > AMPLITUDE / 8
        found, share = loudest_frequency(window)
        return loud and abs(found - hertz) < 10 and share > 0.8

    async with listening(await member.audio(identity), on_samples):
        await until(f"{member.identity} hears {hertz} Hz of {identity}", is_tone)


async def hears_nothing(member, identity, quiet=1.0):
    """Waits until nothing of somebody was heard for `quiet` seconds."""
    since = time.monotonic()

    def on_samples(samples):
        nonlocal since
        if np.abs(samples).max(initial=0) > AMPLITUDE / 100:
            since = time.monotonic()

    publication = member.publication(identity, rtc.TrackKind.KIND_AUDIO)
    if publication.track is None:
        return
    async with listening(publication.track, on_samples):
        what = f"{member.identity} hears nothing of {identity}"
        await until(what, lambda: time.monotonic() - since > quiet)


async def sees_picture(member, identity, luma=180, width=None, frames=10):
    """Waits for `frames` decoded pictures of that shade, and of that width if one is given."""
    stream = rtc.VideoStream(await member.video(identity), format=rtc.VideoBufferType.I420)
    seen, sizes = 0, set()

    async def look():
        nonlocal seen
        async for event in stream:
            frame = event.frame
            sizes.add(frame.width)
            if width is None or frame.width == width:
                plane = np.frombuffer(frame.data, dtype=np.uint8)[: frame.width * frame.height]
                # The lower half: the walking bar is above.
                seen += abs(plane[len(plane) // 2 :].mean() - luma) < 8

    task = asyncio.create_task(look())
    try:
        what = f"{member.identity} sees {frames} pictures of {identity}, {width or 'any'} wide"
        await until(what, lambda: seen >= frames, describe=lambda: f"widths seen: {sorted(sizes)}")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()

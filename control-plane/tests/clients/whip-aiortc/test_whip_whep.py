"""A second WebRTC stack publishes and plays without any SDK."""

import numpy as np
from pictures import RATE, Box, Tone, sees, shows_box

import env
from bot import play, publish
from media import hears_tone, publish_picture, sees_picture
from until import until


async def test_what_is_published_by_whip_is_played_by_whep(http, opened, room_name):
    ann = env.mint_token(room_name, "ann")
    opened(await publish(http, ann, Box(), Tone()))
    session, video = await play(http, room_name, "ann", env.mint_token(room_name, "viewer"))
    opened(session)
    await sees(video, shows_box)


async def test_a_participant_of_an_sdk_sees_and_hears_who_publishes_by_whip(
    http, opened, join, room_name
):
    bob = await join("bob")
    opened(await publish(http, env.mint_token(room_name, "ann"), Box(), Tone()))
    await bob.knows("ann")
    await hears_tone(bob, "ann")
    # Its upper half is darker than its middle; the lower half is what is looked at.
    lower = np.mean([200 if 60 <= row < 180 else 60 for row in range(120, 240)]) * 0.5 + 30
    await sees_picture(bob, "ann", luma=lower, width=320)


async def test_who_plays_by_whep_sees_a_participant_of_an_sdk(http, opened, join, room_name):
    ann = await join("ann")
    await publish_picture(ann, luma=180)
    session, video = await play(http, room_name, "ann", env.mint_token(room_name, "viewer"))
    opened(session)
    await sees(video, lambda grey: abs(grey[len(grey) // 2 :].mean() - 180) < 12)
    assert set(ann.room.remote_participants) == set(), "players are not shown to others"


async def test_sound_alone_is_played(http, opened, room_name):
    opened(await publish(http, env.mint_token(room_name, "ann"), Tone()))
    token = env.mint_token(room_name, "viewer")
    session, audio = await play(http, room_name, "ann", token, kind="audio")
    opened(session)
    heard = np.zeros(0)

    async def is_tone():
        nonlocal heard
        frame = await audio.recv()
        samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
        heard = np.concatenate([heard, samples])[-RATE // 2 :]
        spectrum = np.abs(np.fft.rfft(heard))
        peak = spectrum.argmax() * RATE / len(heard)
        return len(heard) == RATE // 2 and abs(peak - 440) < 10

    await until("440 Hz", is_tone)


async def test_the_next_publisher_of_that_name_is_played_in_the_same_session(
    http, opened, room_name
):
    first = await publish(http, env.mint_token(room_name, "ann"), Box())
    session, video = await play(http, room_name, "ann", env.mint_token(room_name, "viewer"))
    opened(session)
    await sees(video, shows_box)
    await first.close()
    opened(await publish(http, env.mint_token(room_name, "ann"), Box()))
    await sees(video, shows_box, frames=30)

"""FFmpeg 8 publishes by WHIP. Its offer has neither candidates nor feedback, wants us to open DTLS, and
its connectivity checks have no PRIORITY."""

import asyncio

import pytest

import env
from bot import play
from ffmpeg import FFMPEG
from member import Member
from pictures import sees
from until import until

# A grey picture with a bright square in the middle, and a tone.
PICTURE = (
    "color=c=0x3c3c3c:size=320x240:rate=25,"
    "drawbox=x=80:y=60:w=160:h=120:color=0xc8c8c8:t=fill,format=yuv420p"
)
ENCODE = """
    -c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -bf 0 -g 50 -b:v 800k
    -c:a libopus -ar 48000 -ac 2 -f whip
""".split()


@pytest.fixture
async def encoder(room_name):
    token = env.mint_token(room_name, "encoder")
    process = await asyncio.create_subprocess_exec(
        FFMPEG, "-hide_banner", "-nostdin", "-re", "-f", "lavfi", "-i", PICTURE,
        "-re", "-f", "lavfi", "-i", "sine=frequency=440",
        *ENCODE, "-authorization", token, f"{env.URL}/whip",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    said = asyncio.create_task(process.stderr.read())
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()
    print((await said).decode()[-3000:])


def shows_square(grey):
    """Also after it was encoded in the range of a television."""
    inside, outside = grey[90:150, 110:210].mean(), grey[:40].mean()
    return abs(inside - 200) < 25 and abs(outside - 60) < 25


async def test_an_encoder_is_seen_and_heard_until_it_stops(encoder, http, opened, join, room_name):
    bob: Member = await join("bob")
    session, video = await play(http, room_name, "encoder", env.mint_token(room_name, "viewer"))
    opened(session)
    await sees(video, shows_square)
    await bob.knows("encoder")
    assert encoder.returncode is None
    # It says good-bye with a DELETE.
    encoder.send_signal(2)
    await asyncio.wait_for(encoder.wait(), 15)

    def is_gone():
        return "encoder" not in bob.room.remote_participants

    await until("the encoder is gone", is_gone, deadline=10)

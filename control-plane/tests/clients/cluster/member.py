"""A participant of the Python SDK for the tests in Node: publishes pictures, and prints, twice a second, a line of JSON
with how many pictures of each of the others it has decoded. Arguments: identity, token. PLENUM_URL says where."""

import asyncio
import collections
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from livekit import rtc  # noqa: E402

import media  # noqa: E402
from member import Member  # noqa: E402


async def main(identity, token):
    member = Member(identity)
    decoded = collections.Counter()

    async def look(track, who):
        async for _ in rtc.VideoStream(track):
            decoded[who] += 1

    def on_track(track, _, participant):
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            member.run(look(track, participant.identity))

    member.room.on("track_subscribed", on_track)
    await member.connect(token)
    await media.publish_picture(member, width=320, height=180)
    while True:
        news = {"decoded": decoded, "disconnected": len(member.heard("disconnected"))}
        print(json.dumps(news), flush=True)
        await asyncio.sleep(0.5)


asyncio.run(main(*sys.argv[1:]))

from livekit import rtc
from media import *
from until import until
import asyncio, pytest
@pytest.mark.parametrize("single",[False,True])
async def test_resub(join, single):
    alice, bob = await join("alice"), await join("bob", rtc.RoomOptions(single_peer_connection=single))
    await publish_tone(alice)
    await hears_tone(bob, "alice")
    p = bob.publication("alice", rtc.TrackKind.KIND_AUDIO)
    p.set_subscribed(False)
    await bob.told("track_unsubscribed")
    await asyncio.sleep(1)
    p.set_subscribed(True)
    try:
        await hears_tone(bob, "alice")
    finally:
        print(bob.events)

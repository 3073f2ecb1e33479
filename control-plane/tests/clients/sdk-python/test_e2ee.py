"""End-to-end encryption by the Python SDK: what passes through stays intact."""

from livekit import rtc

from media import hears_tone, publish_picture, publish_tone, sees_picture


def sealed(key):
    return rtc.RoomOptions(
        encryption=rtc.E2EEOptions(key_provider_options=rtc.KeyProviderOptions(shared_key=key))
    )


async def test_whoever_has_the_key_sees_and_hears(join):
    alice = await join("alice", sealed(b"correct horse"))
    bob = await join("bob", sealed(b"correct horse"))
    await publish_tone(alice)
    await publish_picture(alice, width=640, height=360)
    await hears_tone(bob, "alice")
    await sees_picture(bob, "alice")

"""Who is there and what they say of themselves, as the Python SDK tells it."""

import pytest
from livekit import rtc

from media import publish_tone
from until import until


async def test_participants_see_one_another_come_and_go(join):
    alice, bob = await join("alice"), await join("bob")
    await alice.told("participant_connected", lambda p: p.identity == "bob")
    await bob.knows("alice")
    await bob.leave()
    await alice.told("participant_disconnected", lambda p: p.identity == "bob")
    assert not alice.room.remote_participants


async def test_a_changed_name_metadata_or_attribute_is_seen(join):
    alice, bob = await join("alice"), await join("bob")
    await bob.knows("alice")
    await alice.local.set_name("Alice B.")
    await alice.local.set_metadata("host")
    await alice.local.set_attributes({"hand": "up", "desk": "7"})
    await alice.local.set_attributes({"desk": ""})
    seen = bob.room.remote_participants["alice"]
    await until("bob sees the name", lambda: seen.name == "Alice B.")
    await until("bob sees the metadata", lambda: seen.metadata == "host")
    await until("bob sees the attributes", lambda: seen.attributes == {"hand": "up"})


async def test_who_speaks_is_told(join):
    alice, bob = await join("alice"), await join("bob")
    await publish_tone(alice)
    await bob.told(
        "active_speakers_changed", lambda speakers: [s.identity for s in speakers] == ["alice"]
    )


async def test_a_second_join_with_one_identity_ends_the_first(join):
    first = await join("alice")
    await join("alice")
    (reason,) = await first.told("disconnected")
    assert reason == rtc.DisconnectReason.DUPLICATE_IDENTITY


async def test_a_token_without_the_right_to_join_is_refused(join):
    with pytest.raises(rtc.ConnectError):
        await join("alice", room_join=False)

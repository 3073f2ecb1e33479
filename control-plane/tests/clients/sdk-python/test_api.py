"""An application's backend with livekit-api (Twirp), seen from the participants it acts on."""

import pytest
from livekit import api, rtc

import env
from media import hears_nothing, hears_tone, publish_tone
from until import until


async def test_rooms_and_participants_are_listed(join, backend, room_name):
    alice = await join("alice")
    await publish_tone(alice)
    rooms = await backend.room.list_rooms(api.ListRoomsRequest(names=[room_name]))
    assert [r.name for r in rooms.rooms] == [room_name]

    async def listed():
        request = api.ListParticipantsRequest(room=room_name)
        (participant,) = (await backend.room.list_participants(request)).participants
        return participant.identity == "alice" and len(participant.tracks) == 1

    await until("the list shows alice and her track", listed)


async def test_a_room_is_created_and_ended(join, backend, room_name):
    request = api.CreateRoomRequest(
        name=room_name, metadata="topic: cats", empty_timeout=60, max_participants=1
    )
    created = await backend.room.create_room(request)
    assert (created.name, created.metadata, created.max_participants) == (
        room_name,
        "topic: cats",
        1,
    )
    alice = await join("alice")
    assert alice.room.metadata == "topic: cats"
    with pytest.raises(rtc.ConnectError):
        await join("one too many")
    await backend.room.delete_room(api.DeleteRoomRequest(room=room_name))
    (reason,) = await alice.told("disconnected")
    assert reason == rtc.DisconnectReason.ROOM_DELETED


async def test_a_muted_track_is_muted_for_everybody(join, backend, room_name):
    alice, bob = await join("alice"), await join("bob")
    publication = await publish_tone(alice)
    await hears_tone(bob, "alice")
    request = api.MuteRoomTrackRequest(
        room=room_name, identity="alice", track_sid=publication.sid, muted=True
    )
    await backend.room.mute_published_track(request)
    await bob.told("track_muted", lambda p, _: p.identity == "alice")
    await alice.told("track_muted", lambda p, _: p.identity == "alice")
    await hears_nothing(bob, "alice")


async def test_a_removed_participant_is_told_why(join, backend, room_name):
    alice, bob = await join("alice"), await join("bob")
    await bob.knows("alice")
    request = api.RoomParticipantIdentity(room=room_name, identity="alice")
    await backend.room.remove_participant(request)
    (reason,) = await alice.told("disconnected")
    assert reason == rtc.DisconnectReason.PARTICIPANT_REMOVED
    await bob.told("participant_disconnected", lambda p: p.identity == "alice")


async def test_changes_by_the_backend_reach_the_room(join, backend, room_name):
    alice, bob = await join("alice"), await join("bob")
    await bob.knows("alice")
    await backend.room.update_participant(
        api.UpdateParticipantRequest(
            room=room_name,
            identity="alice",
            name="Alice B.",
            metadata="host",
            attributes={"hand": "up"},
        )
    )
    seen = bob.room.remote_participants["alice"]
    await until(
        "bob sees the changes",
        lambda: (seen.name, seen.metadata, seen.attributes) == ("Alice B.", "host", {"hand": "up"}),
    )
    await backend.room.update_room_metadata(
        api.UpdateRoomMetadataRequest(room=room_name, metadata="topic: dogs")
    )
    await alice.told("room_metadata_changed", lambda _, new: new == "topic: dogs")


async def test_a_permission_taken_away_ends_publishing(join, backend, room_name):
    alice, bob = await join("alice"), await join("bob")
    await publish_tone(alice)
    await hears_tone(bob, "alice")
    permission = api.ParticipantPermission(
        can_subscribe=True, can_publish=False, can_publish_data=True
    )
    await backend.room.update_participant(
        api.UpdateParticipantRequest(room=room_name, identity="alice", permission=permission)
    )
    await bob.told("track_unpublished")


async def test_data_of_the_backend_reaches_those_it_is_for(join, backend, room_name):
    alice, bob = await join("alice"), await join("bob")
    for data, to in ((b"for bob", ["bob"]), (b"for all", [])):
        await backend.room.send_data(
            api.SendDataRequest(
                room=room_name,
                data=data,
                topic="news",
                destination_identities=to,
                kind=api.DataPacket.Kind.RELIABLE,
            )
        )

    def news(member):
        return [args[0].data for args in member.heard("data_received")]

    await until("bob has both", lambda: news(bob) == [b"for bob", b"for all"])
    await until("alice has one", lambda: news(alice) == [b"for all"])


async def test_a_subscription_is_ended_by_the_backend(join, backend, room_name):
    alice, bob = await join("alice"), await join("bob")
    publication = await publish_tone(alice)
    await hears_tone(bob, "alice")
    await backend.room.update_subscriptions(
        api.UpdateSubscriptionsRequest(
            room=room_name, identity="bob", track_sids=[publication.sid], subscribe=False
        )
    )
    await hears_nothing(bob, "alice")


async def test_errors_say_what_is_missing(backend, room_name):
    with pytest.raises(api.TwirpError) as missing:
        request = api.RoomParticipantIdentity(room=room_name, identity="nobody")
        await backend.room.get_participant(request)
    assert missing.value.code == "not_found"
    async with api.LiveKitAPI(
        env.URL, env.API_KEY, "not the secret of this key, far from it"
    ) as stranger:
        with pytest.raises(api.TwirpError) as refused:
            await stranger.room.list_rooms(api.ListRoomsRequest())
    assert refused.value.status == 401

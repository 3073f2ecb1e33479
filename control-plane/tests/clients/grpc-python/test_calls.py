"""The gRPC API, seen from the participants it acts on."""

import pytest
from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from media import hears_nothing, hears_tone, publish_picture, publish_tone
from member import Member
from until import until


async def test_a_room_is_created_listed_changed_and_ended(
    stub, api, model, allowed, room_name, join
):
    rooms, auth = stub("Room"), allowed(roomCreate=True, roomList=True, roomAdmin=True)
    config = model.RoomConfig(name=room_name, metadata="cats", max_participants=1)
    created = await rooms.CreateRoom(api.CreateRoomRequest(config=config), metadata=auth)
    assert created.id.startswith("RM_")
    again = await rooms.CreateRoom(api.CreateRoomRequest(config=config), metadata=auth)
    assert again.id == created.id

    alice = await join("alice")
    assert alice.room.metadata == "cats"
    with pytest.raises(rtc.ConnectError):
        await join("one too many")
    listed = await rooms.ListRooms(api.ListRoomsRequest(names=[room_name]), metadata=auth)
    assert [(r.id, r.num_participants) for r in listed.rooms] == [(created.id, 1)]

    await rooms.UpdateRoom(api.UpdateRoomRequest(room=room_name, metadata="dogs"), metadata=auth)
    await alice.told("room_metadata_changed", lambda _, new: new == "dogs")
    await rooms.DeleteRoom(api.DeleteRoomRequest(room=room_name), metadata=auth)
    (reason,) = await alice.told("disconnected")
    assert reason == rtc.DisconnectReason.ROOM_DELETED


async def test_a_minted_token_admits_with_what_was_asked_for(
    stub, api, model, allowed, room_name, join
):
    auth = allowed(roomJoin=True, tokenCreate=True)
    request = api.CreateTokenRequest(
        identity="guest",
        name="A guest",
        room=room_name,
        attributes={"desk": "7"},
        permissions=model.Permissions(can_subscribe=True),
    )
    answer = await stub("Token").CreateToken(request, metadata=auth)
    host = await join("host")
    guest = Member("guest")
    try:
        await guest.connect(answer.token)
        await host.knows("guest")
        seen = host.room.remote_participants["guest"]
        assert (seen.name, seen.attributes) == ("A guest", {"desk": "7"})
        await publish_tone(host)
        await hears_tone(guest, "host")
        with pytest.raises(PublishTrackError):
            await publish_tone(guest)
    finally:
        await guest.leave()


async def test_participants_are_listed_changed_muted_and_removed(
    stub, api, allowed, room_name, join
):
    people, auth = stub("Participant"), allowed(roomAdmin=True)
    alice, bob = await join("alice"), await join("bob")
    publication = await publish_tone(alice)
    await hears_tone(bob, "alice")

    listed = await people.ListParticipants(
        api.ListParticipantsRequest(room=room_name), metadata=auth
    )
    tracks = {p.identity: [t.id for t in p.tracks] for p in listed.participants}
    assert tracks == {"alice": [publication.sid], "bob": []}

    request = api.UpdateParticipantRequest(room=room_name, identity="alice", name="Alice B.")
    await people.UpdateParticipant(request, metadata=auth)
    await bob.told(
        "participant_name_changed", lambda p, _, new: (p.identity, new) == ("alice", "Alice B.")
    )

    request = api.MuteTrackRequest(
        room=room_name, identity="alice", track_id=publication.sid, muted=True
    )
    await people.MuteTrack(request, metadata=auth)
    await alice.told("track_muted")
    await hears_nothing(bob, "alice")

    request = api.RemoveParticipantRequest(room=room_name, identity="alice")
    await people.RemoveParticipant(request, metadata=auth)
    (reason,) = await alice.told("disconnected")
    assert reason == rtc.DisconnectReason.PARTICIPANT_REMOVED


async def test_what_a_participant_sees_is_explained(stub, api, model, allowed, room_name, join):
    people, auth = stub("Participant"), allowed(roomAdmin=True)
    alice, bob = await join("alice"), await join("bob")
    publication = await publish_picture(alice)
    request = api.ExplainSubscriptionsRequest(room=room_name, identity="bob")

    async def explained():
        answer = await people.ExplainSubscriptions(request, metadata=auth)
        return [r for r in answer.subscriptions if r.HasField("flowing")]

    (report,) = await until("a picture flows to bob", explained)
    assert (report.track_id, report.identity) == (publication.sid, "alice")
    assert report.asked.step.width >= report.flowing.width > 0
    assert report.history[0].to.width > 0 and not report.history[0].HasField("from")

    request_mute = api.MuteTrackRequest(
        room=room_name, identity="alice", track_id=publication.sid, muted=True
    )
    await people.MuteTrack(request_mute, metadata=auth)
    answer = await people.ExplainSubscriptions(request, metadata=auth)
    (finding,) = answer.subscriptions[0].findings
    assert (finding.reason, finding.side) == (api.PUBLISHER_MUTED, api.SENDER)


async def test_data_of_the_backend_reaches_those_it_is_for(
    stub, api, model, allowed, room_name, join
):
    alice, bob = await join("alice"), await join("bob")
    for payload, to in ((b"for bob", ["bob"]), (b"for all", [])):
        data = model.UserData(
            payload=payload, topic="news", reliable=True, destination_identities=to
        )
        request = api.SendDataRequest(room=room_name, data=data)
        await stub("Participant").SendData(request, metadata=allowed(roomAdmin=True))

    def news(member):
        return [args[0].data for args in member.heard("data_received")]

    await until("bob has both", lambda: news(bob) == [b"for bob", b"for all"])
    await until("alice has one", lambda: news(alice) == [b"for all"])

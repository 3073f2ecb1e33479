"""The event stream: what happens in a room, in order, and again from a given place on."""

import asyncio

import grpc

from media import publish_tone


async def collect(stream, last):
    """Kinds and identities of events up to and with the kind `last`; the sequence numbers with them."""
    seen = []
    async for event in stream:
        kind = event.WhichOneof("kind")
        body = getattr(event, kind)
        identity = getattr(getattr(body, "participant", body), "identity", "")
        seen.append((event.sequence, kind, identity))
        if kind == last:
            return seen


async def watch(stub, api, auth, room, after=0):
    request = api.WatchEventsRequest(room=room, after_sequence=after)
    stream = stub("Event").WatchEvents(request, metadata=auth)
    await stream.initial_metadata()
    return stream


async def test_a_stay_is_told_in_order_and_can_be_read_again(stub, api, allowed, room_name, join):
    auth = allowed(roomAdmin=True)
    stream = await watch(stub, api, auth, room_name)
    alice = await join("alice")
    publication = await publish_tone(alice)
    publication.track.mute()
    told = asyncio.create_task(collect(stream, "participant_left"))
    await alice.local.unpublish_track(publication.sid)
    await alice.leave()
    events = await asyncio.wait_for(told, 30)

    order = ["room_started", "participant_joined", "track_published", "track_muted", "track_unpublished"]
    kinds = [kind for _, kind, _ in events if kind in order]
    assert kinds == order
    sequences = [sequence for sequence, _, _ in events]
    assert sequences == sorted(set(sequences))

    middle = next(sequence for sequence, kind, _ in events if kind == "track_published")
    again = await watch(stub, api, auth, room_name, after=middle)
    rest = await asyncio.wait_for(collect(again, "participant_left"), 30)
    assert rest == [event for event in events if event[0] > middle]


async def test_a_place_that_is_not_there_is_out_of_range(stub, api, allowed, room_name):
    request = api.WatchEventsRequest(room=room_name, after_sequence=2**62)
    try:
        async for _ in stub("Event").WatchEvents(request, metadata=allowed(roomAdmin=True)):
            raise AssertionError("there is no event to be had")
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE
    else:
        raise AssertionError("the stream must end with an error")

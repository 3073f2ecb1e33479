"""The event stream: what happens in a room, in order, and again from a given place on."""

import asyncio

import grpc

from media import publish_tone
from until import until


class Watch:
    """An open event stream, and what came on it so far: (sequence, kind, identity)."""

    def __init__(self, stub, api, auth, room, after=0):
        request = api.WatchEventsRequest(room=room, after_sequence=after)
        self.stream = stub("Event").WatchEvents(request, metadata=auth)
        self.seen = []
        self.reading = None

    async def start(self):
        await self.stream.initial_metadata()  # Here once the stream stands.
        self.reading = asyncio.create_task(self.read())
        return self

    async def read(self):
        async for event in self.stream:
            kind = event.WhichOneof("kind")
            body = getattr(event, kind)
            who = getattr(body, "participant", body)
            self.seen.append((event.sequence, kind, getattr(who, "identity", "")))

    async def until(self, kind):
        def seen():
            return [event for event in self.seen if event[1] == kind]

        return (await until(f"the event {kind}", seen, describe=lambda: self.seen))[0]

    async def end(self):
        self.stream.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)


async def test_a_stay_is_told_in_order_and_can_be_read_again(stub, api, allowed, room_name, join):
    watch = await Watch(stub, api, allowed(roomAdmin=True), room_name).start()
    alice = await join("alice")
    publication = await publish_tone(alice)
    published, _, _ = await watch.until("track_published")
    publication.track.mute()
    await watch.until("track_muted")
    publication.track.unmute()
    await watch.until("track_unmuted")
    await alice.leave()
    await watch.until("participant_left")
    await watch.end()

    order = [
        "room_started",
        "participant_joined",
        "track_published",
        "track_muted",
        "track_unmuted",
    ]
    kinds = [kind for _, kind, _ in watch.seen if kind in order]
    assert kinds == order
    assert {who for _, kind, who in watch.seen if kind.startswith("track_")} == {"alice"}
    sequences = [sequence for sequence, _, _ in watch.seen]
    assert sequences == sorted(set(sequences))

    again = await Watch(stub, api, allowed(roomAdmin=True), room_name, after=published).start()
    await again.until("participant_left")
    await again.end()
    assert again.seen == [event for event in watch.seen if event[0] > published]


async def test_a_place_that_is_not_there_is_out_of_range(stub, api, allowed, room_name):
    request = api.WatchEventsRequest(room=room_name, after_sequence=2**62)
    try:
        async for _ in stub("Event").WatchEvents(request, metadata=allowed(roomAdmin=True)):
            raise AssertionError("there is no event to be had")
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE
    else:
        raise AssertionError("the stream must end with an error")

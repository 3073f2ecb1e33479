"""A participant of the Python SDK: what it was told, what it has to see and hear."""

import asyncio

from livekit import rtc

import env
from until import until

EVENTS = """
    participant_connected participant_disconnected track_published track_unpublished
    track_subscribed track_unsubscribed track_muted track_unmuted data_received
    active_speakers_changed disconnected reconnecting reconnected room_metadata_changed
    participant_name_changed participant_metadata_changed participant_attributes_changed
    connection_quality_changed
""".split()


class Member:
    def __init__(self, identity):
        self.identity = identity
        self.room = rtc.Room()
        self.events = []
        self.tasks = []
        for name in EVENTS:
            self.room.on(name, lambda *args, name=name: self.events.append((name, args)))

    @property
    def local(self):
        return self.room.local_participant

    async def connect(self, token, options=None):
        await self.room.connect(env.SIGNAL_URL, token, options or rtc.RoomOptions())

    async def leave(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.room.disconnect()

    def run(self, coroutine):
        """Runs something beside the test until the participant leaves."""
        self.tasks.append(asyncio.create_task(coroutine))

    def heard(self, event):
        return [args for name, args in self.events if name == event]

    async def told(self, event, accept=lambda *_: True):
        """Waits for an event of the SDK."""

        def found():
            return [args for args in self.heard(event) if accept(*args)]

        return (await until(f"{self.identity} is told {event}", found))[0]

    async def knows(self, *identities):
        def all_known():
            return set(identities) <= set(self.room.remote_participants)

        await until(f"{self.identity} knows {identities}", all_known)

    def publication(self, identity, kind):
        member = self.room.remote_participants.get(identity)
        publications = member.track_publications.values() if member else []
        return next((p for p in publications if p.kind == kind), None)

    async def track(self, identity, kind):
        """Waits until somebody's audio or video is subscribed, and returns the track."""

        def subscribed():
            publication = self.publication(identity, kind)
            return publication and publication.track

        return await until(f"{self.identity} is subscribed to {identity}", subscribed)

    async def audio(self, identity):
        return await self.track(identity, rtc.TrackKind.KIND_AUDIO)

    async def video(self, identity):
        return await self.track(identity, rtc.TrackKind.KIND_VIDEO)

"""What every Python test may ask for: a room of its own, participants in it, the backend."""

import uuid

import pytest
from livekit import api as livekit_api

import env
from member import Member


@pytest.fixture
def room_name():
    return f"py-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def join(room_name):
    """Joins a participant of the Python SDK; all leave when the test ends."""
    members = []

    async def join(identity, options=None, **grants):
        member = Member(identity)
        members.append(member)
        await member.connect(env.mint_token(room_name, identity, **grants), options)
        return member

    yield join
    for member in members:
        await member.leave()


@pytest.fixture
async def backend():
    """LiveKit's client of the room service (Twirp), with a key that may do everything."""
    async with livekit_api.LiveKitAPI(env.URL, env.API_KEY, env.API_SECRET) as client:
        yield client

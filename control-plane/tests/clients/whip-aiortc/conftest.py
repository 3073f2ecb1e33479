"""aiortc as an encoder and a player, through the functions of the worked example."""

import sys

import aiohttp
import pytest
from pictures import BOT

sys.path.insert(0, str(BOT.parent))


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def opened():
    """Takes note of sessions; they are closed when the test ends."""
    sessions = []
    yield lambda session: sessions.append(session) or session
    for session in sessions:
        await session.close()

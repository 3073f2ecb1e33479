"""The worked example does what it says, with two participants of the Python SDK as its guests."""

import asyncio
import os
import sys

import env
from livekit import rtc
from media import hears_nothing, hears_tone, publish_tone
from member import Member
from until import until

EXAMPLE = env.ROOT / "control-plane/examples/python/backend.py"


class Program:
    """The running example: what it has printed so far."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self.reading = asyncio.create_task(self.read())

    async def read(self):
        async for line in self.process.stdout:
            self.lines.append(line.decode().split())

    async def printed(self, *words):
        """Waits for a line that has these words, in this order."""

        def found():
            return [line for line in self.lines if [w for w in line if w in words] == list(words)]

        return (await until(f"the example prints {words}", found, describe=lambda: self.lines))[0]


async def run_example(stubs, *arguments):
    ours = {
        "PYTHONPATH": os.fspath(stubs),
        "PLENUM_ADDRESS": env.GRPC_ADDRESS,
        "PLENUM_API_KEY": env.API_KEY,
        "PLENUM_API_SECRET": env.API_SECRET,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLE,
        *arguments,
        env={**os.environ, **ours},
        stdout=asyncio.subprocess.PIPE,
    )
    return Program(process)


async def test_the_example_mutes_its_guest_and_ends_with_the_room(
    stubs, stub, api, allowed, room_name
):
    program = await run_example(stubs, room_name, "alice", "bob", "--mute", "bob")
    members = {}
    try:
        for name in ("alice", "bob"):
            token = (await program.printed("token", name))[-1]
            members[name] = Member(name)
            await members[name].connect(token)
            await program.printed("participant_joined", name)
        alice, bob = members.values()
        await publish_tone(alice)
        await hears_tone(bob, "alice")
        await publish_tone(bob)
        await bob.told("track_muted", lambda p, _: p.identity == "bob")
        await alice.track("bob", rtc.TrackKind.KIND_AUDIO)
        await hears_nothing(alice, "bob")
        await program.printed("track_muted", "bob")

        request = api.DeleteRoomRequest(room=room_name)
        await stub("Room").DeleteRoom(request, metadata=allowed(roomCreate=True))
        await program.printed("room_ended")
        assert await asyncio.wait_for(program.process.wait(), 10) == 0
    finally:
        if program.process.returncode is None:
            program.process.kill()
        await program.reading
        for member in members.values():
            await member.leave()

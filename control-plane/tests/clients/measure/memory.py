"""Memory of the process PLENUM_PID: per idle room, per idle participant, and what stays after many
joins and leaves. Participants are light: they speak the signalling and connect no media, or, with
--media, are participants of the Python SDK with all transports up. Prints JSON.

Targets: 64 KiB per room, 512 KiB per participant, within 2 % of the baseline after 1,000 joins and
leaves."""

import argparse
import asyncio
import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path

import aiohttp

sys.path.insert(0, os.fspath(Path(__file__).resolve().parent.parent / "lib"))

import env  # noqa: E402
from livekit import api, rtc  # noqa: E402
from livekit.protocol import rtc as signal  # noqa: E402

# The development key's secret is short; it is valid on loopback only.
warnings.filterwarnings("ignore", message="The HMAC key is")
# It warns of every try of the protocol's next version, which is not there.
logging.getLogger("livekit").setLevel(logging.ERROR)

PID = int(os.environ["PLENUM_PID"])
ROOMS = 20


def rss_kib():
    status = Path(f"/proc/{PID}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


async def settled_kib(still=8.0, deadline=60.0):
    """Memory once it has moved by less than half a percent for `still` seconds."""
    end = time.monotonic() + deadline
    value, since = rss_kib(), time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < still:
        await asyncio.sleep(0.2)
        now = rss_kib()
        if abs(now - value) > value / 200:
            value, since = now, time.monotonic()
    return rss_kib()


class Light:
    """A participant that has joined, gives signs of life and connects no media."""

    def __init__(self, session):
        self.session = session

    async def join(self, room, identity):
        query = {
            "access_token": env.mint_token(room, identity),
            "protocol": "17",
            "auto_subscribe": "1",
        }
        self.socket = await self.session.ws_connect(
            f"{env.SIGNAL_URL}/rtc", params=query, max_msg_size=0
        )
        first = signal.SignalResponse.FromString((await self.socket.receive()).data)
        assert first.WhichOneof("message") == "join", first
        self.tasks = [asyncio.create_task(self.read()), asyncio.create_task(self.ping())]
        return self

    async def read(self):
        async for _ in self.socket:
            pass

    async def ping(self):
        while True:
            await asyncio.sleep(5)
            await self.send(
                signal.SignalRequest(ping_req=signal.Ping(timestamp=int(time.time() * 1000)))
            )

    async def send(self, request):
        await self.socket.send_bytes(request.SerializeToString())

    async def leave(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.send(signal.SignalRequest(leave=signal.LeaveRequest()))
        await self.socket.close()


class Full:
    """A participant of the Python SDK."""

    def __init__(self, _session):
        self.room = rtc.Room()

    async def join(self, room, identity):
        await self.room.connect(env.SIGNAL_URL, env.mint_token(room, identity))
        return self

    async def leave(self):
        await self.room.disconnect()


async def cost_of_one(make, count):
    """KiB per thing made: what the second `count` of them cost. The first use up what the allocator
    has left from before."""
    for i in range(count):
        await make(i)
    before = await settled_kib()
    for i in range(count, 2 * count):
        await make(i)
    return round((await settled_kib() - before) / count, 1)


async def idle_rooms(count):
    """KiB per room that nobody has joined."""
    async with api.LiveKitAPI(env.URL, env.API_KEY, env.API_SECRET) as backend:

        async def make(i):
            await backend.room.create_room(
                api.CreateRoomRequest(name=f"idle-{i}", empty_timeout=600)
            )

        cost = await cost_of_one(make, count)
        for i in range(2 * count):
            await backend.room.delete_room(api.DeleteRoomRequest(room=f"idle-{i}"))
    return cost


async def idle_participants(member, session, count):
    """KiB per participant that only is there."""
    present = []

    async def make(i):
        present.append(await member(session).join(f"idle-{i % ROOMS}", f"member-{i}"))

    cost = await cost_of_one(make, count)
    await asyncio.gather(*(m.leave() for m in present))
    return cost


async def churn(member, session, cycles, together):
    """Joins and leaves `cycles` times, `together` at a time."""
    for begin in range(0, cycles, together):
        names = range(begin, min(begin + together, cycles))
        joins = [member(session).join(f"churn-{i % ROOMS}", f"member-{i}") for i in names]
        present = await asyncio.gather(*joins)
        await asyncio.gather(*(m.leave() for m in present))


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--media", action="store_true")
    arguments.add_argument("--rooms", type=int, default=500)
    arguments.add_argument("--participants", type=int, default=200)
    arguments.add_argument("--cycles", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=4)
    args = arguments.parse_args()
    member, together = (Full, 5) if args.media else (Light, 20)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        started = rss_kib()
        # The first round is the baseline: allocators keep what they once needed, which is no leak.
        # A leak grows with every round.
        rounds = []
        for _ in range(args.rounds):
            await churn(member, session, args.cycles, together)
            rounds.append(await settled_kib())
        per_room = await idle_rooms(args.rooms)
        per_participant = await idle_participants(member, session, args.participants)
    growth = 100 * (rounds[-1] - rounds[0]) / rounds[0]
    print(
        json.dumps(
            {
                "measurement": "memory",
                "unit": "KiB",
                "media": args.media,
                "started": started,
                "per_idle_room": per_room,
                "rooms": args.rooms,
                "per_idle_participant": per_participant,
                "participants": args.participants,
                "churn": {
                    "cycles": args.cycles,
                    "rounds": rounds,
                    "growth_percent": round(growth, 2),
                },
            }
        )
    )


asyncio.run(main())

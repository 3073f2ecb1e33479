"""A participant that is a program: it plays somebody's video by WHEP, finds the edges in every
picture, and publishes what it found by WHIP.

    python bot.py standup --of ann --as edges

PLENUM_URL, PLENUM_API_KEY and PLENUM_API_SECRET say where and with which key.
"""

import argparse
import asyncio
import os
import time
import urllib.parse

import aiohttp
import jwt
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.contrib.media import MediaRelay
from av import VideoFrame

URL = os.environ.get("PLENUM_URL", "http://127.0.0.1:7880")
API_KEY = os.environ.get("PLENUM_API_KEY", "devkey")
API_SECRET = os.environ.get("PLENUM_API_SECRET", "secret")


def edges(picture):
    """The edges in a grey picture: how steep it is everywhere (Sobel)."""
    p = picture.astype(np.int16)
    rows = p[:-2] + 2 * p[1:-1] + p[2:]
    columns = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    across = rows[:, 2:] - rows[:, :-2]
    down = columns[2:] - columns[:-2]
    steep = np.minimum(np.abs(across) + np.abs(down), 255).astype(np.uint8)
    return np.pad(steep, 1)


class Edges(VideoStreamTrack):
    """Another track's pictures, with nothing in them but their edges."""

    def __init__(self, source):
        super().__init__()
        self.source = source

    async def recv(self):
        frame = await self.source.recv()
        found = edges(frame.to_ndarray(format="gray"))
        result = VideoFrame.from_ndarray(found, format="gray").reformat(format="yuv420p")
        result.pts, result.time_base = frame.pts, frame.time_base
        return result


class Session:
    """A WHIP or WHEP session: one connection, and the resource that stands for it."""

    def __init__(self, http, path, token):
        self.http = http
        self.url = urllib.parse.urljoin(URL, path)
        self.headers = {"Authorization": f"Bearer {token}"}
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.over = asyncio.Event()
        self.resource = None

        @self.peer.on("connectionstatechange")
        def changed():
            if self.peer.connectionState in ("failed", "closed"):
                self.over.set()

    async def open(self):
        """Offers what was put into the connection, and takes the answer."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        headers = {**self.headers, "Content-Type": "application/sdp"}
        offer = self.peer.localDescription.sdp
        async with self.http.post(self.url, data=offer, headers=headers) as response:
            body = await response.text()
            if response.status != 201:
                raise SystemExit(f"{self.url}: {response.status} {body}")
            self.resource = urllib.parse.urljoin(self.url, response.headers["Location"])
        await self.peer.setRemoteDescription(RTCSessionDescription(body, "answer"))

    async def close(self):
        if self.resource:
            async with self.http.delete(self.resource, headers=self.headers):
                pass
        await self.peer.close()


async def play(http, room, identity, token, kind="video"):
    """Opens a session that plays a participant; returns it and the track that comes."""
    path = f"/whep/{urllib.parse.quote(room, safe='')}/{urllib.parse.quote(identity, safe='')}"
    session = Session(http, path, token)
    receiver = session.peer.addTransceiver(kind, direction="recvonly").receiver
    await session.open()
    return session, receiver.track


async def publish(http, token, *tracks):
    """Opens a session that publishes."""
    session = Session(http, "/whip", token)
    for track in tracks:
        session.peer.addTransceiver(track, direction="sendonly")
    await session.open()
    return session


def mint(room, identity):
    """A token that lets the bot in."""
    now = int(time.time())
    grants = {"roomJoin": True, "room": room}
    claims = {"iss": API_KEY, "sub": identity, "nbf": now, "exp": now + 3600, "video": grants}
    return jwt.encode(claims, API_SECRET, algorithm="HS256")


async def run(room, watched, identity):
    token = mint(room, identity)
    async with aiohttp.ClientSession() as http:
        player, video = await play(http, room, watched, token)
        # Always the newest picture: a bot that is slow shows fewer, not later ones.
        newest = MediaRelay().subscribe(video, buffered=False)
        publisher = await publish(http, token, Edges(newest))
        print(f"{identity} shows the edges of {watched} in {room}", flush=True)
        sessions = [player, publisher]
        try:
            ends = [asyncio.create_task(session.over.wait()) for session in sessions]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            print("the connection is lost", flush=True)
        finally:
            await asyncio.gather(*(session.close() for session in sessions))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("room")
    parser.add_argument("--of", required=True, help="identity of who is watched")
    parser.add_argument("--as", dest="identity", default="edges", help="identity of the bot")
    arguments = parser.parse_args()
    try:
        asyncio.run(run(arguments.room, arguments.of, arguments.identity))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

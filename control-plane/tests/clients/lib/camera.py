"""A camera on loopback: a small RTSP server (RFC 2326) that asks for a password by Digest (RFC 2617) and plays what
FFmpeg encodes, interleaved in the TCP connection. Written for the tests, with nothing but what they need."""

import asyncio
import contextlib
import hashlib
import re
import secrets

from ffmpeg import H264, LUMA, ffmpeg, sources

__all__ = ["LUMA", "Camera", "camera"]

REALM = "camera"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


class Feed(asyncio.DatagramProtocol):
    """Takes FFmpeg's packets and hands them to everybody who plays."""

    def __init__(self, camera, channel):
        self.camera, self.channel = camera, channel

    def datagram_received(self, data, address):
        for writer in self.camera.players:
            writer.write(b"$" + bytes([self.channel]) + len(data).to_bytes(2, "big") + data)


class Camera:
    def __init__(self, username, password):
        self.username, self.password = username, password
        self.nonce = secrets.token_hex(8)
        self.players = set()
        self.sdp = ""
        self.refused = 0
        self.described = 0

    @property
    def url(self):
        return f"rtsp://127.0.0.1:{self.port}/live"

    def is_allowed(self, method, headers):
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', headers.get("authorization", "")))
        ours = md5(f"{self.username}:{REALM}:{self.password}")
        request = md5(f"{method}:{fields.get('uri', '')}")
        wanted = md5(f"{ours}:{self.nonce}:{request}")
        return fields.get("nonce") == self.nonce and fields.get("response") == wanted

    def answer(self, method, headers, writer):
        """(status line, headers, body) of the answer to a request."""
        if method == "OPTIONS":
            return "200 OK", ["Public: DESCRIBE, SETUP, PLAY, TEARDOWN"], ""
        if not self.is_allowed(method, headers):
            self.refused += 1
            challenge = f'WWW-Authenticate: Digest realm="{REALM}", nonce="{self.nonce}"'
            return "401 Unauthorized", [challenge], ""
        if method == "DESCRIBE":
            self.described += 1
            base = f"Content-Base: {self.url}/"
            return "200 OK", [base, "Content-Type: application/sdp"], self.sdp
        if method == "SETUP":
            channels = re.search(r"interleaved=(\d+-\d+)", headers["transport"]).group(1)
            transport = f"Transport: RTP/AVP/TCP;unicast;interleaved={channels}"
            return "200 OK", [transport, "Session: 1;timeout=60"], ""
        if method == "PLAY":
            self.players.add(writer)
        return "200 OK", ["Session: 1"], ""

    async def serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                first = await reader.readexactly(1)
                if first == b"$":
                    # RTCP of the player.
                    await reader.readexactly(1)
                    await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                    continue
                head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method = head[0].split(" ")[0]
                pairs = (line.split(": ", 1) for line in head[1:] if ": " in line)
                headers = {name.lower(): value for name, value in pairs}
                status, lines, body = self.answer(method, headers, writer)
                lines = [f"CSeq: {headers['cseq']}", f"Content-Length: {len(body)}", *lines]
                text = f"RTSP/1.0 {status}\r\n" + "\r\n".join(lines) + f"\r\n\r\n{body}"
                writer.write(text.encode())
        self.players.discard(writer)
        writer.close()

    def hang_up(self):
        """Breaks every connection."""
        for writer in list(self.players):
            writer.transport.abort()


@contextlib.asynccontextmanager
async def camera(folder, username="admin", password="hunter2-of-the-camera"):
    """A camera for as long as the context lasts."""
    camera = Camera(username, password)
    loop = asyncio.get_running_loop()
    feeds = [
        await loop.create_datagram_endpoint(
            lambda channel=channel: Feed(camera, channel), local_addr=("127.0.0.1", 0)
        )
        for channel in (0, 1)
    ]
    rtp, rtcp = (transport.get_extra_info("sockname")[1] for transport, _ in feeds)
    description = folder / "camera.sdp"
    output = f"rtp://127.0.0.1:{rtp}?rtcpport={rtcp}"
    server = await asyncio.start_server(camera.serve, "127.0.0.1", 0)
    camera.port = server.sockets[0].getsockname()[1]
    encode = [*H264.split(), "-flags", "+global_header", "-f", "rtp", "-sdp_file", description]
    async with ffmpeg(*sources(audio=False), *encode, output):
        while not description.exists() or "fmtp" not in description.read_text():
            await asyncio.sleep(0.05)
        text = re.sub(r"m=video \d+", "m=video 0", description.read_text())
        camera.sdp = text.replace("\r\n", "\n").strip().replace("\n", "\r\n")
        camera.sdp += "\r\na=control:track1\r\n"
        try:
            yield camera
        finally:
            server.close()
            camera.hang_up()
            for transport, _ in feeds:
                transport.close()

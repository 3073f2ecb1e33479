"""A camera on loopback: a small RTSP server (RFC 2326) that asks for a password by Digest (RFC 2617) and plays what
FFmpeg encodes, interleaved in the TCP connection, which may be one of TLS, or by UDP. Written for the tests, with
nothing but what they need."""

import asyncio
import contextlib
import hashlib
import re
import secrets
import ssl
import subprocess

from ffmpeg import H264, LUMA, ffmpeg, sources

__all__ = ["LUMA", "Camera", "camera", "certificate"]

REALM = "camera"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


class Feed(asyncio.DatagramProtocol):
    """Takes FFmpeg's packets and hands them to everybody who plays."""

    def __init__(self, camera, channel):
        self.camera, self.channel = camera, channel

    def datagram_received(self, data, address):
        for way in self.camera.players.values():
            way(self.channel, data)


class Ears(asyncio.DatagramProtocol):
    """Hears what a player sends back by UDP."""

    def __init__(self, camera):
        self.camera = camera

    def datagram_received(self, data, address):
        self.camera.hear(data)


class Camera:
    def __init__(self, username, password, ways, silent):
        self.username, self.password = username, password
        self.nonce = secrets.token_hex(8)
        # What it serves: "tcp", "udp". By those in `silent` nothing comes.
        self.ways, self.silent = ways, silent
        self.scheme = "rtsp"
        # Who plays, and how packets go there.
        self.players = {}
        self.set_up = {}
        # Kinds of RTCP packets that players sent.
        self.heard = set()
        self.sdp = ""
        self.refused = 0
        self.described = 0

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/live"

    def hear(self, data):
        """Takes a compound packet of RTCP."""
        while len(data) >= 4 and data[1] >= 192:
            self.heard.add(data[1])
            data = data[4 + 4 * int.from_bytes(data[2:4], "big") :]

    def way(self, transport, writer):
        """How packets go to a player as it wants, and what is said of it."""
        if found := re.search(r"interleaved=(\d+-\d+)", transport):

            def interleaved(channel, data):
                writer.write(b"$" + bytes([channel]) + len(data).to_bytes(2, "big") + data)

            return "tcp", interleaved, f"RTP/AVP/TCP;unicast;interleaved={found.group(1)}"
        ports = [int(port) for port in re.search(r"client_port=(\d+)-(\d+)", transport).groups()]
        ours = [ears.get_extra_info("sockname")[1] for ears in self.ears]

        def by_udp(channel, data):
            self.ears[channel].sendto(data, ("127.0.0.1", ports[channel]))

        told = f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]};server_port={ours[0]}-{ours[1]}"
        return "udp", by_udp, told

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
            name, way, told = self.way(headers["transport"], writer)
            if name not in self.ways:
                return "461 Unsupported Transport", [], ""
            self.set_up[writer] = (lambda *_: None) if name in self.silent else way
            return "200 OK", [f"Transport: {told}", "Session: 1;timeout=60"], ""
        if method == "PLAY":
            self.players[writer] = self.set_up[writer]
        return "200 OK", ["Session: 1"], ""

    async def serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                first = await reader.readexactly(1)
                if first == b"$":
                    await reader.readexactly(1)
                    self.hear(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
                    continue
                head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method = head[0].split(" ")[0]
                pairs = (line.split(": ", 1) for line in head[1:] if ": " in line)
                headers = {name.lower(): value for name, value in pairs}
                status, lines, body = self.answer(method, headers, writer)
                lines = [f"CSeq: {headers['cseq']}", f"Content-Length: {len(body)}", *lines]
                text = f"RTSP/1.0 {status}\r\n" + "\r\n".join(lines) + f"\r\n\r\n{body}"
                writer.write(text.encode())
        self.players.pop(writer, None)
        writer.close()

    def hang_up(self):
        """Breaks every connection."""
        for writer in list(self.players):
            writer.transport.abort()


@contextlib.asynccontextmanager
async def camera(folder, username="admin", password="hunter2-of-the-camera", ways=("tcp",), silent=(), tls=None):
    """A camera for as long as the context lasts; `tls` has its certificate and its key."""
    camera = Camera(username, password, ways, silent)
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        camera.scheme = "rtsps"
    loop = asyncio.get_running_loop()
    feeds = [
        await loop.create_datagram_endpoint(
            lambda channel=channel: Feed(camera, channel), local_addr=("127.0.0.1", 0)
        )
        for channel in (0, 1)
    ]
    camera.ears = [
        (await loop.create_datagram_endpoint(lambda: Ears(camera), local_addr=("127.0.0.1", 0)))[0]
        for _ in range(2)
    ]
    rtp, rtcp = (transport.get_extra_info("sockname")[1] for transport, _ in feeds)
    description = folder / "camera.sdp"
    output = f"rtp://127.0.0.1:{rtp}?rtcpport={rtcp}"
    server = await asyncio.start_server(camera.serve, "127.0.0.1", 0, ssl=context)
    camera.port = server.sockets[0].getsockname()[1]
    encode = [*H264.split(), "-flags", "+global_header", "-f", "rtp", "-sdp_file", description]
    async with ffmpeg(*sources(audio=False), *encode, output):
        while not description.exists() or "fmtp" not in description.read_text():
            await asyncio.sleep(0.05)
        text = re.sub(r"m=video \d+", "m=video 0", description.read_text())
        camera.sdp = text.replace("\r\n", "\n").strip().replace("\n", "\r\n")
        # It takes requests for keyframes.
        camera.sdp = camera.sdp.replace("RTP/AVP ", "RTP/AVPF ") + "\r\na=rtcp-fb:96 nack pli"
        camera.sdp += "\r\na=control:track1\r\n"
        try:
            yield camera
        finally:
            server.close()
            camera.hang_up()
            for transport in [*camera.ears, *(transport for transport, _ in feeds)]:
                transport.close()


def certificate(folder):
    """A certificate that is signed by itself, with its key, and its SHA-256."""
    paths = folder / "camera.pem", folder / "camera.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=camera", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    encoded = ssl.PEM_cert_to_DER_cert(paths[0].read_text())
    return paths, hashlib.sha256(encoded).hexdigest()

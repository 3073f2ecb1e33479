"""Media without WebRTC: FFmpeg sends plain RTP, and a camera is taken in over RTSP. Both are participants whom the
Python SDK sees and hears."""

import os
from pathlib import Path

import grpc
import pytest
from livekit import rtc

import media
from camera import camera, certificate
from ffmpeg import H264, LUMA, OPUS, ffmpeg, free_pair, sources
from until import until


@pytest.fixture
def ingresses(stub):
    return stub("Ingress")


@pytest.fixture
def admin(allowed):
    return allowed(ingressAdmin=True)


def to(port, payload_type):
    return ["-payload_type", str(payload_type), "-f", "rtp", f"rtp://127.0.0.1:{port}?rtcpport={port + 1}"]


async def is_gone(bob, identity):
    await until(f"{identity} is gone", lambda: identity not in bob.room.remote_participants, deadline=15)


async def only(ingresses, api, room, admin):
    answer = await ingresses.ListIngresses(api.ListIngressesRequest(room=room), metadata=admin)
    assert len(answer.ingresses) == 1
    return answer.ingresses[0]


async def test_what_an_sdp_file_describes_is_seen_and_heard(
    ingresses, api, admin, join, room_name, tmp_path
):
    """Parameter sets are in the SDP file alone: browsers look for them in the stream."""
    bob = await join("bob")
    video, audio = free_pair(), free_pair()
    description = tmp_path / "encoder.sdp"
    outputs = [
        "-map", "0:v", *H264.split(), "-flags", "+global_header", "-sdp_file", description, *to(video, 96),
        "-map", "1:a", *OPUS.split(), *to(audio, 97),
    ]
    async with ffmpeg(*sources(), *outputs):
        await until("the SDP file", lambda: description.exists() and "opus" in description.read_text())
        source = api.RtpSource(sdp=description.read_text(), source_address="127.0.0.1")
        request = api.CreateIngressRequest(room=room_name, identity="encoder", name="Hall", rtp=source)
        ingress = await ingresses.CreateIngress(request, metadata=admin)
        assert [(e.mime, e.port) for e in ingress.endpoints] == [("video/H264", video), ("audio/opus", audio)]
        await media.sees_picture(bob, "encoder", luma=LUMA)
        await media.hears_tone(bob, "encoder")
        encoder = bob.room.remote_participants["encoder"]
        assert encoder.kind == rtc.ParticipantKind.PARTICIPANT_KIND_INGRESS
        assert (encoder.name, encoder.sid) == ("Hall", ingress.participant_id)
        assert (await only(ingresses, api, room_name, admin)).state == api.INGRESS_RECEIVING
        ending = api.DeleteIngressRequest(room=room_name, id=ingress.id)
        await ingresses.DeleteIngress(ending, metadata=admin)
        await is_gone(bob, "encoder")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ingresses.DeleteIngress(ending, metadata=admin)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_ports_are_chosen_where_none_are_given(ingresses, api, admin, join, room_name):
    """And another encoder goes on where the first one stopped."""
    bob = await join("bob")
    described = [api.RtpMedia(mime="video/H264", parameters="profile-level-id=42c01f")]
    described.append(api.RtpMedia(mime="audio/PCMU"))
    source = api.RtpSource(media=described, one_port=True)
    request = api.CreateIngressRequest(room=room_name, identity="encoder", rtp=source)
    ingress = await ingresses.CreateIngress(request, metadata=admin)
    video, audio = ingress.endpoints
    assert (video.port, video.payload_type, audio.payload_type) == (audio.port, 96, 0)
    assert video.port == video.rtcp_port and f"m=video {video.port} " in ingress.sdp
    assert ingress.state == api.INGRESS_WAITING
    for _ in range(2):
        outputs = ["-map", "0:v", *H264.split(), *to(video.port, 96)]
        async with ffmpeg(*sources(audio=False), *outputs):
            await media.sees_picture(bob, "encoder", luma=LUMA)


async def test_a_camera_is_seen_and_comes_back(ingresses, api, admin, join, room_name, tmp_path):
    bob = await join("bob")
    async with camera(tmp_path) as cam:
        login = f"{cam.username}:{cam.password}@"
        source = api.RtspSource(url=cam.url.replace("//", f"//{login}"))
        request = api.CreateIngressRequest(room=room_name, identity="camera", rtsp=source)
        ingress = await ingresses.CreateIngress(request, metadata=admin)
        assert ingress.url == cam.url
        await media.sees_picture(bob, "camera", luma=LUMA)
        await until("reports of how it is received", lambda: 201 in cam.heard)
        before = bob.room.remote_participants["camera"].sid
        cam.hang_up()
        await until("the camera is asked again", lambda: cam.described > 1)
        await media.sees_picture(bob, "camera", luma=LUMA)
        assert bob.room.remote_participants["camera"].sid == before, "it never left"
        told = str(await only(ingresses, api, room_name, admin))
        assert cam.password not in told
        ending = api.DeleteIngressRequest(room=room_name, id=ingress.id)
        await ingresses.DeleteIngress(ending, metadata=admin)
        await is_gone(bob, "camera")


@pytest.mark.parametrize(
    ("wanted", "ways", "silent"),
    [("udp", ("udp", "tcp"), ()), ("tcp", ("udp",), ()), ("udp", ("tcp",), ()), ("udp", ("udp", "tcp"), ("udp",))],
)
async def test_a_camera_sends_by_the_way_that_it_has(
    ingresses, api, admin, join, room_name, tmp_path, wanted, ways, silent
):
    """As it is wanted, or else by the other way: where it refuses the first one, and where nothing comes by it."""
    bob = await join("bob")
    async with camera(tmp_path, ways=ways, silent=silent) as cam:
        wanted = {"udp": api.RTSP_UDP, "tcp": api.RTSP_INTERLEAVED}[wanted]
        source = api.RtspSource(url=cam.url, username=cam.username, password=cam.password, transport=wanted)
        request = api.CreateIngressRequest(room=room_name, identity="camera", rtsp=source)
        ingress = await ingresses.CreateIngress(request, metadata=admin)
        await media.sees_picture(bob, "camera", luma=LUMA)
        if not silent:
            await until("reports of how it is received", lambda: 201 in cam.heard)
        ending = api.DeleteIngressRequest(room=room_name, id=ingress.id)
        await ingresses.DeleteIngress(ending, metadata=admin)
        await is_gone(bob, "camera")


async def test_a_camera_that_signs_its_own_certificate_is_seen_where_that_is_named(
    ingresses, api, admin, join, room_name, tmp_path
):
    bob = await join("bob")
    paths, digest = certificate(tmp_path)
    async with camera(tmp_path, tls=paths) as cam:

        async def create(**fields):
            source = api.RtspSource(url=cam.url, username=cam.username, password=cam.password, **fields)
            request = api.CreateIngressRequest(room=room_name, identity="camera", rtsp=source)
            return await ingresses.CreateIngress(request, metadata=admin)

        async def problem():
            return (await only(ingresses, api, room_name, admin)).problem

        for fields in [{}, {"certificate_sha256": "00" * 32}]:
            refused = await create(**fields)
            assert "certificate" in await until("it is not trusted", problem)
            ending = api.DeleteIngressRequest(room=room_name, id=refused.id)
            await ingresses.DeleteIngress(ending, metadata=admin)
        assert not cam.described
        await create(certificate_sha256=digest)
        await media.sees_picture(bob, "camera", luma=LUMA)


async def test_a_password_is_repeated_nowhere(ingresses, api, admin, room_name, tmp_path):
    wrong = "a-wrong-password"
    async with camera(tmp_path) as cam:
        source = api.RtspSource(url=cam.url, username=cam.username, password=wrong)
        request = api.CreateIngressRequest(room=room_name, identity="camera", rtsp=source)
        await ingresses.CreateIngress(request, metadata=admin)

        async def problem():
            return (await only(ingresses, api, room_name, admin)).problem

        assert "401" in await until("the camera refuses", problem)
        told = str(await only(ingresses, api, room_name, admin))
        assert wrong not in told
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            source = api.RtspSource(url=f"https://admin:{wrong}@127.0.0.1/")
            request = api.CreateIngressRequest(room=room_name, identity="camera", rtsp=source)
            await ingresses.CreateIngress(request, metadata=admin)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert wrong not in str(refused.value)
        if log := os.environ.get("PLENUM_LOG_FILE"):
            text = Path(log).read_text()
            assert wrong not in text and cam.password not in text


async def test_who_may_not_is_refused(ingresses, api, allowed, admin, room_name):
    source = api.RtpSource(media=[api.RtpMedia(mime="audio/opus")])
    request = api.CreateIngressRequest(room=room_name, identity="x", rtp=source)
    for call, message in [
        (ingresses.CreateIngress, request),
        (ingresses.ListIngresses, api.ListIngressesRequest(room=room_name)),
        (ingresses.DeleteIngress, api.DeleteIngressRequest(room=room_name, id="IN_x")),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(message, metadata=allowed(roomAdmin=True))
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    for source, field in [
        ({}, "source"),
        ({"rtp": api.RtpSource()}, "rtp"),
        ({"rtp": api.RtpSource(sdp="nonsense")}, "rtp.sdp"),
        ({"rtp": api.RtpSource(media=[api.RtpMedia(mime="video/MPEG")])}, "rtp.media"),
        ({"rtsp": api.RtspSource(url="http://127.0.0.1/")}, "rtsp.url"),
        ({"rtsp": api.RtspSource(url="rtsp://192.168.7.1/")}, "rtsp.url"),
        ({"rtsp": api.RtspSource(url="rtsps://127.0.0.1/", transport=api.RTSP_UDP)}, "rtsp.transport"),
        ({"rtsp": api.RtspSource(url="rtsp://127.0.0.1/", certificate_sha256="00" * 32)}, "rtsp.certificate_sha256"),
    ]:
        request = api.CreateIngressRequest(room=room_name, identity="x", **source)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ingresses.CreateIngress(request, metadata=admin)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, field
        assert refused.value.details().startswith(field)

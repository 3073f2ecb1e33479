"""Media that goes out as plain RTP: FFmpeg opens the SDP file and decodes what a participant of the Python SDK sends."""

import grpc
import numpy as np
import pytest

import media
from ffmpeg import free_pair, run
from until import until


@pytest.fixture
def egresses(stub):
    return stub("Egress")


@pytest.fixture
def recorder(allowed):
    return allowed(roomRecord=True)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_ffmpeg_plays_what_a_participant_sends(
    egresses, api, recorder, join, room_name, tmp_path, codec
):
    from livekit import rtc

    ann, bob = await join("ann"), await join("bob")
    await media.publish_picture(ann, 180, video_codec=getattr(rtc.VideoCodec, codec))
    await media.publish_tone(ann)
    # Both are there, in the codec that is sent.
    await media.sees_picture(bob, "ann", 180, frames=1)
    video, audio = free_pair(), free_pair()
    sink = api.RtpSink(address="127.0.0.1", video_port=video, audio_port=audio)
    request = api.CreateEgressRequest(room=room_name, identity="out", from_identity="ann", rtp=sink)
    egress = await egresses.CreateEgress(request, metadata=recorder)
    description = tmp_path / "out.sdp"
    description.write_text(egress.sdp)
    assert f"m=video {video} " in egress.sdp and f"m=audio {audio} " in egress.sdp
    await bob.knows("out")
    picture, sound = tmp_path / "picture", tmp_path / "sound"
    await run(
        "-protocol_whitelist", "file,udp,rtp", "-i", description,
        "-map", "0:v", "-frames:v", "20", "-vf", "scale=96:54", "-pix_fmt", "gray", "-f", "rawvideo", picture,
        "-map", "0:a", "-t", "3", "-ar", "48000", "-ac", "1", "-f", "s16le", sound,
    )
    frames = np.frombuffer(picture.read_bytes(), dtype=np.uint8).reshape(-1, 54, 96)
    assert len(frames) == 20
    # The lower half: the walking bar is above. FFmpeg stretches the range of a television.
    shades = [float(frame[27:].mean()) for frame in frames]
    assert any(abs(shade - 191) < 15 for shade in shades), shades
    # A busy machine sends with gaps: half a second without any is enough.
    samples = np.frombuffer(sound.read_bytes(), dtype=np.int16)
    step = media.RATE // 4
    heard = [media.loudest_frequency(samples[at : at + 2 * step]) for at in range(0, len(samples) - 2 * step, step)]
    assert any(abs(found - 440) < 10 and share > 0.8 for found, share in heard), heard
    listed = await egresses.ListEgresses(api.ListEgressesRequest(room=room_name), metadata=recorder)
    assert [e.id for e in listed.egresses] == [egress.id]
    ending = api.DeleteEgressRequest(room=room_name, id=egress.id)
    await egresses.DeleteEgress(ending, metadata=recorder)
    await until("it is gone", lambda: "out" not in bob.room.remote_participants, deadline=15)


async def test_it_says_what_is_missing_and_ends_with_its_room(egresses, api, stub, allowed, recorder, join, room_name):
    ann, bob = await join("ann"), await join("bob")
    await media.publish_tone(ann)
    await media.hears_tone(bob, "ann")
    sink = api.RtpSink(address="127.0.0.1", audio_port=free_pair())
    request = api.CreateEgressRequest(room=room_name, identity="out", from_identity="ann", rtp=sink)
    egress = await egresses.CreateEgress(request, metadata=recorder)
    assert egress.state == api.EGRESS_SENDING

    async def listed():
        answer = await egresses.ListEgresses(api.ListEgressesRequest(room=room_name), metadata=recorder)
        return list(answer.egresses)

    async def waits():
        return [e.problem for e in await listed() if e.state == api.EGRESS_WAITING]

    await ann.leave()
    assert await until("it has nothing to send", waits) == ["its participant is away"]
    ending = api.DeleteRoomRequest(room=room_name)
    await stub("Room").DeleteRoom(ending, metadata=allowed(roomCreate=True))

    async def is_gone():
        return not await listed()

    await until("it is gone", is_gone)


async def test_who_may_not_is_refused_and_so_are_other_networks(egresses, api, allowed, recorder, join, room_name):
    ann = await join("ann")
    assert ann

    async def refusal(metadata, **fields):
        sink = api.RtpSink(**{"address": "127.0.0.1", "video_port": 5004, **fields})
        request = api.CreateEgressRequest(room=room_name, identity="out", from_identity="ann", rtp=sink)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await egresses.CreateEgress(request, metadata=metadata)
        return refused.value.code(), refused.value.details()

    code, _ = await refusal(allowed(roomAdmin=True))
    assert code == grpc.StatusCode.PERMISSION_DENIED
    for address in ["1.1.1.1", "192.168.0.1", "224.0.0.1", "nonsense"]:
        code, told = await refusal(recorder, address=address)
        assert code == grpc.StatusCode.INVALID_ARGUMENT and told.startswith("rtp.address"), address
    code, told = await refusal(recorder)
    assert code == grpc.StatusCode.FAILED_PRECONDITION and told.startswith("from_identity")

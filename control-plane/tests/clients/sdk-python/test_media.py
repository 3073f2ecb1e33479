"""Sound and pictures between participants of the Python SDK: what was sent is what is decoded."""

import pytest
from livekit import rtc

from media import hears_nothing, hears_tone, publish_picture, publish_tone, sees_picture


async def test_sound_arrives_as_it_was_sent(join):
    alice, bob = await join("alice"), await join("bob")
    await publish_tone(alice, 440)
    await publish_tone(bob, 1000)
    await hears_tone(bob, "alice", 440)
    await hears_tone(alice, "bob", 1000)


async def test_two_voices_are_two_tracks(join):
    alice, bob, carol = await join("alice"), await join("bob"), await join("carol")
    await publish_tone(alice, 440)
    await publish_tone(bob, 1000)
    await hears_tone(carol, "alice", 440)
    await hears_tone(carol, "bob", 1000)


async def test_a_muted_voice_is_silent_until_it_is_unmuted(join):
    alice, bob = await join("alice"), await join("bob")
    publication = await publish_tone(alice)
    await hears_tone(bob, "alice")
    publication.track.mute()
    await bob.told("track_muted")
    await hears_nothing(bob, "alice")
    publication.track.unmute()
    await bob.told("track_unmuted")
    await hears_tone(bob, "alice")


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
async def test_pictures_arrive_as_they_were_sent(join, codec):
    alice, bob = await join("alice"), await join("bob")
    value = getattr(rtc.VideoCodec, codec)
    await publish_picture(alice, luma=60, width=640, height=360, video_codec=value)
    await sees_picture(bob, "alice", luma=60)


async def test_the_viewer_chooses_the_layer(join):
    alice, bob = await join("alice"), await join("bob")
    await publish_picture(alice, width=960, height=540)
    await sees_picture(bob, "alice", width=960)
    publication = bob.publication("alice", rtc.TrackKind.KIND_VIDEO)
    for quality, width in (
        (rtc.VideoQuality.VIDEO_QUALITY_LOW, 320),
        (rtc.VideoQuality.VIDEO_QUALITY_MEDIUM, 640),
        (rtc.VideoQuality.VIDEO_QUALITY_HIGH, 960),
    ):
        publication.set_video_quality(quality)
        await sees_picture(bob, "alice", width=width)


async def test_an_ended_subscription_can_be_taken_up_again(join):
    alice, bob = await join("alice"), await join("bob")
    await publish_tone(alice)
    await hears_tone(bob, "alice")
    publication = bob.publication("alice", rtc.TrackKind.KIND_AUDIO)
    publication.set_subscribed(False)
    await bob.told("track_unsubscribed")
    publication.set_subscribed(True)
    await hears_tone(bob, "alice")

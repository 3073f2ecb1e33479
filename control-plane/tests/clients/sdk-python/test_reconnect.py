"""Interrupted connections of the Python SDK: the call goes on."""

import pytest
from livekit import rtc

from media import hears_tone, publish_tone

KIND = rtc.SimulateScenarioKind


@pytest.mark.parametrize("scenario", [KIND.SIMULATE_SIGNAL_RECONNECT, KIND.SIMULATE_FULL_RECONNECT])
@pytest.mark.parametrize("who", ["the speaker", "the listener"])
async def test_sound_goes_on_after_a_reconnect(join, scenario, who):
    alice, bob = await join("alice"), await join("bob")
    await publish_tone(alice)
    await hears_tone(bob, "alice")
    interrupted = alice if who == "the speaker" else bob
    await interrupted.room.simulate_scenario(scenario)
    await interrupted.told("reconnected")
    await hears_tone(bob, "alice")

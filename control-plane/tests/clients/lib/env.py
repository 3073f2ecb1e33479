"""Where the tests find the machine under test, and tokens for it. run.mjs sets the variables."""

import datetime
import os
from pathlib import Path

from livekit import api

URL = os.environ.get("PLENUM_URL", "http://127.0.0.1:7880")
API_KEY = os.environ.get("PLENUM_API_KEY", "devkey")
API_SECRET = os.environ.get("PLENUM_API_SECRET", "secret")

ROOT = Path(__file__).resolve().parents[4]

# What an SDK is given as its address, and what a gRPC channel is.
SIGNAL_URL = "ws" + URL.removeprefix("http")
GRPC_ADDRESS = URL.removeprefix("http://")


def mint_token(room, identity, **grants):
    """A token of LiveKit's own class. `grants` go over "may join, and do what participants do"."""
    video = api.VideoGrants(
        **{"room_join": True, "room": room, "can_update_own_metadata": True, **grants}
    )
    token = api.AccessToken(API_KEY, API_SECRET).with_identity(identity).with_grants(video)
    return token.with_ttl(datetime.timedelta(minutes=10)).to_jwt()

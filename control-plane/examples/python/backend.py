"""A backend of an application, over Plenum's gRPC API: creates a room, mints tokens for its guests,
watches what happens there, and mutes one of them as soon as the microphone is on.

    pip install -r requirements.txt
    python -m grpc_tools.protoc -I ../../../proto --python_out=. --grpc_python_out=. \
        plenum/v1/model.proto plenum/v1/api.proto
    python backend.py standup alice bob --mute alice

Each guest joins with a LiveKit client SDK and the token printed here. Ends when the room ends.
"""

import argparse
import os
import time

import grpc
import jwt
from google.protobuf.duration_pb2 import Duration
from plenum.v1 import api_pb2 as api
from plenum.v1 import api_pb2_grpc as services
from plenum.v1 import model_pb2 as model

ADDRESS = os.environ.get("PLENUM_ADDRESS", "127.0.0.1:7880")
API_KEY = os.environ.get("PLENUM_API_KEY", "devkey")
API_SECRET = os.environ.get("PLENUM_API_SECRET", "secret")


def credentials(room):
    """Call metadata with a token for everything this backend does, signed with the API secret."""
    grants = {
        "roomCreate": True,
        "roomAdmin": True,
        "roomJoin": True,
        "tokenCreate": True,
        "room": room,
    }
    claims = {"iss": API_KEY, "exp": int(time.time()) + 3600, "video": grants}
    return [("authorization", "Bearer " + jwt.encode(claims, API_SECRET, algorithm="HS256"))]


def watch(events, muting, participants, auth):
    """Prints what happens in the room, and mutes the microphone of `muting`."""
    for event in events:
        kind = event.WhichOneof("kind")
        body = getattr(event, kind)
        who = body.participant if isinstance(body, api.TrackEvent) else body
        print(event.sequence, kind, getattr(who, "identity", ""), flush=True)
        if (
            kind == "track_published"
            and who.identity == muting
            and body.track.source == model.MICROPHONE
        ):
            request = api.MuteTrackRequest(
                room=event.room.name, identity=muting, track_id=body.track.id, muted=True
            )
            participants.MuteTrack(request, metadata=auth)
        if kind == "room_ended":
            return


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("room")
    arguments.add_argument("guests", nargs="+")
    arguments.add_argument("--mute")
    args = arguments.parse_args()
    auth = credentials(args.room)
    with grpc.insecure_channel(ADDRESS) as channel:
        config = model.RoomConfig(name=args.room, departure_timeout=Duration(seconds=20))
        request = api.CreateRoomRequest(config=config)
        room = services.RoomServiceStub(channel).CreateRoom(request, metadata=auth)
        print("room", room.id, flush=True)
        watching = api.WatchEventsRequest(room=args.room)
        events = services.EventServiceStub(channel).WatchEvents(watching, metadata=auth)
        events.initial_metadata()  # Here once the stream stands: nothing that follows is missed.
        for guest in args.guests:
            request = api.CreateTokenRequest(identity=guest, room=args.room)
            token = services.TokenServiceStub(channel).CreateToken(request, metadata=auth).token
            print("token", guest, token, flush=True)
        watch(events, args.mute, services.ParticipantServiceStub(channel), auth)


if __name__ == "__main__":
    main()

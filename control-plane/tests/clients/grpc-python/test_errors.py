"""Refusals of the gRPC API: a code a program can act on, a detail that names the field at fault."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value


def fields_at_fault(error):
    status = rpc_status.from_call(error)
    assert status is not None, "the error carries no details"
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    return {violation.field for violation in bad.field_violations}


async def test_every_wrong_field_is_named(stub, api, model, allowed):
    auth = allowed(roomCreate=True)
    config = model.RoomConfig(name="", metadata="x" * 1_000_000)
    error = await refusal(
        stub("Room").CreateRoom(api.CreateRoomRequest(config=config), metadata=auth)
    )
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert fields_at_fault(error) == {"config.name", "config.metadata"}


async def test_nobody_is_not_found(stub, api, allowed, room_name):
    request = api.GetParticipantRequest(room=room_name, identity="nobody")
    error = await refusal(
        stub("Participant").GetParticipant(request, metadata=allowed(roomAdmin=True))
    )
    assert error.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "token", ["none", "garbage", "signed by somebody else"], ids=lambda text: text.replace(" ", "-")
)
async def test_without_a_good_token_nobody_is_let_in(stub, api, allowed, token):
    metadata = {
        "none": [],
        "garbage": [("authorization", "Bearer garbage")],
        "signed by somebody else": allowed(
            secret="not the secret of this key, far from it", roomList=True
        ),
    }[token]
    error = await refusal(stub("Room").ListRooms(api.ListRoomsRequest(), metadata=metadata))
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_a_grant_is_for_what_it_names(stub, api, allowed, room_name):
    admin = allowed(roomAdmin=True)
    error = await refusal(stub("Room").ListRooms(api.ListRoomsRequest(), metadata=admin))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    elsewhere = api.ListParticipantsRequest(room=f"{room_name}-other")
    error = await refusal(stub("Participant").ListParticipants(elsewhere, metadata=admin))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_no_token_is_minted_with_more_than_the_asking_one_has(stub, api, allowed, room_name):
    auth = allowed(roomJoin=True, tokenCreate=True)
    request = api.CreateTokenRequest(identity="guest", room=room_name, room_admin=True)
    error = await refusal(stub("Token").CreateToken(request, metadata=auth))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED

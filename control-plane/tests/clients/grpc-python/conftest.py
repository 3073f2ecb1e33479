"""Stubs of the gRPC API, generated from the .proto files as a user of the API would do it."""

import os
import subprocess
import sys
import time

import grpc
import jwt
import pytest

import env


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """Folder with the generated modules, importable from now on."""
    folder = tmp_path_factory.mktemp("stubs")
    files = ["plenum/v1/model.proto", "plenum/v1/api.proto"]
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{env.ROOT / 'proto'}",
        *outputs,
        *files,
    ]
    subprocess.run(command, check=True)
    sys.path.insert(0, os.fspath(folder))
    return folder


@pytest.fixture
def api(stubs):
    from plenum.v1 import api_pb2

    return api_pb2


@pytest.fixture
def model(stubs):
    from plenum.v1 import model_pb2

    return model_pb2


@pytest.fixture
async def channel():
    async with grpc.aio.insecure_channel(env.GRPC_ADDRESS) as channel:
        yield channel


@pytest.fixture
def stub(stubs, channel):
    """`stub("Room")` is a client of the room service."""
    from plenum.v1 import api_pb2_grpc

    return lambda service: getattr(api_pb2_grpc, f"{service}ServiceStub")(channel)


@pytest.fixture
def allowed(room_name):
    """`allowed(roomAdmin=True)` is call metadata with these grants for the test's room."""

    def allowed(key=env.API_KEY, secret=env.API_SECRET, **grants):
        claims = {"iss": key, "exp": int(time.time()) + 600, "video": {"room": room_name, **grants}}
        return [("authorization", f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}")]

    return allowed

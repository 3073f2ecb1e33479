"""What tools ask of a gRPC service: is it well, and what can it do."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

import env

SERVICES = {f"plenum.v1.{name}Service" for name in ("Room", "Participant", "Token", "Event")}


async def test_it_says_that_it_is_well(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", *SERVICES):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


def test_it_describes_itself():
    with grpc.insecure_channel(env.GRPC_ADDRESS) as channel:
        described = ProtoReflectionDescriptorDatabase(channel)
        assert SERVICES < set(described.get_services())
        file = described.FindFileContainingSymbol("plenum.v1.RoomService")
        methods = {method.name for service in file.service for method in service.method}
        assert {"CreateRoom", "WatchEvents", "MuteTrack"} < methods

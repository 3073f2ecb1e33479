"""What tools ask of a gRPC service: is it well, and what can it do."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

import env

SERVICES = {f"plenum.v1.{name}Service" for name in ("Room", "Participant", "Token", "Event", "Ingress")}


async def is_serving(channel, service):
    request = health_pb2.HealthCheckRequest(service=service)
    answer = await health_pb2_grpc.HealthStub(channel).Check(request)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_it_says_that_it_is_well(channel):
    assert await is_serving(channel, "")


@pytest.mark.parametrize("service", sorted(SERVICES))
async def test_each_service_says_that_it_is_well(channel, service):
    assert await is_serving(channel, service)


def test_it_describes_itself():
    """With the version of reflection (v1alpha) that Python's own client of it speaks."""
    with grpc.insecure_channel(env.GRPC_ADDRESS) as channel:
        described = ProtoReflectionDescriptorDatabase(channel)
        assert SERVICES < set(described.get_services())
        file = described.FindFileContainingSymbol("plenum.v1.RoomService")
        methods = {method.name for service in file.service for method in service.method}
        assert {"CreateRoom", "WatchEvents", "MuteTrack"} < methods

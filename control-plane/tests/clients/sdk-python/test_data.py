"""Application data between participants of the Python SDK."""

import pytest
from livekit import rtc

from until import until


def received(member):
    return [args[0] for args in member.heard("data_received")]


async def test_reliable_data_arrives_once_whole_and_in_order(join):
    alice, bob = await join("alice"), await join("bob")
    await alice.knows("bob")
    sent = [f"message {i} ".encode() + b"x" * 200 * i for i in range(50)]
    for payload in sent:
        await alice.local.publish_data(payload, reliable=True, topic="notes")
    await until("bob has all messages", lambda: len(received(bob)) >= len(sent))
    assert [packet.data for packet in received(bob)] == sent
    assert {(p.participant.identity, p.topic) for p in received(bob)} == {("alice", "notes")}


async def test_lossy_data_arrives(join):
    alice, bob = await join("alice"), await join("bob")
    await alice.knows("bob")

    async def arrived():
        await alice.local.publish_data(b"pointer", reliable=False, topic="pointer")
        lossy = rtc.DataPacketKind.KIND_LOSSY
        return any(p.data == b"pointer" and p.kind == lossy for p in received(bob))

    await until("bob has lossy data", arrived)


async def test_data_for_one_reaches_nobody_else(join):
    alice, bob, carol = await join("alice"), await join("bob"), await join("carol")
    await alice.knows("bob", "carol")
    await alice.local.publish_data(b"for bob", destination_identities=["bob"])
    await alice.local.publish_data(b"for all")

    # Reliable data keeps its order, so whoever has the second has had the chance of the first.
    def has_second(member):
        return any(p.data == b"for all" for p in received(member))

    await until("both have the second", lambda: has_second(bob) and has_second(carol))
    assert [p.data for p in received(bob)] == [b"for bob", b"for all"]
    assert [p.data for p in received(carol)] == [b"for all"]


async def test_a_long_text_arrives_as_one(join):
    alice, bob = await join("alice"), await join("bob")
    await alice.knows("bob")
    texts = []

    def on_text(reader, identity):
        async def read():
            texts.append((identity, await reader.read_all()))

        bob.run(read())

    bob.room.register_text_stream_handler("chat", on_text)
    body = "Grüße, 世界! " * 8000
    await alice.local.send_text(body, topic="chat")
    await until("bob has the text", lambda: texts)
    assert texts == [("alice", body)]


async def test_bytes_arrive_as_they_are(join):
    alice, bob = await join("alice"), await join("bob")
    await alice.knows("bob")
    files = []

    def on_bytes(reader, identity):
        async def read():
            files.append((reader.info.name, b"".join([chunk async for chunk in reader])))

        bob.run(read())

    bob.room.register_byte_stream_handler("files", on_bytes)
    body = bytes(i * 7 % 256 for i in range(200_000))
    writer = await alice.local.stream_bytes("photo.bin", topic="files", total_size=len(body))
    await writer.write(body)
    await writer.aclose()
    await until("bob has the file", lambda: files)
    assert files == [("photo.bin", body)]


async def test_a_call_gets_its_answer_and_its_error(join):
    alice, bob = await join("alice"), await join("bob")
    await alice.knows("bob")

    @bob.local.register_rpc_method("greet")
    async def greet(call):
        if call.payload == "bad":
            raise rtc.RpcError(1789, "not like this")
        return f"hello {call.caller_identity}, you said {call.payload}"

    async def call(payload):
        return await alice.local.perform_rpc(
            destination_identity="bob", method="greet", payload=payload
        )

    assert await call("hi") == "hello alice, you said hi"
    with pytest.raises(rtc.RpcError) as refused:
        await call("bad")
    assert (refused.value.code, refused.value.message) == (1789, "not like this")


async def test_a_call_to_nobody_fails(join):
    alice = await join("alice")
    with pytest.raises(rtc.RpcError):
        await alice.local.perform_rpc(
            destination_identity="nobody", method="greet", payload="", response_timeout=3
        )

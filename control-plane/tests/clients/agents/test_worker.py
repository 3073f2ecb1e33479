"""A worker of LiveKit Agents, unchanged, with the example agent: it is sent to rooms, joins, is heard and answers."""

import asyncio
import os
import signal
import subprocess
from contextlib import asynccontextmanager

import env
import pytest
from livekit import api, rtc
from member import Member
from until import until

AGENT = env.ROOT / "control-plane/examples/agent/agent.py"
PYTHON = os.environ.get("PLENUM_AGENTS_PYTHON", env.ROOT / "target/agents-venv/bin/python")


@pytest.fixture
def worker(tmp_path):
    """Starts worker processes; they are killed when the test ends, and what they logged is shown when it fails."""
    started = []

    def start(name):
        log = tmp_path / f"worker-{len(started)}.log"
        environment = {
            **os.environ,
            "LIVEKIT_URL": env.SIGNAL_URL,
            "LIVEKIT_API_KEY": env.API_KEY,
            "LIVEKIT_API_SECRET": env.API_SECRET,
        }
        with log.open("w") as output:
            process = subprocess.Popen(
                [PYTHON, "-W", "ignore", AGENT, name], env=environment, stdout=output, stderr=output
            )
        started.append((process, log))
        return process

    yield start
    for process, log in started:
        process.kill()
        process.wait()
        print(f"{log.name}:\n{log.read_text()[-6000:]}")


@asynccontextmanager
async def guest(room, identity, wanted=None):
    """A participant; its token may say which agents its room wants."""
    token = (
        api.AccessToken(env.API_KEY, env.API_SECRET)
        .with_identity(identity)
        .with_grants(api.VideoGrants(room_join=True, room=room))
    )
    if wanted is not None:
        token = token.with_room_config(api.RoomConfiguration(agents=wanted))
    member = Member(identity)
    await member.connect(token.to_jwt())
    try:
        yield member
    finally:
        await member.leave()


def agents_of(member):
    kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    return [p for p in member.room.remote_participants.values() if p.kind == kind]


def texts(member):
    return [packet.data.decode() for (packet,) in member.heard("data_received")]


async def hears(member):
    """Waits until sound of the agent has come that is not silence."""

    def track():
        tracks = [t.track for agent in agents_of(member) for t in agent.track_publications.values()]
        return next((track for track in tracks if track), None)

    stream = rtc.AudioStream(await until("the agent's track is there", track))

    async def loud():
        async for event in stream:
            if max(memoryview(event.frame.data).cast("B").cast("h")) > 1_000:
                return

    await asyncio.wait_for(loud(), 20)
    await stream.aclose()


async def why(member, agent):
    return await member.local.perform_rpc(
        destination_identity=agent.identity, method="why", payload=""
    )


async def test_an_agent_comes_by_itself_is_heard_and_answers(worker, room_name):
    worker("")
    async with guest(room_name, "ann") as ann:
        await until("the agent is there", lambda: agents_of(ann), 60)
        await until("it greets", lambda: "hello, ann" in texts(ann))
        await hears(ann)
        await ann.local.publish_data("ping")
        await until("it answers", lambda: "echo: ping" in texts(ann))
        assert await why(ann, agents_of(ann)[0]) == "nobody said"
        async with guest(room_name, "bob") as bob:
            await until("it greets who comes later", lambda: "hello, bob" in texts(bob))
        assert len(agents_of(ann)) == 1


async def test_named_agents_go_where_they_are_asked_for(worker, room_name, backend):
    name, other = f"helper-{room_name}", f"{room_name}-2"
    worker(name)
    wish = api.RoomAgentDispatch(agent_name=name, metadata="by token")
    async with guest(room_name, "ann", [wish]) as ann:
        # The worker may not be there yet: the wish waits for it.
        (agent,) = await until("the agent of the token", lambda: agents_of(ann), 60)
        assert agent.attributes["lk.agent.name"] == name
        await until("it greets", lambda: "hello, ann" in texts(ann))
        assert await why(ann, agent) == "by token"
    async with guest(other, "ann") as ann:
        request = api.CreateAgentDispatchRequest(agent_name=name, room=other, metadata="by call")
        dispatched = await backend.agent_dispatch.create_dispatch(request)
        (agent,) = await until("the agent of the call", lambda: agents_of(ann))
        await until("it greets", lambda: "hello, ann" in texts(ann))
        assert await why(ann, agent) == "by call"
        listed = await backend.agent_dispatch.list_dispatch(other)
        (own,) = [dispatch for dispatch in listed if dispatch.id == dispatched.id]
        (job,) = own.state.jobs
        assert job.state.participant_identity == agent.identity
        await backend.agent_dispatch.delete_dispatch(dispatched.id, other)
        await until("it leaves", lambda: not agents_of(ann))


async def test_the_job_of_a_worker_that_dies_goes_to_another(worker, room_name):
    name = f"helper-{room_name}"
    first = worker(name)
    wish = api.RoomAgentDispatch(agent_name=name)
    async with guest(room_name, "ann", [wish]) as ann:
        (agent,) = await until("the agent is there", lambda: agents_of(ann), 60)
        worker(name)
        first.send_signal(signal.SIGKILL)

        def others():
            return [p for p in agents_of(ann) if p.sid != agent.sid and p.track_publications]

        await until("another agent is there", others, 60)
        await hears(ann)

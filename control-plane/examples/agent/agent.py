"""An agent, by LiveKit's own framework: it greets who comes, plays a tone, echoes what it is sent, and answers calls.

    export LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret
    python agent.py [NAME]

Without a name it comes to every room; with one, where it is asked for by that name.
"""

import asyncio
import logging
import math
import sys
from array import array

from livekit import agents, rtc

RATE = 48_000
FRAME = RATE // 100
WAVE = array("h", (int(8_000 * math.sin(2 * math.pi * 400 * n / RATE)) for n in range(FRAME)))

server = agents.AgentServer(
    # A thread for each job instead of a process: quick to start, and no protection from one another.
    job_executor_type=agents.JobExecutorType.THREAD,
    host="127.0.0.1",
    port=0,
)


async def play(source):
    while True:
        await source.capture_frame(rtc.AudioFrame(WAVE.tobytes(), RATE, 1, FRAME))


@server.rtc_session(agent_name=" ".join(sys.argv[1:2]))
async def entrypoint(job: agents.JobContext):
    room, tasks = job.room, set()

    def send(text, to):
        sending = room.local_participant.publish_data(text, destination_identities=[to])
        task = asyncio.create_task(sending)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @room.on("data_received")
    def on_data(packet):
        if packet.participant:
            send("echo: " + packet.data.decode(), packet.participant.identity)

    @room.on("participant_connected")
    def on_participant(participant):
        send(f"hello, {participant.identity}", participant.identity)

    await job.connect()
    own = room.local_participant

    @own.register_rpc_method("why")
    async def why(call):
        return job.job.metadata or "nobody said"

    source = rtc.AudioSource(RATE, 1)
    await own.publish_track(rtc.LocalAudioTrack.create_audio_track("tone", source))
    for participant in room.remote_participants.values():
        on_participant(participant)
    await play(source)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(server.run(devmode=True))

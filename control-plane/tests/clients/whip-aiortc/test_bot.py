"""The bot of the worked example: what it publishes are the edges of what it was shown."""

import asyncio
import os
import sys

from pictures import BOT, Box, sees, shows_edges

import env
from bot import play, publish
from until import until


async def test_the_bot_shows_the_edges_of_what_it_is_shown(http, opened, room_name):
    ours = {
        "PLENUM_URL": env.URL,
        "PLENUM_API_KEY": env.API_KEY,
        "PLENUM_API_SECRET": env.API_SECRET,
    }
    # It may come first: whoever it watches may come later.
    process = await asyncio.create_subprocess_exec(
        sys.executable, BOT, room_name, "--of", "ann", "--as", "edges",
        env={**os.environ, **ours},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert b"shows the edges of ann" in line
        opened(await publish(http, env.mint_token(room_name, "ann"), Box()))
        session, video = await play(http, room_name, "edges", env.mint_token(room_name, "viewer"))
        opened(session)
        await sees(video, shows_edges)
        process.send_signal(2)
        await asyncio.wait_for(process.wait(), 15)
        await until("the bot's picture ends", lambda: process.returncode == 0)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

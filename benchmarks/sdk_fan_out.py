"""A bare fan-out with anyio and the a2a-sdk: what `collectives.py` holds ``bcast`` against.

``sdk_fan_out.py URL COUNT`` makes a client for each of COUNT agents at URL and prints ``ready``. Each line on its
standard input is a text that is sent to all of them at once; the answer is the seconds until all have answered.
"""

from __future__ import annotations

import sys
from time import perf_counter

import anyio
import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.helpers import new_text_message
from a2a.types import SendMessageRequest


async def fan_out(clients: list[Client], text: str) -> float:
    answers: list[object] = []

    async def send(client: Client) -> None:
        async for answer in client.send_message(SendMessageRequest(message=new_text_message(text))):
            answers.append(answer)  # noqa: PERF401 - one answer; a client streams or does not

    began = perf_counter()
    async with anyio.create_task_group() as group:
        for client in clients:
            group.start_soon(send, client)
    if len(answers) != len(clients):
        raise SystemExit(f"error: {len(answers)} answers of {len(clients)}")
    return perf_counter() - began


async def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as http:
        # Not streaming: one request, one answer, as `bcast` does it.
        factory = ClientFactory(ClientConfig(httpx_client=http, streaming=False))
        clients = [await factory.create_from_url(url) for _ in range(count)]
        print("ready", flush=True)
        while line := sys.stdin.readline():  # blocks the loop, in which nothing goes on between rounds
            print(await fan_out(clients, line.rstrip("\n")), flush=True)


anyio.run(main)

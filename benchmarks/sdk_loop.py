"""A raw a2a-sdk client that sends in a loop: what `stdio.py` holds ``missive adapter stdio`` against.

``sdk_loop.py URL TEXT`` prints ``ready``. Each line ``IN_FLIGHT MESSAGES`` on its standard input is one round; the
answer is one line of JSON: ``{"seconds": 1.2, "latencies": [0.0021, …]}``. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter

import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.helpers import new_text_message
from a2a.types import SendMessageRequest


async def one_round(client: Client, text: str, in_flight: int, messages: int) -> str:
    latencies: list[float] = []

    async def slot(count: int) -> None:
        for _ in range(count):
            began = perf_counter()
            async for _answer in client.send_message(SendMessageRequest(message=new_text_message(text))):
                pass
            latencies.append(perf_counter() - began)

    began = perf_counter()
    await asyncio.gather(*(slot(messages // in_flight) for _ in range(in_flight)))
    return json.dumps({"seconds": perf_counter() - began, "latencies": latencies})


async def main() -> None:
    url, text = sys.argv[1:]
    async with httpx.AsyncClient() as http:
        # Not streaming: one request, one answer, as `send` does it.
        client = await ClientFactory(ClientConfig(httpx_client=http, streaming=False)).create_from_url(url)
        print("ready", flush=True)
        while line := sys.stdin.readline():  # blocks the loop, in which nothing goes on between rounds
            in_flight, messages = map(int, line.split())
            print(await one_round(client, text, in_flight, messages), flush=True)


asyncio.run(main())

"""The smallest a2a-sdk script that sends a message: what `start.py` holds ``missive send`` against."""

import asyncio
import sys

from a2a.client import create_client
from a2a.helpers import new_text_message
from a2a.types import SendMessageRequest


async def main() -> None:
    client = await create_client(sys.argv[1])
    async for answer in client.send_message(SendMessageRequest(message=new_text_message(sys.argv[2]))):
        print(answer)


asyncio.run(main())

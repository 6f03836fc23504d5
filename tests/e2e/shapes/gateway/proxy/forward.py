"""Forwards each connection to port 80 of this container to a host and port."""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter


async def copy(reader: StreamReader, writer: StreamWriter) -> None:
    """Copy until one side closes."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def forward(reader: StreamReader, writer: StreamWriter) -> None:
    """Connect both sides, or close the connection if the host is not there."""
    try:
        there, back = await asyncio.open_connection(*sys.argv[1:3])
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)


async def main() -> None:
    """Listen for ever."""
    async with await asyncio.start_server(forward, "0.0.0.0", 80) as server:
        await server.serve_forever()


asyncio.run(main())

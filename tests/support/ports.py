"""Ports that no other test run on this machine uses, nor as a connection's local port.

Between asking for a free port and starting a server on it, another worker could take the port. So
each process reserves its own block of ports, and hands them out one after the other.
"""

from __future__ import annotations

import functools
import itertools
import random
import socket
from collections.abc import Iterator

# Below the range that Linux uses for connections, so that no connection is ever in the way.
FIRST, LAST = 12_000, 32_000
BLOCK = 200


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports of this process's block that are free on 127.0.0.1 now, all different."""
    return tuple(itertools.islice(_free(), count))


def _free() -> Iterator[int]:
    for port in itertools.islice(_turns(), BLOCK):
        if listening := _bound(port):
            listening.close()
            yield port
    raise AssertionError(f"none of {BLOCK} ports is free")


@functools.cache
def _turns() -> Iterator[int]:
    """Go round the block, because a port may linger after its server has ended."""
    return itertools.cycle(range(_reserved() + 1, _reserved() + BLOCK))


@functools.cache
def _reserved() -> int:
    """Return the first port of a block, which this process keeps to reserve the rest."""
    blocks = list(range(FIRST, LAST, BLOCK))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        if guard := _bound(first):
            _guards.append(guard)
            return first
    raise AssertionError("all blocks of ports are reserved")


_guards: list[socket.socket] = []


def _bound(port: int) -> socket.socket | None:
    bound = socket.socket()
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        return None
    return bound

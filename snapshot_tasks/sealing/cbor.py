"""Decodes the CBOR of Qdrant's log entries: as much of it as descriptions of indexes use."""

from __future__ import annotations

import struct
from typing import Any

MAX_DEPTH = 16
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_INDEFINITE, _BREAK = 31, 0xFF


def decode(data: bytes) -> Any:
    """Return the first value in the data.

    Raises:
        ValueError: if it is not CBOR, or of a kind that no description of an index has.
    """
    try:
        return _Decoder(data).value(MAX_DEPTH)
    except (IndexError, struct.error, TypeError) as error:
        raise ValueError("invalid CBOR") from error


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self, depth: int) -> Any:
        if not depth:
            raise ValueError("CBOR is nested too deeply")
        head = self._data[self._at]
        self._at += 1
        kind, short = head >> 5, head & 31
        if kind == 7:
            return self._simple(short)
        if kind in (4, 5):
            values = list(self._values(short, 1 if kind == 4 else 2, depth))
            return values if kind == 4 else dict(zip(values[::2], values[1::2], strict=True))
        number = self._number(short)
        if kind in (2, 3):
            data = self._take(number)
            return data if kind == 2 else data.decode("utf-8")
        if kind > 3:
            raise ValueError("CBOR has a tag")
        return -1 - number if kind else number

    def _values(self, short: int, of_each: int, depth: int) -> list[Any]:
        if short != _INDEFINITE:
            return [self.value(depth - 1) for _ in range(self._number(short) * of_each)]
        values = []
        while self._data[self._at] != _BREAK:
            values.append(self.value(depth - 1))
        self._at += 1
        return values

    def _simple(self, short: int) -> Any:
        if short in _FLOATS:
            (number,) = struct.unpack(_FLOATS[short], self._take(1 << (short - 24)))
            return number
        if short not in _SIMPLE:
            raise ValueError("CBOR has an unknown value")
        return _SIMPLE[short]

    def _number(self, short: int) -> int:
        if short < 24:
            return short
        if short > 27:
            raise ValueError("CBOR has an invalid length")
        return int.from_bytes(self._take(1 << (short - 24)), "big")

    def _take(self, size: int) -> bytes:
        data = self._data[self._at : self._at + size]
        if len(data) < size:
            raise ValueError("CBOR is truncated")
        self._at += size
        return data

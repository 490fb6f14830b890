"""The lines of one attempt: cut into pieces, encoded as chunks, kept until the server has them on disk."""

import time
from collections import deque
from dataclasses import dataclass, field

from signalbox.v1 import chunk_pb2

LONGEST_PIECE = 64 * 1024
PARTIAL_S = 0.100
FLUSH_BYTES = 64 * 1024
FLUSH_S = 0.020
# A piece counts with what its columns take at most; so a chunk of pieces of any length stays well below 256 KiB encoded.
PIECE_COST = 16
CHUNK_COST = 128 * 1024
LONGEST_DELTA_US = 2**31 - 1

CONTINUES = 1 << 5


def now_us() -> int:
    return time.time_ns() // 1000


@dataclass
class Piece:
    data: bytes
    time_us: int
    flags: int
    fields: dict[str, str]

    @property
    def cost(self) -> int:
        return len(self.data) + PIECE_COST + sum(len(k.encode()) + len(v.encode()) + 8 for k, v in self.fields.items())


@dataclass
class Chunk:
    """Encoded once: sent again, if need be, as the very same bytes."""

    first_line: int
    next_line: int
    body: bytes
    # The server cannot take it: a gap goes in its place.
    refused: bool = False


@dataclass
class Partial:
    """What one source printed after its newest piece."""

    data: bytearray = field(default_factory=bytearray)
    time_us: int = 0
    begun_s: float = 0.0
    continues: bool = False


class Lines:
    """Not locked: whoever calls holds the attempt's condition."""

    def __init__(self) -> None:
        self.next_line = 1
        self.acked_line = 1
        self.chunks: deque[Chunk] = deque()
        self.kept_bytes = 0
        self._partials: dict[int, Partial] = {}
        self._waiting: deque[Piece] = deque()
        self._waiting_cost = 0
        self._waiting_since_s = 0.0

    @property
    def buffered_bytes(self) -> int:
        return self.kept_bytes + self._waiting_cost + sum(len(p.data) for p in self._partials.values())

    @property
    def all_acked(self) -> bool:
        return not self.chunks and not self._waiting and not any(p.data for p in self._partials.values())

    def write(self, data: bytes, source: int, level: int = 0, fields: dict[str, str] | None = None) -> None:
        """Takes bytes as they are. `fields` stand on the first piece."""
        partial = self._partials.setdefault(source, Partial())
        fields = fields or {}
        if not partial.data:
            self._begin(partial)
        partial.data += data
        while (end := piece_end(partial.data)) > 0:
            self._cut(partial, source, end, level, fields)
            fields = {}

    def due_in_s(self) -> float | None:
        """When a line is to be ended or what waits to be encoded; None: not before something is written."""
        times = [partial.begun_s + PARTIAL_S for partial in self._partials.values() if partial.data]
        if self._waiting:
            times.append(self._waiting_since_s + FLUSH_S)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def cut_partials(self, before_s: float | None = None) -> None:
        """Ends unfinished lines: those begun before a time of the monotonic clock, or all."""
        for source, partial in self._partials.items():
            if partial.data and (before_s is None or partial.begun_s <= before_s):
                self._cut(partial, source, len(partial.data), 0, {})

    def cut_due(self) -> None:
        self.cut_partials(time.monotonic() - PARTIAL_S)

    def flush(self) -> None:
        """Encodes what waits if it is time to send it: nothing is unacknowledged, much waits, or something has waited long."""
        while self._waiting and (
            not self.chunks
            or self._waiting_cost >= FLUSH_BYTES
            or time.monotonic() - self._waiting_since_s >= FLUSH_S
        ):
            self._encode()

    def ack(self, next_line: int) -> None:
        """All lines below `next_line` are on disk."""
        self.acked_line = next_line
        while self.chunks and self.chunks[0].next_line <= next_line:
            self.kept_bytes -= len(self.chunks.popleft().body)

    def _begin(self, partial: Partial) -> None:
        partial.time_us = now_us()
        partial.begun_s = time.monotonic()

    def _cut(self, partial: Partial, source: int, end: int, level: int, fields: dict[str, str]) -> None:
        data = bytes(partial.data[:end])
        del partial.data[:end]
        flags = (0 if partial.continues else level) | (source - 1) << 3 | (CONTINUES if partial.continues else 0)
        piece = Piece(data, partial.time_us, flags, fields)
        partial.continues = not data.endswith(b"\n")
        self._begin(partial)
        if not self._waiting:
            self._waiting_since_s = time.monotonic()
        self._waiting.append(piece)
        self._waiting_cost += piece.cost
        self.next_line += 1

    def _encode(self) -> None:
        body = chunk_pb2.ChunkBody(
            first_line=self.next_line - len(self._waiting), base_time_us=self._waiting[0].time_us
        )
        flags, blob, cost = bytearray(), bytearray(), 0
        while self._waiting:
            piece = self._waiting[0]
            delta_us = piece.time_us - body.base_time_us
            if body.line_count > 0 and (cost + piece.cost > CHUNK_COST or abs(delta_us) > LONGEST_DELTA_US):
                break
            if piece.fields:
                body.attributes.add(index=body.line_count, fields=piece.fields)
            body.line_count += 1
            body.time_delta_us.append(delta_us)
            body.length.append(len(piece.data))
            flags.append(piece.flags)
            blob += piece.data
            cost += piece.cost
            self._waiting.popleft()
        body.line_flags = bytes(flags)
        body.blob = bytes(blob)
        self._waiting_cost -= cost
        self._waiting_since_s = time.monotonic()
        chunk = Chunk(body.first_line, body.first_line + body.line_count, body.SerializeToString())
        self.chunks.append(chunk)
        self.kept_bytes += len(chunk.body)


def piece_end(data: bytearray) -> int:
    """Where the first piece of `data` ends; 0: it goes on."""
    end = data.find(b"\n", 0, LONGEST_PIECE) + 1
    if end > 0 or len(data) <= LONGEST_PIECE:
        return end
    # Not inside a UTF-8 sequence: back to where the one that goes on behind the bound begins.
    for back in range(4):
        if data[LONGEST_PIECE - back] & 0xC0 != 0x80:
            return LONGEST_PIECE - back
    return LONGEST_PIECE

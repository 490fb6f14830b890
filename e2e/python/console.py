"""A console in Python: starts a job, watches it and steers it in one conversation (RunService.RunJob).

`Console` is the whole client; `main` is what the test has it do, and prints what it saw as JSON.
"""

import json
import os
import queue
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator

import grpc
from signalbox.v1 import job_pb2, run_service_pb2, run_service_pb2_grpc

from worker import read_token

HEARTBEAT_S = 5
PIECE_BYTES = 64 * 1024


class Refused(Exception):
    """A command changed nothing."""


class Console:
    """One conversation with one job. Events are read in a thread; what was seen is in the attributes."""

    def __init__(self, channel: grpc.Channel, metadata: list[tuple[str, str]], start: run_service_pb2.Start) -> None:
        self.job = job_pb2.JobRecord()
        self.progress = job_pb2.Vitals()
        self.input = run_service_pb2.InputState()
        self.lines: dict[int, str] = {}
        self.skipped = 0
        self.next_line = 0
        self.events = 0
        self.done: run_service_pb2.Done | None = None
        self.error: grpc.RpcError | None = None
        self._answers: dict[str, run_service_pb2.JobEvent] = {}
        self._changed = threading.Condition()
        self._up: queue.SimpleQueue[run_service_pb2.ClientCommand | None] = queue.SimpleQueue()
        self._send(start=start)
        # No deadline: the conversation lasts as long as the job.
        self._call = run_service_pb2_grpc.RunServiceStub(channel).RunJob(self._commands(), metadata=metadata)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def pause(self, reason: str = "") -> None:
        self._ask(pause=run_service_pb2.Pause(reason=reason))

    def resume(self) -> None:
        self._ask(resume=run_service_pb2.Resume())

    def cancel(self, grace_ms: int = 10_000, reason: str = "") -> None:
        self._ask(cancel=run_service_pb2.Cancel(grace_ms=grace_ms, reason=reason))

    def set_speed(self, items_per_second: float) -> None:
        self._ask(set_speed=job_pb2.SpeedValue(items_per_second=items_per_second))

    def set_verbosity(self, verbosity: int) -> None:
        """0: errors, 1: info, 2: debug."""
        level = job_pb2.LogLevelValue(verbosity=verbosity)
        self._ask(set_log_level=run_service_pb2.SetLogLevel(level=level))

    def set_rate(self, events_per_second: float) -> None:
        self._ask(set_rate=run_service_pb2.SetRate(events_per_second=events_per_second))

    def write(self, data: bytes, eof: bool = False) -> None:
        """Sends input, each piece for its place. Waits while the job leaves a lot of it lying."""
        pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)] or [b""]
        for i, piece in enumerate(pieces):
            offset = self.input.next_offset
            last = eof and i == len(pieces) - 1
            self._ask(input=run_service_pb2.ConsoleInput(offset=offset, data=piece, eof=last))
            self.wait(lambda end=offset + len(piece): self.input.next_offset >= end)

    def wait(self, ready: Callable[[], bool], timeout_s: float = 30) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self.error or ready(), timeout_s):
                raise TimeoutError(f"not seen within {timeout_s} s; the job is {self.job}")
        if self.error:
            raise self.error

    def close(self) -> None:
        """Ends this side: the job goes on, unless `start` said `cancel_on_close`."""
        self._up.put(None)
        self._reader.join()

    def _ask(self, **command: object) -> None:
        """Sends a command and waits for its answer. The id makes it safe to send the same command again."""
        identity = self._send(**command)
        self.wait(lambda: identity in self._answers or self.done is not None)
        answer = self._answers.pop(identity, None)
        if answer and answer.WhichOneof("event") == "refused":
            raise Refused(answer.refused.reason)

    def _send(self, **command: object) -> str:
        identity = str(uuid.uuid4())
        self._up.put(run_service_pb2.ClientCommand(id=identity, **command))
        return identity

    def _commands(self) -> Iterator[run_service_pb2.ClientCommand]:
        while True:
            try:
                command = self._up.get(timeout=HEARTBEAT_S)
            except queue.Empty:
                command = run_service_pb2.ClientCommand(heartbeat=run_service_pb2.ConsoleHeartbeat())
            if command is None:
                return
            yield command

    def _read(self) -> None:
        try:
            for event in self._call:
                with self._changed:
                    self._take(event)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            with self._changed:
                self.error = error
                self._changed.notify_all()
        finally:
            self._up.put(None)

    def _take(self, event: run_service_pb2.JobEvent) -> None:
        kind = event.WhichOneof("event")
        self.events += 1
        if kind == "state":
            self.job = event.state
        elif kind == "progress":
            self.progress = event.progress
        elif kind == "log":
            self._take_lines(event.log)
        elif kind == "input":
            self.input = event.input
        elif kind == "accepted":
            self._answers[event.accepted.id] = event
        elif kind == "refused":
            self._answers[event.refused.id] = event
        elif kind == "done":
            self.job, self.done = event.done.job, event.done

    def _take_lines(self, log: run_service_pb2.ConsoleLog) -> None:
        assert self.next_line in (0, log.first_line - log.skipped_lines), "a line is missing or came twice"
        self.skipped += log.skipped_lines
        self.next_line = log.next_line
        for entry in log.entries:
            body, at = entry.chunk.body, 0
            for i, length in enumerate(body.length):
                number = body.first_line + i
                if number >= log.first_line:
                    self.lines[number] = body.blob[at : at + length].decode(errors="replace").rstrip("\n")
                at += length


def run_mode(job: job_pb2.JobRecord) -> int:
    return next(setting.value.run.mode for setting in job.spec.levers if setting.value.WhichOneof("value") == "run")


def main() -> None:
    target = urllib.parse.urlsplit(os.environ["SIGNALBOX_URL"]).netloc
    bearer = [("authorization", f"Bearer {read_token(os.environ['SIGNALBOX_TOKEN_FILE'])}")]
    found: dict[str, object] = {}
    with grpc.insecure_channel(target) as channel:
        count = Console(channel, bearer, run_service_pb2.Start(type="py-count", name="from python"))
        count.wait(lambda: count.job.state == job_pb2.JOB_STATE_RUNNING and len(count.lines) > 5)
        count.pause("lunch")
        count.wait(lambda: count.job.state == job_pb2.JOB_STATE_PAUSED)
        found["paused"] = run_mode(count.job) == job_pb2.RUN_MODE_PAUSE
        count.set_speed(400)
        count.set_verbosity(1)
        count.resume()
        lines = len(count.lines)
        count.wait(lambda: count.job.state == job_pb2.JOB_STATE_RUNNING and len(count.lines) > lines + 200)
        try:
            count.set_speed(0)
        except Refused as refusal:
            found["refused"] = str(refusal)
        count.set_rate(20)
        skipped = count.skipped
        count.wait(lambda: count.skipped > skipped)
        count.cancel(reason="seen enough")
        count.wait(lambda: count.done is not None)
        found["count"] = {
            "id": count.job.id,
            "state": job_pb2.JobState.Name(count.job.state),
            "lines": len(count.lines),
            "skipped": count.skipped,
            "endLine": count.done.end_line,
        }

        echo = Console(channel, bearer, run_service_pb2.Start(type="py-echo"))
        echo.wait(lambda: echo.job.state == job_pb2.JOB_STATE_RUNNING)
        echo.write(b"hello\n")
        echo.write(b"x" * 100_000 + b"\n", eof=True)
        echo.wait(lambda: echo.done is not None)
        text = "\n".join(echo.lines[number] for number in sorted(echo.lines))
        found["echo"] = {
            "state": job_pb2.JobState.Name(echo.job.state),
            "stored": echo.input.next_offset,
            "closed": echo.input.closed,
            "text": text.replace("\n", "").replace("x" * 100_000, "<x>"),
        }

        owned = Console(channel, bearer, run_service_pb2.Start(type="py-count", cancel_on_close=True))
        owned.wait(lambda: owned.job.state == job_pb2.JOB_STATE_RUNNING)
        owned.close()
        found["owned"] = owned.job.id
    print(json.dumps(found))


if __name__ == "__main__":
    main()

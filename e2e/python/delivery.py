"""Delivers the lines of one attempt by PushLogs, stream after stream, until the server has them all."""

import threading
from collections.abc import Callable, Iterator

import grpc
from signalbox.v1 import worker_pb2, worker_pb2_grpc
from signalbox.v1.chunk_pb2 import GAP_CAUSE_REFUSED, GAP_CAUSE_STORE_ROLLBACK, Gap

from attempt import Attempt, Fenced
from back_off import BackOff
from lines import Chunk


class Delivery:
    """A thread for each attempt. `link` gives the stub of the connection that is open, None while there is none."""

    def __init__(
        self,
        attempt: Attempt,
        incarnation: str,
        link: Callable[[], worker_pb2_grpc.WorkerServiceStub | None],
        metadata: Callable[[], list[tuple[str, str]]],
        delivered: Callable[[Attempt], None],
    ) -> None:
        self._attempt, self._incarnation = attempt, incarnation
        self._link, self._metadata, self._delivered = link, metadata, delivered
        self._changed, self._lines = attempt.changed, attempt.lines
        self._credit_bytes = 0
        self._sent_line = 0
        self._in_flight: list[Chunk] = []
        self._opened = self._abandoned = False
        # The stream that is open. gRPC takes requests in a thread of its own, which may notice late that its stream has ended.
        self._current: object | None = None
        self._one_at_a_time = False

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def abandon(self) -> None:
        """The attempt is not ours any more: its lines are thrown away."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def _run(self) -> None:
        back_off = BackOff()
        while stub := self._wait_for_work():
            try:
                self._stream(stub)
                back_off.reset()
            except grpc.RpcError as error:
                self._failed(error)
                if self._opened:
                    back_off.reset()
                with self._changed:
                    self._changed.wait_for(lambda: self._abandoned, back_off.next_s())
        if not self._abandoned:
            self._delivered(self._attempt)

    def _wait_for_work(self) -> worker_pb2_grpc.WorkerServiceStub | None:
        """Waits for lines and a link to send them on. None: there will be no more lines to send."""
        with self._changed:
            while not self._abandoned:
                self._lines.cut_due()
                self._lines.flush()
                if self._attempt.end and self._lines.all_acked:
                    return None
                if self._lines.chunks and (stub := self._link()):
                    return stub
                self._changed.wait(self._lines.due_in_s())
        return None

    def _stream(self, stub: worker_pb2_grpc.WorkerServiceStub) -> None:
        with self._changed:
            self._current = current = object()
            self._opened = False
            self._in_flight = []
        try:
            call = stub.PushLogs(self._requests(current), metadata=self._metadata())
        except ValueError:
            # The link was closed a moment ago: there will be another one.
            return
        try:
            for response in call:
                with self._changed:
                    self._answered(response)
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._current = None
                self._changed.notify_all()

    def _requests(self, current: object) -> Iterator[worker_pb2.PushLogsRequest]:
        attempt = self._attempt
        yield worker_pb2.PushLogsRequest(
            open=worker_pb2.PushLogsOpen(
                job_id=attempt.job_id, attempt=attempt.number, incarnation=self._incarnation
            )
        )
        while True:
            with self._changed:
                while True:
                    is_over = attempt.end and self._opened and self._lines.all_acked
                    if is_over or self._abandoned or self._current is not current:
                        return
                    if request := self._next():
                        break
                    self._changed.wait(self._lines.due_in_s())
            yield request

    def _next(self) -> worker_pb2.PushLogsRequest | None:
        """What may be sent now."""
        if not self._opened:
            return None
        self._lines.cut_due()
        self._lines.flush()
        chunk = next((each for each in self._lines.chunks if each.next_line > self._sent_line), None)
        if not chunk:
            return None
        if chunk.first_line > self._sent_line:
            # Acknowledged once and asked for again: the server's store was set back, and these are gone.
            return self._gap(chunk.first_line, GAP_CAUSE_STORE_ROLLBACK)
        in_flight = sum(len(each.body) for each in self._in_flight)
        if in_flight > 0 and (self._one_at_a_time or in_flight + len(chunk.body) > self._credit_bytes):
            return None
        self._in_flight.append(chunk)
        if chunk.refused:
            return self._gap(chunk.next_line, GAP_CAUSE_REFUSED)
        self._sent_line = chunk.next_line
        return worker_pb2.PushLogsRequest(chunk=chunk.body)

    def _gap(self, next_line: int, cause: int) -> worker_pb2.PushLogsRequest:
        gap = Gap(first_line=self._sent_line, line_count=next_line - self._sent_line, cause=cause)
        self._sent_line = next_line
        return worker_pb2.PushLogsRequest(gap=gap)

    def _answered(self, response: worker_pb2.PushLogsResponse) -> None:
        if response.next_line > self._lines.next_line:
            self._abandoned = True
            self._attempt.stop(Fenced("somebody else writes this attempt's lines"), 0)
            return
        if not self._opened:
            self._opened, self._sent_line = True, response.next_line
        self._credit_bytes = response.credit_bytes
        self._lines.ack(response.next_line)
        self._in_flight = [each for each in self._in_flight if each.next_line > response.next_line]

    def _failed(self, error: grpc.RpcError) -> None:
        """After a refusal chunks go one at a time; the one that is refused then is given up."""
        if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
            return
        with self._changed:
            if self._one_at_a_time and self._in_flight:
                self._in_flight[0].refused = True
            self._one_at_a_time = True

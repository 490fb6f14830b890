"""A Signalbox worker, written from docs/protocol.md: one Connect stream for control, a PushLogs stream for each attempt with lines."""

import os
import queue
import signal
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence

import grpc
from signalbox.v1 import job_pb2, worker_pb2, worker_pb2_grpc
from signalbox.v1.worker_pb2 import ConnectRequest

from attempt import Attempt, Fenced, JobType, Released
from back_off import BackOff
from delivery import Delivery
from jobs import JOB_TYPES
from lines import now_us

SILENCE_S = 12.0
TICK_S = 0.050
VITALS_EVERY_S = 0.250
STOP_GRACE_S = 5.0
STOP_TIMEOUT_S = 15.0


class Outbox:
    """What goes up on one Connect stream. gRPC takes from it in a thread of its own, until `close`."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[ConnectRequest | None] = queue.SimpleQueue()

    def put(self, request: ConnectRequest) -> None:
        self._queue.put(request)

    def close(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[ConnectRequest]:
        return iter(self._queue.get, None)


class Worker:
    """Whoever holds an attempt's condition must not take the lock: it goes the other way round."""

    def __init__(self, url: str, token_file: str, worker_id: str, job_types: Sequence[JobType], slots: int) -> None:
        self._target, self._token_file, self._worker_id = urllib.parse.urlsplit(url).netloc, token_file, worker_id
        self._job_types = {job_type.name: job_type for job_type in job_types}
        self._slots = slots
        self._incarnation = str(uuid.uuid4())
        self._lock = threading.RLock()
        self._attempts: dict[tuple[str, int], tuple[Attempt, Delivery]] = {}
        self._declined: dict[tuple[str, int], job_pb2.AttemptReport] = {}
        self._over: set[tuple[str, int]] = set()
        self._outbox: Outbox | None = None
        self._stub: worker_pb2_grpc.WorkerServiceStub | None = None
        self._call: grpc.Call | None = None
        self._bearer: list[tuple[str, str]] = []
        self._heard_s = self._beat_s = self._vitals_s = 0.0
        self._heartbeat_s = 5.0
        self._last_vitals: dict[tuple[str, int], worker_pb2.AttemptVitals] = {}
        self._leaving = ""
        self._all_over = threading.Condition(self._lock)
        self._connection = threading.Thread(target=self._keep_connected, daemon=True)
        self.closed = threading.Event()

    def start(self) -> None:
        """Connects, and connects again, in threads of its own; `closed` is set when the worker has stopped."""
        self._connection.start()
        threading.Thread(target=self._tick, daemon=True).start()

    def stop(self, reason: str) -> None:
        """Takes no more, lets what runs end as RELEASED, delivers it, and leaves."""
        with self._lock:
            if self._leaving:
                return
            self._leaving = reason
            self._send(leaving=worker_pb2.Leaving(reason=reason))
            for attempt, _ in self._attempts.values():
                attempt.stop(Released(reason), STOP_GRACE_S)
            self._all_over.wait_for(lambda: not self._attempts and not self._declined, STOP_TIMEOUT_S)
            self.closed.set()
            if self._outbox:
                self._outbox.close()
        self._connection.join(1)

    # The Connect stream.

    def _keep_connected(self) -> None:
        back_off = BackOff()
        while not self.closed.is_set():
            try:
                self._connect(back_off)
            except (grpc.RpcError, OSError) as error:
                if isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                    say(f"another process has this worker's name: {error.details()}")
                    self._abandon_all()
                    self.closed.set()
                else:
                    say(f"no link: {error.details() if isinstance(error, grpc.Call) else error}")
            self.closed.wait(back_off.next_s())

    def _connect(self, back_off: BackOff) -> None:
        self._bearer = [("authorization", f"Bearer {read_token(self._token_file)}")]
        # A channel for each try: the back-off is this worker's, not that of gRPC.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._target, options) as channel:
            stub = worker_pb2_grpc.WorkerServiceStub(channel)
            outbox = Outbox()
            outbox.put(ConnectRequest(hello=self._hello()))
            with self._lock:
                self._heard_s = time.monotonic()
                self._call = call = stub.Connect(iter(outbox), metadata=self._bearer)
            try:
                for response in call:
                    with self._lock:
                        self._heard_s = time.monotonic()
                        if response.WhichOneof("message") == "welcome":
                            back_off.reset()
                            self._welcomed(response.welcome, outbox, stub)
                        else:
                            self._received(response)
            finally:
                with self._lock:
                    self._outbox = self._stub = self._call = None
                outbox.close()

    def _hello(self) -> worker_pb2.Hello:
        with self._lock:
            states = [attempt.state(whole=True) for attempt, _ in self._attempts.values()]
            return worker_pb2.Hello(
                worker_id=self._worker_id,
                incarnation=self._incarnation,
                agent="signalbox-python-example/0.1.0",
                job_types=[job_type.offer() for job_type in self._job_types.values()],
                slots=self._slots,
                attempts=[*states, *self._declined.values()],
                worker_time_us=now_us(),
            )

    def _welcomed(
        self, welcome: worker_pb2.Welcome, outbox: Outbox, stub: worker_pb2_grpc.WorkerServiceStub
    ) -> None:
        self._outbox, self._stub = outbox, stub
        self._heartbeat_s = welcome.heartbeat_ms / 1000
        self._last_vitals.clear()
        if self._leaving:
            self._send(leaving=worker_pb2.Leaving(reason=self._leaving))
        for attempt, _ in self._attempts.values():
            # Once more, because it may have changed since hello was made.
            self._report(attempt)
            self._report_input(attempt)
            attempt.wake()

    def _received(self, response: worker_pb2.ConnectResponse) -> None:
        match response.WhichOneof("message"):
            case "heartbeat":
                self._beat(response.heartbeat.server_time_us)
            case "spec":
                self._receive_spec(response.spec)
            case "end_accepted":
                self._forget((response.end_accepted.job_id, response.end_accepted.attempt))
            case "fenced":
                key = (response.fenced.job_id, response.fenced.attempt)
                if key in self._attempts:
                    attempt, delivery = self._attempts[key]
                    attempt.stop(Fenced(response.fenced.reason), 0)
                    delivery.abandon()
                self._forget(key)
            case "input":
                if known := self._attempts.get((response.input.job_id, response.input.attempt)):
                    known[0].receive_input(response.input)
            case "drain" if response.drain.stop:
                reason = response.drain.reason or "the server asked for it"
                threading.Thread(target=self.stop, args=(reason,), daemon=True).start()

    def _send(self, **message) -> None:
        """What is said while there is no link is said by the next hello."""
        if outbox := self._outbox:
            outbox.put(ConnectRequest(**message))

    # Attempts.

    def _receive_spec(self, spec: worker_pb2.AttemptSpec) -> None:
        key = (spec.job_id, spec.attempt)
        if key in self._over or key in self._declined:
            return
        if key in self._attempts:
            self._attempts[key][0].receive(spec)
            return
        job_type = self._job_types.get(spec.type)
        if self._leaving or not job_type or len(self._attempts) >= self._slots:
            self._decline(spec, self._leaving or ("no free slot" if job_type else f"no job type {spec.type} here"))
            return
        attempt = Attempt(spec, job_type, self._report, self._report_input)
        delivery = Delivery(attempt, self._incarnation, lambda: self._stub, lambda: self._bearer, self._delivered)
        self._attempts[key] = (attempt, delivery)
        delivery.start()
        attempt.start()
        self._report_input(attempt)

    def _decline(self, spec: worker_pb2.AttemptSpec, reason: str) -> None:
        end = job_pb2.AttemptEnd(
            outcome=job_pb2.END_OUTCOME_DECLINED, reason=reason, end_line=1, at_us=now_us()
        )
        report = job_pb2.AttemptReport(
            job_id=spec.job_id, attempt=spec.attempt, received_generation=spec.spec.generation, next_line=1, end=end
        )
        self._declined[spec.job_id, spec.attempt] = report
        self._send(report=report)

    def _forget(self, key: tuple[str, int]) -> None:
        if self._attempts.pop(key, None) or self._declined.pop(key, None):
            self._over.add(key)
        self._all_over.notify_all()

    def _abandon_all(self) -> None:
        with self._lock:
            for attempt, delivery in self._attempts.values():
                attempt.stop(Fenced("another process has this worker's name"), 0)
                delivery.abandon()

    def _report(self, attempt: Attempt) -> None:
        # Held from the making to the queue, so that an older state never follows a newer one.
        with attempt.changed:
            self._send(report=attempt.state())

    def _report_input(self, attempt: Attempt) -> None:
        if attempt.job_type.takes_input:
            taken = worker_pb2.InputTaken(
                job_id=attempt.job_id, attempt=attempt.number, offset=attempt.input_taken
            )
            self._send(input_taken=taken)

    def _delivered(self, attempt: Attempt) -> None:
        """All lines of an attempt that has ended are on disk: now its end may be said, behind its newest vitals."""
        attempt.delivered = True
        self._send_vitals([attempt])
        self._report(attempt)

    # Time.

    def _beat(self, echo_server_time_us: int) -> None:
        self._beat_s = time.monotonic()
        buffered = sum(attempt.buffered_bytes for attempt, _ in self._attempts.values())
        beat = worker_pb2.WorkerHeartbeat(
            echo_server_time_us=echo_server_time_us, worker_time_us=now_us(), buffered_bytes=buffered
        )
        self._send(heartbeat=beat)

    def _tick(self) -> None:
        while not self.closed.wait(TICK_S):
            with self._lock:
                attempts = [attempt for attempt, _ in self._attempts.values()]
                now_s = time.monotonic()
                if self._call and now_s - self._heard_s > SILENCE_S:
                    self._call.cancel()
                if now_s - self._beat_s >= self._heartbeat_s:
                    self._beat(0)
            for attempt in attempts:
                attempt.tick()
            if now_s - self._vitals_s >= VITALS_EVERY_S:
                self._vitals_s = now_s
                self._send_vitals(attempts)

    def _send_vitals(self, attempts: list[Attempt]) -> None:
        changed = []
        for attempt in attempts:
            vitals = attempt.vitals()
            last = self._last_vitals.get(attempt.key)
            self._last_vitals[attempt.key] = vitals
            if not last or (vitals.items_done, vitals.items_per_second, vitals.stalled_by) != (
                last.items_done,
                last.items_per_second,
                last.stalled_by,
            ):
                changed.append(vitals)
        if changed:
            self._send(vitals=worker_pb2.VitalsReport(attempts=changed))


def read_token(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    worker = Worker(
        url=os.environ.get("SIGNALBOX_URL", "http://127.0.0.1:9090"),
        token_file=os.environ.get("SIGNALBOX_TOKEN_FILE", os.path.expanduser("~/.signalbox/token")),
        worker_id=os.environ.get("SIGNALBOX_WORKER_ID", f"python:{os.getpid()}"),
        job_types=JOB_TYPES,
        slots=4,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=worker.stop, args=("the worker stops",)).start())
    worker.start()
    print("started", flush=True)
    worker.closed.wait()


if __name__ == "__main__":
    main()

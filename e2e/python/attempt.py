"""One attempt: what the job function is given, and what the server is told of it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from signalbox.v1 import job_pb2, worker_pb2
from signalbox.v1.chunk_pb2 import LEVEL_INFO, SOURCE_STDOUT, SOURCE_TASK
from signalbox.v1.job_pb2 import RUN_MODE_CANCEL, RUN_MODE_PAUSE

from levers import Levers
from lines import Lines, now_us

MOST_BUFFERED_BYTES = 8 * 1024 * 1024
BEHIND_S = 0.020
RATE_OVER_S = 5.0
CHECKPOINT_EVERY_S = 1.0


class Canceled(Exception):
    """Somebody asked to cancel the job."""


class Released(Exception):
    """The worker stops; the job could go on elsewhere."""


class Fenced(Exception):
    """The attempt belongs to nobody or somebody else."""


@dataclass(frozen=True)
class JobType:
    name: str
    description: str
    run: Callable[["Attempt"], None]
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    levers: tuple[str, ...] = ("run", "speed", "log_level")
    takes_input: bool = False
    items_per_second: float | None = None

    def offer(self) -> worker_pb2.JobType:
        offer = worker_pb2.JobType(
            name=self.name,
            description=self.description,
            levers=self.levers,
            item_noun="numbers",
            takes_input=self.takes_input,
            default_items_per_second=self.items_per_second,
        )
        offer.parameters_schema.update(self.schema)
        return offer


class Attempt:
    """Runs a job function in a thread of its own. `report` sends its state; everything else is guarded by `changed`."""

    def __init__(
        self,
        spec: worker_pb2.AttemptSpec,
        job_type: JobType,
        report: Callable[["Attempt"], None],
        report_input: Callable[["Attempt"], None],
    ) -> None:
        self.job_id, self.number, self.job_type = spec.job_id, spec.attempt, job_type
        self.changed = threading.Condition()
        self.lines = Lines()
        self.parameters: dict[str, Any] = {}
        self.saved = spec.checkpoint
        self.end: job_pb2.AttemptEnd | None = None
        self.delivered = False
        self.stalled_by = ""
        self.done, self.total = 0, None
        self._report, self._report_input = report, report_input
        self._levers = Levers(self._cut_line)
        self._received_generation = 0
        self._started = False
        self._stands = False
        self._ending: Exception | None = None
        # The newest CANCEL, and the line at which the first one came.
        self._cancel: tuple[job_pb2.LeverSetting, int] | None = None
        self._give_up_at_s: float | None = None
        self._anchor_s, self._since_anchor, self._begun_s = 0.0, 0, 0.0
        self._rates: deque[tuple[float, int]] = deque()
        self._checkpoint, self._checkpoint_at_s, self._checkpoint_is_new = b"", 0.0, False
        self._input: deque[bytes] = deque()
        self._input_received, self._input_ended = 0, False
        self.input_taken = 0
        self.receive(spec)

    @property
    def key(self) -> tuple[str, int]:
        return self.job_id, self.number

    # What the job function uses.

    def items(self, items: Iterable[Any]) -> Iterator[Any]:
        """Goes through `items`: stands before each while paused, keeps the speed, and counts."""
        for item in items:
            self.safe_point()
            self._wait_until_due()
            yield item
            with self.changed:
                self.done += 1

    def safe_point(self) -> None:
        """Stands while paused, or while too many lines wait for the server. Raises what ends the job."""
        with self.changed:
            while True:
                if self._ending:
                    self.stalled_by = ""
                    raise self._ending
                run = self._levers.wanted("run")
                if run:
                    self._stands = run.mode == RUN_MODE_PAUSE
                    self._anchor()
                    self._levers.apply("run")
                    self._report(self)
                full = self.lines.buffered_bytes > MOST_BUFFERED_BYTES
                self.stalled_by = "waiting for the log to drain" if full and not self._stands else ""
                if not self._stands and not full:
                    return
                self.changed.wait()

    def log(self, text: str, level: int = LEVEL_INFO, **fields: str) -> None:
        """Writes a line, unless the level lever drops it."""
        with self.changed:
            wanted = self._levers.value("log_level")
            if not self.end and not (wanted and 0 < level < wanted.level):
                self.lines.write(text.encode() + b"\n", SOURCE_TASK, level, fields)
                self.changed.notify_all()

    def write(self, data: bytes, source: int = SOURCE_STDOUT) -> None:
        """Writes bytes exactly as they are, without a level: the server's detector looks at them."""
        with self.changed:
            if not self.end:
                self.lines.write(data, source)
                self.changed.notify_all()

    def checkpoint(self, save: bytes) -> None:
        """Keeps `save` for the next attempt; what comes faster than once a second goes with the next one, or the end."""
        with self.changed:
            self._checkpoint, self._checkpoint_is_new = save, True
            if time.monotonic() - self._checkpoint_at_s >= CHECKPOINT_EVERY_S:
                self._report(self)

    def read_input(self) -> bytes:
        """The next piece of input; empty at its end. Raises what ends the job."""
        with self.changed:
            while not self._input and not self._input_ended and not self._ending:
                self.changed.wait()
            if self._ending:
                raise self._ending
            if not self._input:
                return b""
            piece = self._input.popleft()
            self.input_taken += len(piece)
            self._report_input(self)
            return piece

    # What the connection uses.

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def receive(self, spec: worker_pb2.AttemptSpec) -> None:
        """Takes what is wanted, and reports that it has come."""
        with self.changed:
            self._received_generation = max(self._received_generation, spec.spec.generation)
            for setting in spec.spec.levers:
                if setting.value.WhichOneof("value") != "priority" and self._levers.receive(setting):
                    self._obey(setting)
            self._report(self)
            self.changed.notify_all()

    def receive_input(self, piece: worker_pb2.Input) -> None:
        with self.changed:
            fresh = piece.data[max(0, self._input_received - piece.offset) :]
            if fresh:
                self._input.append(fresh)
                self._input_received += len(fresh)
            self._input_ended = self._input_ended or piece.eof
            self.changed.notify_all()

    def stop(self, why: Exception, grace_s: float) -> None:
        """Tells the job to end; what has not ended when the grace is over is given up."""
        with self.changed:
            self._ending = self._ending or why
            give_up_at_s = time.monotonic() + grace_s
            self._give_up_at_s = min(give_up_at_s, self._give_up_at_s or give_up_at_s)
            self.changed.notify_all()

    @property
    def buffered_bytes(self) -> int:
        with self.changed:
            return self.lines.buffered_bytes

    def wake(self) -> None:
        """There is a link again."""
        with self.changed:
            self.changed.notify_all()

    def tick(self) -> None:
        """Ends what is bound in time: a held value, and the grace of a job that does not end."""
        with self.changed:
            if ended := self._levers.end_holds():
                for name in ended:
                    self._take(name)
                self._report(self)
                self.changed.notify_all()
            if not self.end and self._give_up_at_s is not None and time.monotonic() >= self._give_up_at_s:
                self._settle(self._ending, "it did not end within its grace")

    def vitals(self) -> worker_pb2.AttemptVitals:
        with self.changed:
            now_s = time.monotonic()
            self._rates.append((now_s, self.done))
            while now_s - self._rates[0][0] > RATE_OVER_S:
                self._rates.popleft()
            over_s, done = now_s - self._rates[0][0], self.done - self._rates[0][1]
            return worker_pb2.AttemptVitals(
                job_id=self.job_id,
                attempt=self.number,
                items_done=self.done,
                items_total=self.total,
                items_per_second=done / over_s if over_s > 0 and not self._stands else 0,
                stalled_by=self.stalled_by,
                at_us=now_us(),
            )

    def state(self, whole: bool = False) -> job_pb2.AttemptReport:
        """The whole state; `whole` also repeats what needs to be said once only."""
        with self.changed:
            report = job_pb2.AttemptReport(
                job_id=self.job_id,
                attempt=self.number,
                started=self._started,
                received_generation=self._received_generation,
                levers=self._levers.reports(),
                next_line=self.lines.next_line,
            )
            if self._checkpoint and (whole or self._checkpoint_is_new):
                report.checkpoint = self._checkpoint
                self._checkpoint_at_s, self._checkpoint_is_new = time.monotonic(), False
            if self.delivered:
                report.end.CopyFrom(self.end)
            return report

    def _run(self) -> None:
        with self.changed:
            self._started = True
            if (run := self._levers.wanted("run")) and run.mode != RUN_MODE_PAUSE:
                self._levers.apply("run")
            self._report(self)
        failure: Exception | None = None
        try:
            self.job_type.run(self)
        except Exception as error:
            failure = error
        with self.changed:
            if not self.end:
                self._settle(failure, str(failure or ""))

    def _settle(self, failure: Exception | None, reason: str) -> None:
        outcome = job_pb2.END_OUTCOME_SUCCEEDED if failure is None else job_pb2.END_OUTCOME_FAILED
        if isinstance(failure, Canceled):
            outcome = job_pb2.END_OUTCOME_CANCELED
            self._levers.apply_cancel(*self._cancel)
        if isinstance(failure, Released):
            outcome = job_pb2.END_OUTCOME_RELEASED
        self.lines.cut_partials()
        self.end = job_pb2.AttemptEnd(
            outcome=outcome, reason=reason[:2000], end_line=self.lines.next_line, at_us=now_us()
        )
        self.changed.notify_all()

    def _obey(self, setting: job_pb2.LeverSetting) -> None:
        name = setting.value.WhichOneof("value")
        if name == "run":
            self._obey_run(setting)
        elif name in self.job_type.levers or (name == "parameters" and not self._levers.value(name)):
            self._levers.apply(name)
            self._take(name)
        else:
            self._levers.reject(name, f"jobs of the type {self.job_type.name} do not have this lever")

    def _obey_run(self, setting: job_pb2.LeverSetting) -> None:
        run = setting.value.run
        if self._cancel and (run.mode != RUN_MODE_CANCEL or run.grace_ms > self._cancel[0].value.run.grace_ms):
            self._levers.reject("run", "cancelling")
        elif run.mode == RUN_MODE_CANCEL:
            self._cancel = (setting, self._cancel[1] if self._cancel else self._cut_line())
            self.stop(Canceled(run.reason or "canceled"), run.grace_ms / 1000)
        elif self._started and not self._stands and run.mode != RUN_MODE_PAUSE:
            self._levers.apply("run")

    def _take(self, name: str) -> None:
        """A value is in effect that the job function did not have to stand for."""
        if name == "parameters":
            self.parameters = json_format.MessageToDict(self._levers.value(name).parameters)
        if name == "run":
            self._stands = self._levers.value(name).mode == RUN_MODE_PAUSE
        self._anchor()

    def _cut_line(self) -> int:
        self.lines.cut_partials()
        return self.lines.next_line

    def _anchor(self) -> None:
        """From the item that began last, so that the next one does not come too close to it."""
        self._anchor_s, self._since_anchor = self._begun_s, 1

    def _wait_until_due(self) -> None:
        with self.changed:
            while (speed := self._levers.value("speed")) and speed.HasField("items_per_second"):
                late_s = time.monotonic() - self._anchor_s - self._since_anchor / speed.items_per_second
                if late_s > BEHIND_S:
                    self._anchor_s, self._since_anchor = time.monotonic(), 0
                if late_s >= 0:
                    break
                self.changed.wait(-late_s)
                self.safe_point()
            self._since_anchor += 1
            self._begun_s = time.monotonic()

"""The levers of one attempt: what is wanted of each, and the worker's word on it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from signalbox.v1 import job_pb2
from signalbox.v1.job_pb2 import LEVER_OUTCOME_APPLIED, LEVER_OUTCOME_REJECTED, LEVER_OUTCOME_REVERTED

from lines import now_us

Outcome = job_pb2.LeverOutcome


@dataclass
class Lever:
    """One lever. `setting` is the newest that was received."""

    setting: job_pb2.LeverSetting
    applied: job_pb2.LeverReport | None = None
    rejected: job_pb2.LeverReport | None = None
    holds_until_s: float | None = None

    @property
    def is_decided(self) -> bool:
        reports = [report for report in (self.applied, self.rejected) if report]
        return any(report.generation >= self.setting.generation for report in reports)


class Levers:
    """Not locked: whoever calls holds the attempt's condition. `at_line` ends unfinished lines and says the next line number."""

    def __init__(self, at_line: Callable[[], int]) -> None:
        self._at_line = at_line
        self._levers: dict[str, Lever] = {}

    def receive(self, setting: job_pb2.LeverSetting) -> bool:
        """Says whether it is news."""
        name = setting.value.WhichOneof("value")
        known = self._levers.get(name)
        if known and known.setting.generation >= setting.generation:
            return False
        if known:
            known.setting = setting
            # A value that is set before the end of a held one ends the hold.
            known.holds_until_s = None
        else:
            self._levers[name] = Lever(setting)
        return True

    def value(self, name: str):
        """What is in effect; None before anything was."""
        lever = self._levers.get(name)
        return getattr(lever.applied.value, name) if lever and lever.applied else None

    def wanted(self, name: str):
        """What is wanted and not decided yet; None if there is nothing."""
        lever = self._levers.get(name)
        return getattr(lever.setting.value, name) if lever and not lever.is_decided else None

    def apply(self, name: str) -> None:
        """The newest setting is in effect."""
        lever = self._levers[name]
        lever.applied = self._report(lever, lever.setting.value, LEVER_OUTCOME_APPLIED)
        if lever.setting.HasField("hold"):
            hold = lever.setting.hold
            # Until it was applied once, all of it counts; later what remains.
            left_ms = hold.remaining_ms if hold.ends_at_us else hold.duration_ms
            lever.holds_until_s = time.monotonic() + left_ms / 1000

    def apply_cancel(self, cancel: job_pb2.LeverSetting, at_line: int) -> None:
        """The attempt ends by this CANCEL, which it received at `at_line`."""
        lever = self._levers["run"]
        lever.applied = self._report(Lever(cancel), cancel.value, LEVER_OUTCOME_APPLIED, at_line=at_line)

    def reject(self, name: str, reason: str) -> None:
        """The newest setting will not be in effect; what was applied before stays."""
        lever = self._levers[name]
        lever.rejected = self._report(lever, lever.setting.value, LEVER_OUTCOME_REJECTED, reason)

    def end_holds(self) -> list[str]:
        """Puts back what was held long enough, and names those levers."""
        ended = [
            name
            for name, lever in self._levers.items()
            if lever.holds_until_s is not None and lever.holds_until_s <= time.monotonic()
        ]
        for name in ended:
            lever = self._levers[name]
            lever.holds_until_s = None
            lever.applied = self._report(lever, lever.setting.hold.then, LEVER_OUTCOME_REVERTED)
        return ended

    def reports(self) -> list[job_pb2.LeverReport]:
        """The newest word on each lever: what is in effect and, behind it, what was rejected since."""
        found = []
        for lever in self._levers.values():
            if lever.applied:
                found.append(lever.applied)
            if lever.rejected and (not lever.applied or lever.rejected.generation > lever.applied.generation):
                found.append(lever.rejected)
        return found

    def _report(
        self, lever: Lever, value: job_pb2.LeverValue, outcome: Outcome, reason: str = "", at_line: int | None = None
    ) -> job_pb2.LeverReport:
        return job_pb2.LeverReport(
            generation=lever.setting.generation,
            value=value,
            outcome=outcome,
            reason=reason,
            at_line=at_line or self._at_line(),
            at_us=now_us(),
        )

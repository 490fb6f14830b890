import { EndOutcome, JobState, ReceiptState, RunMode, type JobRecord, type LeverValue } from "@signalbox/protocol";
import { expect } from "vitest";
import { endedUnheard, hasEnded, isOpen, openAttempt } from "../jobs/job-record.ts";
import { leverOf, settingOf } from "../jobs/levers.ts";

/** Expects that a job's record may follow on another one of it. Only a retry leaves an end. */
export function expectSensible(before: JobRecord, after: JobRecord, { isRetry }: { isRetry: boolean }): void {
  expect(after.workerId).toBe(before.workerId);
  if (after.workerId !== "") expect(after.attempts.every(({ workerId }) => workerId === after.workerId)).toBe(true);
  // Nobody but the queue obeys priority: it never changes on a job that a worker has.
  if (openAttempt(before) && openAttempt(after))
    expect(settingOf(after.spec, "priority")?.value).toEqual(settingOf(before.spec, "priority")?.value);
  for (const { value, hold } of after.spec?.levers ?? []) {
    // A held value says what follows it.
    if (hold) expect(leverOf(hold.then)).toBe(leverOf(value));
  }
  expect(after.spec?.generation ?? 0n).toBeGreaterThanOrEqual(before.spec?.generation ?? 0n);
  for (const setting of after.spec?.levers ?? [])
    expect(setting.generation).toBeLessThanOrEqual(after.spec?.generation ?? 0n);
  if (hasEnded(before) && !isRetry) expect(after.state).toBe(before.state);
  if (hasEnded(after)) {
    expect(openAttempt(after)).toBeUndefined();
    expect(after.receipts.filter(isOpen)).toEqual([]);
    expect(after.endedAtUs).not.toBe(0n);
  }
  // Only a job that waits, and that nobody has, waits for its next attempt.
  if (after.retryAtUs !== 0n) {
    expect(after.state).toBe(JobState.QUEUED);
    expect(openAttempt(after)).toBeUndefined();
  }
  for (const { deadlineSinceUs, startedAtUs, endedAtUs, lostAtUs } of after.attempts)
    if (deadlineSinceUs !== 0n) expect([startedAtUs !== 0n, endedAtUs, lostAtUs]).toEqual([true, 0n, 0n]);
  expect(after.attempts.slice(0, -1).every((attempt) => attempt.endedAtUs !== 0n)).toBe(true);
  expect(after.attempts.length).toBeGreaterThanOrEqual(before.attempts.length);
  for (const attempt of before.attempts) {
    const later = after.attempts.find((each) => each.number === attempt.number);
    if (attempt.endedAtUs !== 0n) expect(later?.end).toEqual(attempt.end);
  }
  const lateOf = after.late.map(({ attempt }) => attempt);
  expect(lateOf).toEqual([...new Set(lateOf)].sort((a, b) => a - b));
  for (const { attempt, firstLine, end } of after.late) {
    const of = after.attempts.find(({ number }) => number === attempt);
    expect(of && endedUnheard(of)).toBe(true);
    expect(firstLine !== 0n || end !== undefined).toBe(true);
    if (end) expect([EndOutcome.UNSPECIFIED, EndOutcome.GIVEN_UP]).not.toContain(end.outcome);
  }
  for (const known of before.late) {
    const later = after.late.find(({ attempt }) => attempt === known.attempt);
    if (!after.attempts.some(({ number }) => number === known.attempt)) continue;
    expect(later?.atUs).toBe(known.atUs);
    if (known.firstLine !== 0n) expect(later?.firstLine).toBe(known.firstLine);
    if (known.end) expect(later?.end).toEqual(known.end);
  }
  for (const receipt of before.receipts) {
    const later = after.receipts.find((each) => each.generation === receipt.generation);
    if (isOpen(receipt)) expect(later).toBeDefined();
    // What was decided stays so; that a command took effect may be proved after it.
    else if (later?.state !== receipt.state && later)
      expect([receipt.state, later.state]).toEqual([ReceiptState.APPLIED, ReceiptState.PROVED]);
  }
  const open = openAttempt(after);
  if (after.state === JobState.RUNNING || after.state === JobState.PAUSED || after.state === JobState.LOST)
    expect(open).toBeDefined();
  if (after.state === JobState.PAUSED) {
    const said = open?.levers.find((each) => each.value?.value.case === "run")?.value;
    expect(said && wantedMode(said)).toBe(RunMode.PAUSE);
  }
  expect(after.state === JobState.LOST).toBe(open !== undefined && open.lostAtUs !== 0n);
}

function wantedMode(value: LeverValue): RunMode {
  return value.value.case === "run" ? value.value.value.mode : RunMode.UNSPECIFIED;
}

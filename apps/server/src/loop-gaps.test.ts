import { Registry } from "prom-client";
import { expect, onTestFinished, test } from "vitest";
import { createLogger } from "./logger.ts";
import { LoopGaps } from "./loop-gaps.ts";

function standStill(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until;);
}

test("a gap of the event loop is counted, and a long one is told in the log", async () => {
  const lines: string[] = [];
  const logger = createLogger({ level: "warn", readable: false, destination: { write: (line) => lines.push(line) } });
  const registry = new Registry();
  const gaps = new LoopGaps(logger, registry);
  onTestFinished(() => gaps.stop());
  const longest = async () =>
    Number(/^signalbox_event_loop_longest_gap_seconds (\S+)$/m.exec(await registry.metrics())?.[1]);
  standStill(600);
  await expect.poll(longest).toBeGreaterThan(0.45);
  expect(lines).toEqual([]);
  standStill(2_800);
  await expect.poll(longest).toBeGreaterThan(2.5);
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "warn", seconds: expect.any(Number) as number });
  expect(await registry.metrics()).toMatch(/^signalbox_event_loop_gap_seconds_bucket\{le="2.5"\} [1-9]/m);
});

import { expect, test } from "vitest";
import { Refused } from "../../refused.ts";
import { RateGate } from "./rate-gate.ts";
import { signsOfLife } from "./signs-of-life.ts";

const clock = () => 1_000;
const bounds = { heartbeatMs: 40, silenceMs: 300 };

test("a console that has nothing to say beats, and gives up a client that is silent", async () => {
  const words = { sentMs: performance.now(), silentSinceMs: performance.now() };
  const gate = new RateGate();
  let beats = 0;
  const listen = async () => {
    for await (const { event } of signsOfLife(words, gate, clock, new AbortController().signal, bounds)) {
      expect(event).toMatchObject({ case: "heartbeat", value: { serverTimeUs: 1_000n } });
      words.sentMs = performance.now();
      beats++;
    }
  };
  const error = await listen().catch((error: unknown) => error);
  expect(error).toBeInstanceOf(Refused);
  expect((error as Refused).kind).toBe("silent");
  expect(performance.now() - words.silentSinceMs).toBeGreaterThanOrEqual(bounds.silenceMs);
  expect(beats).toBeGreaterThan(0);
});

test("a client that is not listened to is not silent", async () => {
  const words = { sentMs: performance.now(), silentSinceMs: undefined };
  let beats = 0;
  const fromMs = performance.now();
  for await (const _ of signsOfLife(words, new RateGate(), clock, new AbortController().signal, bounds)) {
    beats++;
    if (performance.now() - fromMs > 2 * bounds.silenceMs) break;
  }
  expect(beats).toBeGreaterThan(0);
});

test("what the lowest rate holds back goes out where a heartbeat would", async () => {
  const gate = new RateGate();
  gate.setRate(0.001);
  gate.count(5);
  const stop = new AbortController();
  const words = { sentMs: performance.now(), silentSinceMs: undefined };
  const beats = signsOfLife(words, gate, clock, stop.signal, bounds);
  const beating = beats.next();
  const turn = await gate.turn(stop.signal);
  expect(turn?.allowed).toBe(1);
  turn?.end(1);
  stop.abort();
  expect(await beating).toMatchObject({ done: true });
});

import fc from "fast-check";
import { setTimeout as delay } from "node:timers/promises";
import { EndOutcome } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { job, roomForTests } from "./room-for-tests.ts";
import { Wire, WIRE_BYTES } from "./wire.ts";

const room = roomForTests();

test("streams of one connection share its wire, and whoever waits hears when there is room", async () => {
  const wire = new Wire(100);
  const [a, b] = [wire.open(), wire.open()];
  a.sent(11, 60);
  b.sent(5, 60);
  expect([wire.bytes, wire.hasRoom]).toEqual([120, false]);
  const room = wire.freed.wait();
  b.acknowledged(4);
  expect(wire.hasRoom).toBe(false);
  b.acknowledged(5);
  await room;
  a.close();
  a.close();
  expect(wire.bytes).toBe(0);
});

test("whatever is sent, acknowledged and closed, the wire holds what is not acknowledged", () => {
  const step = fc.record({ stream: fc.nat(2), what: fc.constantFrom("send", "ack", "close"), bytes: fc.nat(500) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const wire = new Wire(1000);
      const streams = [0, 1, 2].map(() => ({ share: wire.open(), line: 1, waiting: new Map<number, number>() }));
      for (const { stream, what, bytes } of steps) {
        const each = streams[stream];
        if (!each) continue;
        if (what === "send") {
          each.share.sent(++each.line, bytes);
          each.waiting.set(each.line, bytes);
        } else if (what === "ack") {
          const upTo = Math.max(1, each.line - (bytes % 3));
          each.share.acknowledged(upTo);
          for (const line of each.waiting.keys()) if (line <= upTo) each.waiting.delete(line);
        } else {
          each.share.close();
          each.waiting.clear();
        }
        const held = streams.flatMap(({ waiting }) => [...waiting.values()]).reduce((sum, size) => sum + size, 0);
        expect(wire.bytes).toBe(held);
      }
    }),
  );
});

test(
  "a server that acknowledges nothing gets no more than the wire holds from all jobs of a process, and its word still comes through",
  { timeout: 120_000 },
  async () => {
    const { server } = room;
    server.behaviour.creditBytes = 2 * 1024 * 1024;
    server.behaviour.autoAck = false;
    const text = Buffer.alloc(60_000, `${"x".repeat(999)}\n`);
    await room.start([job(({ log }) => Array.from({ length: 30 }, () => log.write(text, "stdout")) && undefined)], {
      slots: 10,
    });
    const attempts = Array.from({ length: 10 }, (_, i) => server.assign(String(i), "test"));
    const received = () => attempts.reduce((sum, { bytes }) => sum + bytes.length, 0);
    await server.until(() => received() >= 0.95 * WIRE_BYTES, "the wire is full", 60_000);
    // Nothing follows, however long one waits.
    await delay(300);
    await server.roundTrip();
    expect(received()).toBeLessThan(WIRE_BYTES + text.length * 2);
    expect(received()).toBeLessThan(attempts.length * 30 * text.length);
    server.behaviour.autoAck = true;
    server.acknowledge();
    for (const attempt of attempts) expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(received()).toBe(attempts.length * 30 * text.length);
  },
);

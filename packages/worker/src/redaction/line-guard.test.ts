import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  ChunkHeaderSchema,
  ChunkLines,
  Level,
  LogChunkSchema,
  MAX_PIECE_BYTES,
  Source,
} from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AttemptLog } from "../attempt-log.ts";
import type { Clock } from "../clock.ts";
import { LineBudget } from "../line-budget.ts";
import { defaultPatterns } from "./default-patterns.ts";
import { MARK } from "./mark.ts";
import { PatternSet } from "./pattern-set.ts";
import { LineGuard } from "./line-guard.ts";
import { Redactor } from "./redactor.ts";

const secret = "hunter2-hunter3";
const token = `ghp_${"Zx8Kq2Lm9V".repeat(4)}`;
const patterns = new PatternSet([...defaultPatterns, { name: "pin", pattern: "pin=([0-9]+)" }], { privateKeys: true });

/** A log with a guard, and what it has delivered so far. */
function openLog() {
  const guard = new LineGuard(new Redactor({ values: [secret], patterns }));
  let nowMs = 1000;
  const clock: Clock = { monotonicMs: () => nowMs, wallUs: () => nowMs * 1000 };
  const log = new AttemptLog({ budget: new LineBudget(), clock, onRoom: () => undefined, guard });
  log.startStreaming(1);
  const lines: { text: string; level: Level; source: Source; continues: boolean; timeMs: number; fields: object }[] =
    [];
  const take = () => {
    for (let run = log.take(Infinity); run; run = log.take(Infinity)) {
      if (run.kind !== "chunk") throw new Error("a gap");
      const body = fromBinary(ChunkBodySchema, run.bytes);
      const chunk = new ChunkLines(create(LogChunkSchema, { header: create(ChunkHeaderSchema), body }));
      for (let i = 0; i < chunk.count; i++)
        lines.push({
          text: Buffer.from(chunk.bytes(i)).toString("latin1"),
          level: chunk.level(i),
          source: chunk.source(i),
          continues: chunk.continues(i),
          timeMs: chunk.workerTimeUs(i) / 1000,
          fields: { ...chunk.attributes(i)?.fields },
        });
      log.ack(chunk.nextLine);
    }
    return lines;
  };
  return {
    log,
    guard,
    take,
    text: () =>
      take()
        .map(({ text }) => text)
        .join(""),
    wait: (ms: number) => (nowMs += ms),
  };
}

describe("the log of an attempt with a guard before it", () => {
  test("holds no secret at any cut into two writes, at each source by itself, and counts each once", () => {
    const text = `before ${token} \x1b[1m${secret}\x1b[0m pin=1234.\nafter\n`;
    const masked = `before ${MARK} \x1b[1m${MARK}\x1b[0m pin=${MARK}.\nafter\n`;
    for (let at = 0; at <= text.length; at++) {
      const { log, guard, text: delivered } = openLog();
      log.write(Buffer.from(text.slice(0, at)), Source.STDOUT);
      log.write(Buffer.from("else\n"), Source.STDERR);
      log.write(Buffer.from(text.slice(at)), Source.STDOUT);
      log.close();
      expect(delivered().replace("else\n", "")).toBe(masked);
      expect(guard.count).toBe(3);
    }
  });

  test("is the same however the bytes are cut into writes", () => {
    const part = fc.constantFrom(
      "a",
      "pin=",
      "7",
      "\n",
      "x\ny",
      secret,
      secret.slice(0, 9),
      token,
      "://u:",
      "p@",
      "€",
      "\xff",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), fc.array(fc.integer({ min: 1, max: 25 })), (parts, cuts) => {
        const bytes = Buffer.from(parts.join(""), "latin1");
        const whole = openLog();
        whole.log.write(bytes, Source.STDOUT);
        whole.log.close();
        const cut = openLog();
        let at = 0;
        for (const length of cuts) {
          cut.log.write(bytes.subarray(at, at + length), Source.STDOUT);
          cut.take();
          at += length;
        }
        cut.log.write(bytes.subarray(at), Source.STDOUT);
        cut.log.close();
        expect(cut.text()).toBe(whole.text());
        expect(whole.text()).not.toContain(secret);
        expect(cut.take().map(({ text }) => text)).toEqual(whole.take().map(({ text }) => text));
        expect(cut.guard.count).toBe(whole.guard.count);
      }),
      { numRuns: 500 },
    );
  });

  test("has lines and progress bars without secrets byte for byte, at once, and under the same numbers", () => {
    const { log, text, take } = openLog();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    log.write(Buffer.concat([bytes, Buffer.from("\n10%\r20%\r"), Buffer.from([0x0a])]), Source.STDOUT);
    expect(take()).toHaveLength(3);
    expect(text()).toBe(`${bytes.toString("latin1")}\n10%\r20%\r\n`);
    expect(log.nextLine).toBe(4);
  });

  test("lets a beginning of a secret go after 100 ms, with the time at which it came, and masks the rest", async () => {
    const { log, take, wait, guard } = openLog();
    log.write(Buffer.from("> hunter2"), Source.STDOUT);
    wait(20);
    log.write(Buffer.from("-"), Source.STDOUT);
    expect(take()).toEqual([]);
    wait(81);
    await expect.poll(() => take().map(({ text, timeMs }) => [text, timeMs])).toEqual([["> hunter2-", 1000]]);
    log.write(Buffer.from("hunter3!\n"), Source.STDOUT);
    expect(take().at(-1)).toMatchObject({ text: `${MARK}!\n`, continues: true, timeMs: 1101 });
    expect(guard.count).toBe(1);
  });

  test("lets no part of a secret through when a lever moves in its middle", () => {
    const { log, text } = openLog();
    log.write(Buffer.from("it is hunter2-"), Source.STDOUT);
    log.mark();
    log.write(Buffer.from("hunter3\n"), Source.STDOUT);
    expect(text()).toBe(`it is ${MARK}\n`);
  });

  test("holds no secret in names of fields, and names that are the same then stay apart", () => {
    const { log, guard, take } = openLog();
    log.line(Level.INFO, "x", { [secret]: 1, [MARK]: 2, [token]: 3, [`a ${secret}`]: 4, plain: 5 }, Source.TASK);
    log.close();
    const fields = { [`${MARK} 2`]: "1", [MARK]: "2", [`${MARK} 3`]: "3", [`a ${MARK}`]: "4", plain: "5" };
    expect(take()[0]?.fields).toEqual(fields);
    expect(guard.count).toBe(3);
  });

  test("holds no secret of lines with levels, nor of fields, and a line never waits for the next", () => {
    const { log, take, guard } = openLog();
    log.line(Level.WARN, `key ${secret}`, { key: secret, header: `Bearer ${token}`, n: 7, ok: true }, Source.TASK);
    log.line(Level.INFO, "hunter2", undefined, Source.TASK);
    log.line(Level.ERROR, `-hunter3\n${secret}`, { a: "x".repeat(10_000) + secret }, Source.TASK);
    const lines = take();
    expect(lines.map(({ text, level }) => [text, level])).toEqual([
      [`key ${MARK}\n`, Level.WARN],
      ["hunter2\n", Level.INFO],
      ["-hunter3\n", Level.ERROR],
      [`${MARK}\n`, Level.ERROR],
    ]);
    expect(lines[0]?.fields).toEqual({ key: MARK, header: `Bearer ${MARK}`, n: "7", ok: "true" });
    expect(guard.count).toBe(5);
  });

  test("cuts a line that marks have made too long into pieces that go on", () => {
    const { log, take } = openLog();
    const line = `${"pin=1 ".repeat(10_000)}\n`;
    log.write(Buffer.from(line), Source.STDOUT);
    const pieces = take();
    expect(pieces.map(({ text }) => text).join("")).toBe(`${`pin=${MARK} `.repeat(10_000)}\n`);
    expect(pieces.map(({ continues }) => continues)).toEqual([false, true, true]);
    for (const { text } of pieces) expect(text.length).toBeLessThanOrEqual(MAX_PIECE_BYTES);
  });
});

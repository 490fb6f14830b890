import { describe, expect, test } from "vitest";
import { detectLevel, Level } from "./index.ts";

const lines: [string, Level][] = [
  ["2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce: Created", Level.INFO],
  ["081109 203615 148 WARN dfs.DataNode$PacketResponder: terminating", Level.WARN],
  ["[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6", Level.ERROR],
  ["nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi", Level.INFO],
  ["2015-07-29 17:41:44,747 - WARN  [QuorumPeer[myid=1]/0:0:0:0:0:0:0:0:2181:Follower@89] - Got", Level.WARN],
  ["ERROR: no such file", Level.ERROR],
  ["error: no such file", Level.ERROR],
  ["warning: unused variable", Level.WARN],
  ["time=2026-11-21T10:00:00Z level=debug msg=hello", Level.DEBUG],
  ['ts=1 level="warn" msg="x"', Level.WARN],
  ['{"level":"error","msg":"x"}', Level.ERROR],
  ['{"time":1,"severity":"WARNING"}', Level.WARN],
  ['{"level":30,"time":1531171074631,"msg":"hello"}', Level.INFO],
  ['{"level":35}', Level.UNSPECIFIED],
  ["\x1b[32mINFO\x1b[0m ready", Level.INFO],
  ["\x1b[1;31m[ERROR]\x1b[0m broken", Level.ERROR],
  ["E0512 18:01:30.123456 1 main.go:12] failed", Level.ERROR],
  ["  <warn> [1234] device", Level.WARN],
  ["CRITICAL root: out of memory", Level.FATAL],
  ["no information about errors here", Level.UNSPECIFIED],
  ["the error was handled", Level.UNSPECIFIED],
  ["user pressed the big red button and then an ERROR came up", Level.UNSPECIFIED],
  ["PREFIX_ERROR_COUNT 3", Level.UNSPECIFIED],
  ["ERROR-free zone", Level.UNSPECIFIED],
  ["unlevel=info", Level.UNSPECIFIED],
  ["", Level.UNSPECIFIED],
  ["\n", Level.UNSPECIFIED],
  ["{", Level.UNSPECIFIED],
  ["\x1b[", Level.UNSPECIFIED],
];

describe("the level that a line states", () => {
  test.each(lines)("%j", (line, level) => {
    expect(detectLevel(Buffer.from(line))).toBe(level);
  });

  test("is not looked for beyond 120 bytes", () => {
    expect(detectLevel(Buffer.from(`${".".repeat(100)} INFO x`))).toBe(Level.INFO);
    expect(detectLevel(Buffer.from(`${".".repeat(130)} INFO x`))).toBe(Level.UNSPECIFIED);
  });

  test("does not fail on any bytes", () => {
    for (let seed = 1; seed < 2000; seed++) {
      const bytes = Uint8Array.from({ length: seed % 150 }, (_, i) => (seed * 31 + i * i * 17) & 0xff);
      expect(detectLevel(bytes)).toBeGreaterThanOrEqual(0);
    }
  });
});

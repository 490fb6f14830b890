import { existsSync, readdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { JobState } from "@signalbox/protocol";
import { expect, realLogs, sha256, test } from "./fixtures.ts";

test("every real log comes out of the room byte by byte as it went in", async ({ signalbox }) => {
  test.skip(!existsSync(realLogs), `no folder with real logs at ${realLogs}; name one in SIGNALBOX_REAL_LOGS`);
  await signalbox.worker("w1");
  const files = readdirSync(realLogs).filter((name) => name.endsWith(".log"));
  expect(files.length).toBeGreaterThan(0);
  for (const [index, name] of files.entries()) {
    const id = await signalbox.startJob(
      "replay",
      { file: join(realLogs, name), piece: [4099, 3, 65_537][index % 3] ?? 4099 },
      name,
    );
    await signalbox.state(id, JobState.SUCCEEDED);
    const stored = await signalbox.text(id);
    expect({ name, sha256: sha256(stored), bytes: stored.length }).toEqual({ name, ...(await signalbox.recorded(id)) });
  }
});

const mebibyte = 1024 * 1024;
const emoji = Buffer.from("🚦 Stellwerk ändert Gleis\n");
const inputs: [string, Uint8Array[]][] = [
  ["CRLF and a missing final newline", [Buffer.from("one\r\ntwo\r\nthree")]],
  ["NUL and all other bytes", [Uint8Array.from({ length: 256 }, (_, i) => i), Buffer.from("\n\0\0\n")]],
  ["invalid UTF-8", [Buffer.from([0xff, 0xfe, 0x0a, 0xc3, 0x28, 0x0a, 0xed, 0xa0, 0x80, 0x0a])]],
  ["UTF-8 that is split across writes", [...emoji].map((byte) => Uint8Array.of(byte))],
  ["a line of 5 MB", [Buffer.alloc(5 * mebibyte, "signal "), Buffer.from("\n")]],
  ["no newline at all", [Buffer.from("prompt> "), Buffer.from("\rprogress 10 %"), Buffer.from("\rprogress 20 %")]],
  ["empty lines", [Buffer.from("\n\n\r\n\n")]],
  ["nothing", []],
  ["a million short lines", [Buffer.from("x\n".repeat(mebibyte))]],
];
for (const [what, writes] of inputs) {
  test(`${what}: what comes out is what went in`, async ({ signalbox }) => {
    const file = join(signalbox.folder, "input");
    const whole = Buffer.concat(writes);
    await writeFile(file, whole);
    await signalbox.worker("w1");
    const id =
      whole.length > 10_000
        ? await signalbox.startJob("replay", { file, piece: 100_003 })
        : await signalbox.startJob("bytes", {
            writes: writes.map((each) => Buffer.from(each).toString("base64")),
            pause_ms: 20,
          });
    await signalbox.state(id, JobState.SUCCEEDED);
    expect(sha256(await signalbox.text(id))).toBe(sha256(whole));
    const token = await readFile(join(signalbox.folder, "data", "token"), "utf8");
    const download = await fetch(`${signalbox.origin}/jobs/${id}/attempts/1/log`, {
      headers: { authorization: `Bearer ${token.trim()}` },
    });
    expect(download.headers.get("content-disposition")).toContain("attachment");
    expect(sha256(new Uint8Array(await download.arrayBuffer()))).toBe(sha256(whole));
  });
}

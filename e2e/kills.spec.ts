import { JobState, RunMode } from "@signalbox/protocol";
import { expect, sha256, test } from "./fixtures.ts";
import { newestShown, readThrough } from "./shown-lines.ts";

test("a server that is killed at 20,000 lines a second loses and doubles no line, no job stops, and an open page comes back by itself", async ({
  signalbox,
  page,
}) => {
  test.setTimeout(180_000);
  const ids: string[] = [];
  for (let i = 1; i <= 4; i++) await signalbox.worker(`w${i}`);
  for (let i = 1; i <= 4; i++) ids.push(await signalbox.startJob("lines", { per_second: 5000 }));
  await signalbox.worker("watched");
  const watched = await signalbox.startJob("lines", { per_second: 500 }, "watched");
  for (const id of [...ids, watched]) await signalbox.state(id, JobState.RUNNING);
  await signalbox.open(page, `/jobs/${watched}`);
  for (let round = 0; round < 2; round++) {
    await expect
      .poll(async () => (await signalbox.job(ids[0] ?? "")).vitals?.linesPerSecond ?? 0)
      .toBeGreaterThan(3000);
    await signalbox.server.kill("SIGKILL");
    await expect(page.getByRole("alert")).toContainText(/No word from the server|not live/i);
    await signalbox.start();
    const lines = Number((await signalbox.job(watched)).vitals?.lines ?? 0n);
    await expect.poll(() => newestShown(page), { timeout: 30_000 }).toBeGreaterThan(lines + 500);
  }
  for (const id of [...ids, watched]) {
    await signalbox.run(id, RunMode.CANCEL);
    const { attempts } = await signalbox.state(id, JobState.CANCELED);
    expect(attempts.map(({ number, lostAtUs }) => [number, lostAtUs])).toEqual([[1, 0n]]);
    const stored = await signalbox.text(id);
    expect({ sha256: sha256(stored), bytes: stored.length }).toEqual(await signalbox.recorded(id));
    expect(stored.length).toBeGreaterThan(id === watched ? 1e5 : 1e6);
  }
  const stored = (await signalbox.text(watched)).toString().split("\n").slice(0, -1);
  const shown = await readThrough(page, stored.length);
  expect(shown.size).toBe(stored.length);
  expect(stored.filter((text, i) => shown.get(i + 1) !== text)).toEqual([]);
});

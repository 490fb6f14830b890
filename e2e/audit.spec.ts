import { readFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { JobState } from "@signalbox/protocol";
import { command } from "./command.ts";
import { expect, test } from "./fixtures.ts";

test.setTimeout(180_000);

test("who did what is seen live, refusals too, goes into a file, and an edited store does not go unseen", async ({
  signalbox,
  page,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("items", { count: 1_000_000 }, "nightly");
  await signalbox.state(id, JobState.RUNNING);
  await signalbox.open(page, "/audit");
  const row = (text: string | RegExp) => page.locator("table.rows tbody tr", { hasText: text });
  await expect(row("Start items")).toContainText("nightly");
  await expect(row("Signed in").first()).toContainText("operator");

  expect((await command(signalbox, ["pause", id, "--reason", "maintenance"])).code).toBe(0);
  await expect(row("Pause")).toContainText(/token.*maintenance.*nightly.*(Applied|Proved)/s);
  expect((await command(signalbox, ["priority", id, "5"])).code).toBe(1);
  await expect(row("Priority 5")).toContainText("Refused");

  await page.getByRole("link", { name: "Refused" }).click();
  await expect(row("Pause")).toHaveCount(0);
  const downloading = page.waitForEvent("download");
  await page.getByRole("link", { name: "Export" }).click();
  const file = await readFile(await (await downloading).path(), "utf8");
  const told = file
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { words: string; refused: boolean });
  expect(told.map(({ words }) => words)).toContain("Priority 5");
  expect(told.every(({ refused }) => refused)).toBe(true);

  await page.getByRole("button", { name: "Verify" }).click();
  await expect(page.getByText("Every chain holds")).toBeVisible();
  const listed = await command(signalbox, ["audit", "--job", id, "--kind", "command", "--json"]);
  expect(listed.json.map(({ words }) => words)).toEqual(["Pause"]);
  expect((await command(signalbox, ["audit", "verify"])).code).toBe(0);

  await signalbox.server.kill("SIGTERM");
  const db = new DatabaseSync(join(signalbox.folder, "data", "state.db"));
  const named = db.prepare(
    "SELECT entry.position, data FROM entry JOIN topic ON topic.id = entry.topic WHERE topic.name = ? ORDER BY entry.position",
  );
  const stored = named
    .all(`job/${id}`)
    .map(({ position, data }) => ({ position: Number(position), data: Buffer.from(data as Uint8Array) }));
  const paused = stored.find(({ data }) => data.includes("maintenance"));
  if (!paused) throw new Error("the pause is not stored");
  const edited = Buffer.from(paused.data);
  edited.write("nothing at ", edited.indexOf("maintenance"));
  db.prepare("UPDATE entry SET data = ? WHERE position = ?").run(edited, paused.position);
  db.close();
  await signalbox.start();
  const verdict = await command(signalbox, ["audit", "verify"]);
  expect(verdict.code).toBe(1);
  expect(verdict.stdout).toContain(`job/${id} at ${paused.position}`);
});

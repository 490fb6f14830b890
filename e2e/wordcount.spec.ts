import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { JobState } from "@signalbox/protocol";
import { runProgram, type Program } from "../scripts/programs.ts";
import { begin, command, root, type RunningCommand } from "./command.ts";
import { expect, realLogs, test, type Signalbox } from "./fixtures.ts";

test.setTimeout(180_000);

/** Starts the built-in worker, as the server would, and waits until it is there. */
async function builtInWorker(signalbox: Signalbox): Promise<Program> {
  const worker = runProgram("apps/built-in-worker/src/main.ts", {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
    SIGNALBOX_DATA: signalbox.folder,
    SIGNALBOX_WORKER_ID: "built-in",
  });
  await expect
    .poll(async () => (await signalbox.jobs.listJobTypes({})).types.map((each) => each.type?.name), { timeout: 60_000 })
    .toContain("wordcount");
  return worker;
}

/** What is counted in a whole text by other means. */
function reference(bytes: Uint8Array) {
  const words = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes).split(/\p{White_Space}+/u);
  return {
    bytes: bytes.length,
    lines: bytes.reduce((lines, byte) => lines + (byte === 0x0a ? 1 : 0), 0),
    words: words.filter(Boolean).length,
    complete: true,
  };
}

/** Real logs, as far as there are any, and real prose. */
async function realText(atLeast: number): Promise<Buffer> {
  let paths: string[] = [];
  try {
    paths = readdirSync(realLogs).map((name) => join(realLogs, name));
  } catch {
    // There are none here.
  }
  const parts = [await readFile(join(root, "docs", "architecture.md"))];
  for (const path of paths.filter((name) => name.endsWith(".log"))) parts.push((await readFile(path)).subarray(0, 2e6));
  const all = Buffer.concat(parts);
  return Buffer.concat(Array.from({ length: Math.ceil(atLeast / all.length) }, () => all)).subarray(0, atLeast);
}

interface Told {
  readonly input?: { attempt: number; sentBytes: string; totalBytes?: string };
  readonly vitals?: { results?: { bytes: number }; bytesTotal?: string };
  readonly message?: string;
  readonly id?: string;
  readonly attempts?: { number: number; end?: { results?: object } }[];
}

/** What a command has printed so far, whole lines. */
function told(running: RunningCommand): Told[] {
  const lines = running.stdout().split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Told);
}

const sent = (each: Told) => Number(each.input?.sentBytes ?? 0);
const counted = (each: Told) => each.vitals?.results?.bytes ?? 0;

test("a file is counted exactly while it is still being sent, over a server that is killed in the middle", async ({
  signalbox,
}) => {
  const worker = await builtInWorker(signalbox);
  try {
    const text = Buffer.concat([await realText(6_000_000), randomBytes(1_500_001), Buffer.from("ü".slice(0, 1))]);
    const file = join(signalbox.folder, "text");
    await writeFile(file, text);
    // 2.6 MB a second.
    const upload = begin(signalbox, ["start", "wordcount", "--input", file, "--speed", "40", "--json"]);
    const halfWay = () =>
      told(upload).some((each) => sent(each) > 1e6 && sent(each) < text.length && counted(each) > 0);
    await expect.poll(halfWay, { timeout: 60_000 }).toBe(true);
    await signalbox.server.kill("SIGKILL");
    await signalbox.start();
    const { code, stderr } = await upload.ended;
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining("Live again") });

    const all = told(upload);
    const last = all.at(-1);
    expect(last?.attempts?.map(({ end }) => end?.results)).toEqual([reference(text)]);
    // The log spoke, and the progress was known, before all was sent.
    const firstWord = all.findIndex(({ message }) => message?.startsWith("so far "));
    expect(firstWord).toBeGreaterThan(0);
    expect(all.slice(firstWord).some((each) => sent(each) > 0 && sent(each) < text.length)).toBe(true);
    expect(all.find(({ vitals }) => vitals?.bytesTotal)?.vitals?.bytesTotal).toBe(String(text.length));
    expect(all.findLast(({ message }) => message)?.message).toMatch(/^done: 7,500,003 bytes, /);
    // That a piece has to wait, or goes on elsewhere, is nothing that was refused to anybody.
    expect((await command(signalbox, ["audit", "--refused", "--json"])).json).toEqual([]);
  } finally {
    await worker.kill("SIGKILL");
  }
});

test("a file whose upload was killed is sent to its end by another command, and no shorter one is", async ({
  signalbox,
}) => {
  const worker = await builtInWorker(signalbox);
  try {
    const text = await realText(4_000_000);
    const [file, short] = ["text", "short"].map((name) => join(signalbox.folder, name)) as [string, string];
    await writeFile(file, text);
    await writeFile(short, text.subarray(0, 100_000));
    const upload = begin(signalbox, ["start", "wordcount", "--input", file, "--speed", "20", "--json"]);
    const half = () => told(upload).some((each) => sent(each) > 1e6);
    await expect.poll(half, { timeout: 60_000 }).toBe(true);
    const jobId = told(upload)[0]?.id ?? "";
    upload.child.kill("SIGKILL");
    await upload.ended;
    expect(await command(signalbox, ["send", jobId, "--input", short])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is not the beginning of this file"),
    });
    await command(signalbox, ["speed", jobId, "unlimited"]);
    const rest = await command(signalbox, ["send", jobId, "--input", file]);
    expect(rest.stderr).toMatch(/ has [\d.]+ MB of its input: .*\n.* sent, input ended\n$/);
    expect(rest.code).toBe(0);
    await signalbox.state(jobId, JobState.SUCCEEDED);
    const { record } = await signalbox.job(jobId);
    expect(record.attempts.map(({ end }) => end?.results)).toEqual([reference(text)]);
    expect(await command(signalbox, ["send", jobId, "--input", file])).toMatchObject({ code: 1 });
  } finally {
    await worker.kill("SIGKILL");
  }
});

test("each attempt is sent the whole file, and only what is complete is called so", async ({ signalbox }) => {
  let worker = await builtInWorker(signalbox);
  try {
    const text = await realText(3_000_000);
    const file = join(signalbox.folder, "text");
    await writeFile(file, text);
    const upload = begin(signalbox, ["start", "wordcount", "--input", file, "--speed", "20", "--json"]);
    await expect.poll(() => told(upload).some((each) => counted(each) > 0), { timeout: 60_000 }).toBe(true);
    const jobId = told(upload)[0]?.id ?? "";
    await worker.kill("SIGTERM");
    await signalbox.state(jobId, JobState.QUEUED);
    worker = await builtInWorker(signalbox);
    await expect.poll(() => told(upload).some(({ input }) => input?.attempt === 2), { timeout: 60_000 }).toBe(true);
    await command(signalbox, ["speed", jobId, "unlimited"]);
    const { code, stderr } = await upload.ended;
    expect(code).toBe(0);
    expect(stderr).toContain(`Attempt 2 has nothing of what was sent: sending ${file} again from its first byte.`);
    const ends = told(upload)
      .at(-1)
      ?.attempts?.map(({ end }) => end?.results);
    expect(ends).toEqual([expect.objectContaining({ complete: false }), reference(text)]);
    const { stdout } = await command(signalbox, ["job", jobId]);
    expect(stdout).toMatch(/Results +bytes 3,000,000, lines [\d,]+, words [\d,]+, complete true\n/);
    const log = await signalbox.text(jobId, 2);
    expect(log.toString()).toMatch(/^attempt 2 counts from 0: its input of 3,000,000 bytes has to be sent again/);
  } finally {
    await worker.kill("SIGKILL");
  }
});

test("standard input is sent as it comes; into another attempt it cannot be sent again, and the command says so", async ({
  signalbox,
}) => {
  let worker = await builtInWorker(signalbox);
  try {
    const whole = begin(signalbox, ["start", "wordcount", "--input", "-", "top=1"]);
    whole.child.stdin.write("so it goes, ");
    const done = begin(signalbox, ["start", "wordcount", "--input", "-", "--json"]);
    done.child.stdin.write("one two");
    await expect.poll(() => told(done).some((each) => counted(each) === 7), { timeout: 60_000 }).toBe(true);
    whole.child.stdin.end("so\nit seems");
    expect(await whole.ended).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/ 2 {2}it\n(?:done: 23 bytes, 1 line, 6 words\n)$/),
      stderr: expect.stringContaining("23 B sent in"),
    });
    const jobId = told(done)[0]?.id ?? "";
    await worker.kill("SIGTERM");
    await signalbox.state(jobId, JobState.QUEUED);
    worker = await builtInWorker(signalbox);
    const { code, stderr } = await done.ended;
    expect(code).toBe(1);
    expect(stderr).toContain("Attempt 2 has nothing of what was sent, and standard input cannot be read again.");
    expect(stderr).toContain(`signalbox send ${jobId} --eof`);
    // That is what it then does.
    const rest = begin(signalbox, ["send", jobId, "--eof"]);
    rest.child.stdin.end("one two three");
    expect((await rest.ended).code).toBe(0);
    const record = await signalbox.state(jobId, JobState.SUCCEEDED);
    expect(record.attempts.at(-1)?.end?.results).toMatchObject({ words: 3, complete: true });
  } finally {
    await worker.kill("SIGKILL");
  }
});

test("a job that takes no input is not started for one, and a file that cannot be read is named", async ({
  signalbox,
}) => {
  const worker = await builtInWorker(signalbox);
  try {
    const refused = await command(signalbox, ["start", "index", "--input", join(root, "README.md")]);
    expect(refused).toMatchObject({ code: 1, stderr: "signalbox: Not started: jobs of type index take no input.\n" });
    const missing = await command(signalbox, ["start", "wordcount", "--input", "/nowhere"]);
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain("The input /nowhere cannot be read: ENOENT");
    const folder = await command(signalbox, ["start", "wordcount", "--input", root]);
    expect(folder.stderr).toContain("it is a folder");
    expect((await command(signalbox, ["jobs", "--json"])).json).toEqual([]);
  } finally {
    await worker.kill("SIGKILL");
  }
});

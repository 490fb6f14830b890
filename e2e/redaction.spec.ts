import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { CommandSchema, JobState, WatchResponseSchema, type JobRecord } from "@signalbox/protocol";
import { runProgram, type Program } from "../scripts/programs.ts";
import { command } from "./command.ts";
import { expect, test, type Signalbox } from "./fixtures.ts";
import { Supervised } from "./supervised.ts";

/** With everything that is written otherwise in JSON, in URLs and in shells. */
const secret = `pw "${randomBytes(9).toString("base64url")}'/+ü\\${randomBytes(9).toString("base64url")}`;
const argument = `arg-${randomBytes(12).toString("hex")}`;
const key = generateKeyPairSync("rsa", { modulusLength: 2048 })
  .privateKey.export({ type: "pkcs8", format: "pem" })
  .toString();
const unknownKey = generateKeyPairSync("rsa", { modulusLength: 2048 })
  .privateKey.export({ type: "pkcs8", format: "pem" })
  .toString();
const jwt = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.${randomBytes(32).toString("base64url")}`;

/** What may be found nowhere, each for itself. */
const traces: readonly (readonly [string, Buffer])[] = [
  ["the secret", secret],
  ["the secret in JSON", JSON.stringify(secret).slice(1, -1)],
  ["the secret in a URL", encodeURIComponent(secret)],
  ["the secret in base64", Buffer.from(secret).toString("base64").slice(0, -4)],
  ["the secret within base64", Buffer.from(`me:${secret}`).toString("base64").slice(4, -4)],
  ["the argument", argument],
  ...key
    .split("\n")
    .slice(1, -2)
    .map((line, i) => [`line ${i} of the key`, line] as const),
  ["the key in base64", Buffer.from(key).toString("base64").slice(200, 400)],
  ...unknownKey
    .split("\n")
    .slice(1, -2)
    .map((line, i) => [`line ${i} of the unknown key`, line] as const),
  ["the JWT", jwt.split(".")[2] ?? ""],
].map(([name, text]) => [name ?? "", Buffer.from(text ?? "")] as const);

const running = new Set<Program>();
test.afterEach(async () => {
  for (const program of running) await program.kill("SIGKILL");
  running.clear();
});

function expectNone(bytes: Uint8Array, where: string): void {
  const found = traces.filter(([, trace]) => Buffer.from(bytes).includes(trace)).map(([name]) => `${name} in ${where}`);
  expect(found).toEqual([]);
}

/** Everything that the server and its workers have written: the store, the spools. */
async function expectNoneOnDisk({ folder }: Signalbox): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const file of files) expectNone(await readFile(file).catch(() => Buffer.alloc(0)), file);
}

/** Everything that people get of a job: its log by each way, its record, its history, what is live. */
async function expectNoneShown(signalbox: Signalbox, jobId: string): Promise<{ text: string; record: JobRecord }> {
  const bytes = await signalbox.text(jobId);
  expectNone(bytes, "ReadLogs");
  const token = (await readFile(join(signalbox.folder, "data", "token"), "utf8")).trim();
  const download = await fetch(`${signalbox.origin}/jobs/${jobId}/attempts/1/log`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(Buffer.from(await download.arrayBuffer()).equals(bytes)).toBe(true);
  const abort = new AbortController();
  const caughtUp = new Set<string>();
  const subscriptions = [
    { id: "log", kind: { case: "log", value: { jobId, attempt: 1, start: { case: "fromLine", value: 1n } } } },
    { id: "job", kind: { case: "job", value: { jobId } } },
    { id: "jobs", kind: { case: "jobs", value: {} } },
    { id: "workers", kind: { case: "workers", value: {} } },
  ] as const;
  for await (const response of signalbox.live.watch({ subscriptions: [...subscriptions] }, { signal: abort.signal })) {
    expectNone(toBinary(WatchResponseSchema, response), `Watch (${response.message.case})`);
    if (response.message.case === "caughtUp") caughtUp.add(response.subscriptionId);
    if (caughtUp.size === subscriptions.length) break;
  }
  abort.abort();
  for (const args of [
    ["job", jobId],
    ["logs", jobId],
    ["jobs", "--json"],
  ])
    expectNone(Buffer.from((await command(signalbox, args)).stdout), `signalbox ${args.join(" ")}`);
  return { text: bytes.toString(), record: (await signalbox.job(jobId)).record };
}

const program = `
  const { writeSync } = require("node:fs");
  const { SIGNALBOX_TEST_PASSWORD: secret, SIGNALBOX_TEST_PRIVATE_KEY: key, OTHER: other } = process.env;
  const tell = () => {
    for (let at = 0; at <= secret.length; at++) {
      writeSync(1, "out " + secret.slice(0, at));
      writeSync(2, "err " + secret.slice(0, at));
      writeSync(1, secret.slice(at) + " end\\n");
      writeSync(2, "\\x1b[31m" + secret + "\\x1b[0m" + secret.slice(at) + " end\\n");
    }
    for (const part of key.match(/[^]{1,7}/g)) writeSync(1, part);
    writeSync(2, other);
    for (const text of [secret, key]) {
      writeSync(1, JSON.stringify({ text }) + encodeURIComponent(text) + "\\n" + btoa("me:" + Buffer.from(text).toString("latin1")) + "\\n");
      writeSync(1, Buffer.from(text).toString("base64") + "\\n");
    }
    writeSync(1, process.argv.slice(1).join(" ") + "\\nauthorization: bearer " + process.env.JWT + "\\n10%\\r20%\\rdone\\n");
  };
  tell();
  process.stdin.once("data", () => {
    tell();
    process.stdin.once("data", () => {
      throw new Error("cannot go on with " + secret);
    });
  });
`;

test("the secrets of a command are nowhere: not in the store, a spool, the server's output, or anything that people get", async ({
  signalbox,
}) => {
  test.slow();
  const env = {
    SIGNALBOX_TEST_PASSWORD: secret,
    SIGNALBOX_TEST_PRIVATE_KEY: key,
    OTHER: unknownKey,
    JWT: jwt,
    SIGNALBOX_SPOOL_DIR: join(signalbox.folder, "spool"),
  };
  const words = [process.execPath, "-e", program, "--", "--password", argument, `--header=${secret}`];
  const supervised = new Supervised(signalbox, words, { env, flags: ["--name", `with ${secret}`], input: "pipe" });
  try {
    const id = await supervised.jobId();
    await expect.poll(() => supervised.stdout()).toMatch(/done\n$/);
    await expect.poll(async () => (await signalbox.text(id)).toString()).toContain("done\n");
    await expectNoneShown(signalbox, id);
    await expectNoneOnDisk(signalbox);
    // What waits for the server while it is away is masked, too.
    await signalbox.server.kill("SIGKILL");
    supervised.write("go on\n");
    await expect.poll(() => supervised.stdout()).toMatch(/done\n[^]*done\n/);
    await expect
      .poll(async () => (await readdir(env.SIGNALBOX_SPOOL_DIR, { recursive: true })).join(), { timeout: 60_000 })
      .toContain(".spool");
    await expectNoneOnDisk(signalbox);
    await signalbox.start();
    await expect
      .poll(async () => (await signalbox.text(id)).toString(), { timeout: 30_000 })
      .toMatch(/done\n[^]*done\n/);
    supervised.write("end\n");
    expect(await supervised.code).toBe(1);
    // Here it is as it would be without.
    expect(supervised.stdout().split(secret).length).toBeGreaterThan(2 * secret.length);
    expect(supervised.stderr()).toContain(`cannot go on with ${secret}`);
    const { text, record } = await expectNoneShown(signalbox, id);
    expect(record.state).toBe(JobState.FAILED);
    expect(record.name).toBe("with [redacted]");
    const parameters = record.spec?.levers
      .map(({ value }) => value?.value)
      .find((value) => value?.case === "parameters");
    expect(parameters?.value.parameters).toMatchObject({
      command: expect.arrayContaining(["--password", "[redacted]", "--header=[redacted]"]),
    });
    expect(text).toContain("cannot go on with [redacted]\n");
    expect(text).toContain(
      "--password [redacted] --header=[redacted]\nauthorization: bearer [redacted]\n10%\r20%\rdone\n",
    );
    const { vitals } = await signalbox.job(id);
    expect(Number(vitals?.redactions)).toBeGreaterThan(6 * secret.length);
    expect((await command(signalbox, ["job", id])).stdout).toMatch(/\d+ secrets masked/);
    await expectNoneOnDisk(signalbox);
    expectNone(Buffer.from(signalbox.server.output()), "the server's output");
  } finally {
    await supervised.kill();
  }
});

test("the secrets of a worker are nowhere: lines, fields, phase, refusals and errors", async ({ signalbox }) => {
  const worker = runProgram("e2e/programs/telling-worker.ts", {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
    SIGNALBOX_TEST_PASSWORD: secret,
    SIGNALBOX_SPOOL_DIR: join(signalbox.folder, "spool"),
  });
  running.add(worker);
  const id = await signalbox.startJob("tell");
  await expect.poll(async () => (await signalbox.job(id)).vitals?.phase).toBe("asking with [redacted]");
  await signalbox.jobs.sendCommand({
    requestId: randomUUID(),
    jobId: id,
    command: create(CommandSchema, {
      action: { case: "set", value: { value: { case: "parameters", value: { parameters: { text: "other" } } } } },
    }),
  });
  const record = await signalbox.state(id, JobState.FAILED);
  expect(record.reason).toContain("cannot go on with [redacted]");
  expect(record.attempts[0]?.end?.reason).toBe("cannot go on with [redacted]");
  expect(record.receipts.map(({ reason }) => reason)).toContain("not with [redacted]");
  const { text } = await expectNoneShown(signalbox, id);
  expect(text.match(/^cut \[redacted\] end$/gm)).toHaveLength(secret.length + 1);
  expect(text).toContain("unfinished [redacted]");
  expect(text).toMatch(/Error: cannot go on with \[redacted\]\n[^]*secret: (["'`])\[redacted\]\1/);
  await expectNoneOnDisk(signalbox);
  expectNone(Buffer.from(signalbox.server.output() + worker.output()), "the output of server and worker");
});

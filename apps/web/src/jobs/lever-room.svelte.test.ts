import { Code, ConnectError } from "@connectrpc/connect";
import { JobState, ReceiptState, RunMode, type LeverValue } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { page, userEvent } from "vitest/browser";
import { openApp, until, words } from "../test-app.ts";
import { TestRoom } from "../test-room.ts";
import { parametersValue } from "./parameters.ts";
import { jobRecord, runValue } from "./samples.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
const nowUs = () => BigInt(Date.now() * 1000);
const lever = (name: string) => document.querySelector(`[role=group][aria-label^="${name}"]`);
const attempts = [{ number: 1, workerId: "box-01", assignedAtUs: 1n, startedAtUs: 2n }];
const running = (more: Parameters<typeof jobRecord>[0] = {}) =>
  jobRecord({ id: "alpha", name: "alpha", type: "tunable", state: JobState.RUNNING, attempts, ...more });
/** Windows on both sides of every border of the frame, and those that people have. */
const widths = [1920, 1536, 1440, 1366, 1280, 1241, 1240, 1000, 700];

beforeEach(() => {
  room = new TestRoom();
  // No type says more of what a cancel does.
  room.setTypes({ type: { name: "other", levers: ["run"] }, workers: 1, slots: 1 });
});
afterEach(() => history.replaceState(null, "", started));

/** Lets somebody else be faster with a value of the run lever than the next command of this page. */
function raj(value: LeverValue): void {
  const theirs = { generation: 2n, value };
  const receipt = { state: ReceiptState.DELIVERED, actor: { name: "raj" }, requestId: "raj-1", deliveredAtUs: nowUs() };
  room.onCommand = () => {
    room.setJob(
      running({
        spec: { generation: 2n, levers: [theirs] },
        receipts: [{ ...theirs, ...receipt, acceptedAtUs: nowUs() - 400_000n }],
      }),
    );
    throw new ConnectError("raj moved the run lever since you looked.", Code.Aborted);
  };
}

/** What cannot be seen or read of a lever: words that are cut off, and controls that leave it. */
function hidden(name: string): string[] {
  const frame = lever(name);
  const says = frame?.querySelector<HTMLElement>(".words");
  if (!frame || !says) return ["no such lever"];
  const { left, right, bottom } = frame.getBoundingClientRect();
  const outside = [...frame.querySelectorAll("button, .words")].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.left < left || box.right > right || box.bottom > bottom || box.right > innerWidth;
  });
  return [
    ...(says.clientHeight < 13 || says.scrollHeight > says.clientHeight + 1 ? [`cut: ${words(says)}`] : []),
    ...outside.map((each) => `outside: ${words(each)}`),
  ];
}

async function expectRoomAtEveryWidth(name: string): Promise<void> {
  for (const width of widths) {
    await page.viewport(width, 800);
    expect(hidden(name), `${name} at ${width} px`).toEqual([]);
  }
}

test("who was faster stands on the lever in full, with the choice, at every width", async () => {
  room.setJob(running());
  await openApp(room, "/jobs/alpha");
  await until(() => lever("Run"));
  const pressed = page.getByRole("button", { name: "Change log level" }).element();
  const { top } = pressed.getBoundingClientRect();
  raj(runValue(RunMode.PAUSE));
  await userEvent.keyboard("p");
  await expect.element(page.getByRole("button", { name: "Pause anyway" })).toBeVisible();
  // The other levers stay where they are.
  expect(pressed.getBoundingClientRect().top).toBe(top);
  await expectRoomAtEveryWidth("Run");
});

test("a worker's sentence on why it refused is read at every width", async () => {
  const reason = "the shard map cannot change while the index is being merged, try it after 18:30";
  const value = parametersValue({ shards: 4 });
  room.setJob(
    running({
      spec: { generation: 3n, levers: [{ generation: 3n, value }] },
      receipts: [
        { generation: 2n, value, state: ReceiptState.REJECTED, reason, acceptedAtUs: nowUs(), decidedAtUs: nowUs() },
      ],
    }),
  );
  await openApp(room, "/jobs/alpha");
  await until(() => words(lever("Parameters")).includes(reason));
  await expectRoomAtEveryWidth("Parameters");
});

test("while a cancel counts down, Undo and what the cancel will do are seen at every width", async () => {
  room.setJob(running());
  await openApp(room, "/jobs/alpha");
  await until(() => lever("End"));
  for (const width of widths) {
    await page.viewport(width, 800);
    await userEvent.keyboard("c");
    await until(() => words(lever("End")).includes("Undo"));
    expect(words(lever("End"))).toContain("press again: at once · 10 s to end by itself, then killed or given up");
    expect(hidden("End"), `${width} px`).toEqual([]);
    await userEvent.keyboard("z");
    await until(() => !words(lever("End")).includes("Undo"));
  }
});

test("a cancel that somebody else asked for first is said with who and when, and not offered again", async () => {
  room.setJob(running());
  await openApp(room, "/jobs/alpha");
  await until(() => lever("End"));
  raj(runValue(RunMode.CANCEL));
  await userEvent.keyboard("cc");
  await until(() => /Raj cancelled it .* before you\. Your click changed nothing\. \S/.test(words(lever("End"))));
  expect(words(lever("End"))).toContain("Stop now");
  expect(words(lever("End"))).not.toContain("Cancel anyway");
  await expectRoomAtEveryWidth("End");
  await userEvent.click(page.getByRole("button", { name: "Leave it" }));
  await until(() => !words(lever("End")).includes("Raj"));
});

test("on a phone what a lever says at rest keeps its spaces", async () => {
  const levers = [{ generation: 2n, value: runValue(RunMode.RUN) }];
  const receipt = { ...levers[0], state: ReceiptState.APPLIED, actor: { name: "raj" } };
  room.setJob(
    running({
      spec: { generation: 2n, levers },
      receipts: [{ ...receipt, acceptedAtUs: nowUs(), decidedAtUs: nowUs() + 38_000n }],
    }),
  );
  room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: 1n, safePointMs: 400n });
  await openApp(room, "/jobs/alpha", 360);
  await userEvent.click(page.getByRole("button", { name: "Levers" }));
  const says = () => lever("Run")?.querySelector<HTMLElement>(".words")?.innerText.replaceAll("\u00a0", " ");
  await until(() => says() === "applied after 38 ms, by raj · pauses within 0.4 s");
});

test("on a phone the bar names what a cancel that counts down will do", async () => {
  room.setJob(running());
  await openApp(room, "/jobs/alpha", 360);
  await userEvent.click(page.getByRole("button", { name: "Cancel" }));
  const says = () => document.querySelector<HTMLElement>(".thumb .does");
  await until(() => words(says()) === "press again: at once · 10 s to end by itself, then killed or given up");
  const { clientHeight = 0, scrollHeight = 0 } = says() ?? {};
  expect(scrollHeight).toBeLessThanOrEqual(clientHeight + 1);
  expect(document.querySelector(".thumb")?.clientHeight).toBeLessThanOrEqual(56);
  expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
});

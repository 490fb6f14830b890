import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { AuditRowSchema } from "@signalbox/protocol";
import { ActorKind, ActorSchema, AuditKind, ReceiptState } from "@signalbox/protocol";
import { page, userEvent } from "vitest/browser";
import { expect, test } from "vitest";
import { TestRoom } from "../test-room.ts";
import "../ui/tokens.css";
import "../ui/base.css";
import { axeFaults, openApp, until, words } from "../test-app.ts";

/** The cells of a row, as they are read. */
const cells = (row: Element | undefined) =>
  [...(row?.children ?? [])].map((cell) =>
    cell instanceof HTMLElement ? cell.innerText.replaceAll(/\s+/g, " ").trim() : "",
  );

type Row = Omit<MessageInitShape<typeof AuditRowSchema>, "$typeName" | "$unknown">;

const startUs = 1_790_000_000_000_000;
const operator = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator", address: "10.0.0.7" });

/** A command of an operator on a job, the n-th row of its topic. */
function command(n: number, more: Row = {}): Row {
  return {
    ...{ topic: "job/j-1", position: BigInt(n), atUs: BigInt(startUs + n * 1_000_000), actor: operator },
    ...{ kind: AuditKind.COMMAND, jobId: "j-1", jobName: "nightly", words: `Speed ${n} /s`, generation: BigInt(n + 1) },
    ...{
      onGeneration: BigInt(n),
      outcome: ReceiptState.APPLIED,
      outcomeAtUs: BigInt(startUs + n * 1_000_000 + 38_000),
    },
    ...more,
  };
}

const refusal: Row = {
  ...{
    topic: "audit",
    position: 900n,
    atUs: BigInt(startUs + 900_000_000),
    actor: create(ActorSchema, { address: "10.0.0.9" }),
  },
  ...{ kind: AuditKind.SIGN_IN, words: "Wrong code", refused: true, repeated: 14 },
};

const rows = () => [...document.querySelectorAll(".rows tbody tr:not(.room)")];
const rowOf = (text: string) => rows().find((row) => words(row).includes(text));
const foot = () => words(document.querySelector("footer"));
const press = (keys: string) => userEvent.keyboard(keys);

test("rows say who, from where, what, on which generation, how it ended and when; what was refused is marked", async () => {
  const room = new TestRoom();
  room.setAudit(command(1), refusal);
  await openApp(room, "/audit");
  await until(() => rows().length === 2);
  expect(cells(rows()[0]).slice(1)).toEqual([
    "somebody unknown 10.0.0.9",
    "Wrong code and 14 more",
    "–",
    "–",
    "Refused",
    "–",
  ]);
  expect(cells(rows()[1]).slice(1)).toEqual([
    "operator 10.0.0.7",
    "Speed 1 /s",
    "nightly",
    "1 → 2",
    "Applied",
    "+38 ms",
  ]);
  expect(rows()[0]?.querySelector(".lamp")?.getAttribute("data-tone")).toBe("stop");
  expect(document.title).toBe("Audit · Signalbox");
  // Without a word of kinds, it is what people did.
  expect(room.auditRequests[0]?.filter?.kinds).not.toContain(AuditKind.REPORT);
  expect(await axeFaults()).toEqual([]);
});

test("a row that comes is there at once, and one that changes is told again where it stands", async () => {
  const room = new TestRoom();
  room.setAudit(command(1, { outcome: ReceiptState.ACCEPTED, outcomeAtUs: 0n }));
  await openApp(room, "/audit");
  await until(() => rowOf("Accepted"));
  room.setAudit(command(2));
  await until(() => rows().length === 2);
  expect(words(rows()[0])).toContain("Speed 2 /s");
  room.setAudit(command(1));
  await until(() => !rowOf("Accepted"));
  expect(cells(rows()[1])).toContain("Applied");
});

test("further down rows keep their places: what is new waits, and is shown when it is asked for", async () => {
  const room = new TestRoom();
  room.setAudit(...Array.from({ length: 60 }, (_, i) => command(i + 1)));
  await openApp(room, "/audit");
  await until(() => rowOf("Speed 60 /s"));
  const scroller = document.querySelector(".rows-scroll");
  if (!scroller) throw new Error("there is no table");
  scroller.scrollTop = 400;
  await until(() => (scroller.scrollTop === 400 ? rowOf("Speed 45 /s") : undefined));
  await new Promise((resolve) => requestAnimationFrame(resolve));
  const before = rowOf("Speed 45 /s")?.getBoundingClientRect().top;
  room.setAudit(command(61), command(62));
  await until(() => foot().includes("2 new, show"));
  expect(rowOf("Speed 45 /s")?.getBoundingClientRect().top).toBe(before);
  await page.getByRole("button", { name: "2 new, show" }).click();
  await until(() => rowOf("Speed 62 /s") && scroller.scrollTop === 0);
  expect(foot()).not.toContain("new, show");
});

test("older rows are read as the end of the list comes near, and the end says where the view begins", async () => {
  const room = new TestRoom();
  room.auditBeginsAtUs = BigInt(startUs);
  room.setAudit(...Array.from({ length: 450 }, (_, i) => command(i + 1)));
  await openApp(room, "/audit");
  await until(() => rowOf("Speed 450 /s"));
  const scroller = document.querySelector(".rows-scroll");
  if (!scroller) throw new Error("there is no table");
  await until(() => {
    scroller.scrollTop = scroller.scrollHeight;
    return rowOf("Speed 1 /s");
  });
  expect(room.auditRequests.map(({ pageToken }) => pageToken)).toEqual(["", "200", "400"]);
  expect(words(scroller)).toContain("The view begins at 2026-");
  expect(foot()).toContain("450 rows");
});

test("filters are chips that can be removed, they are the URL, and the export has the same", async () => {
  const room = new TestRoom();
  room.setAudit(command(1), command(2, { jobId: "j-2", jobName: "other", topic: "job/j-2" }));
  await openApp(room, "/audit?job=j-2&kind=command");
  await until(() => rows().length === 1);
  expect([...document.querySelectorAll(".chip")].map(words)).toEqual(["jobother", "kindcommand"]);
  const link = document.querySelector<HTMLAnchorElement>("a.export");
  expect(link?.pathname).toBe("/audit.ndjson");
  expect([...new URL(link?.href ?? "").searchParams]).toEqual([
    ["job", "j-2"],
    ["kind", "command"],
  ]);
  await page.getByRole("button", { name: "Remove job other" }).click();
  await until(() => rows().length === 2);
  expect(location.search).toBe("?kind=command");
  await page.getByRole("searchbox").fill("Speed 2");
  await until(() => rows().length === 1);
  expect(new URLSearchParams(location.search).get("text")).toBe("Speed 2");
  await page.getByRole("searchbox").fill("nothing like it");
  await until(() => words(document.querySelector(".none")).includes("Nobody did anything that fits. Clear filter"));
  await page.getByRole("link", { name: "Clear filter" }).click();
  await until(() => rows().length === 2);
  expect(location.pathname + location.search).toBe("/audit");
});

test("a filter of the URL that is not understood is a chip, and nothing is shown until it is removed", async () => {
  const room = new TestRoom();
  room.setAudit(command(1));
  await openApp(room, "/audit?kind=zzz&from=abc");
  await until(() =>
    words(document.querySelector(".none")).startsWith("Nothing fits. Not understood: kind zzz, from abc."),
  );
  await until(() => foot().includes(", live"));
  expect(rows()).toEqual([]);
  await userEvent.click(page.getByRole("button", { name: "Remove from abc" }));
  await until(() => location.search === "?kind=zzz");
  expect(rows()).toEqual([]);
  await userEvent.click(page.getByRole("button", { name: "Remove kind zzz" }));
  await until(() => rows().length === 1);
  expect(location.search).toBe("");
});

test("the keyboard moves among rows and opens their details, which are in the URL", async () => {
  const room = new TestRoom();
  room.setAudit(
    command(1, { attempt: 2, atLine: 184n, digest: new Uint8Array([0xab, 0xcd]), requestId: "r-1" }),
    command(2),
  );
  await openApp(room, "/");
  await press("ga");
  await until(() => rows().length === 2);
  await press("jj");
  await until(() => rows()[1]?.classList.contains("cursor"));
  await press("{Enter}");
  const details = await until(() => document.querySelector(".details"));
  expect(words(details)).toContain("Speed 1 /s");
  expect(words(details)).toMatch(/Request\s?r-1\s?Entry\s?job\/j-1 at 1\s?SHA-256\s?abcd/);
  expect(details?.querySelector<HTMLAnchorElement>("dd a")?.getAttribute("href")).toBe("/jobs/j-1?attempt=2&line=184");
  expect(new URLSearchParams(location.search).get("row")).toBe("job/j-1@1");
  expect(await axeFaults()).toEqual([]);
  await press("k");
  await until(() => words(document.querySelector(".details")).includes("Speed 2 /s"));
  await press("{Escape}");
  await until(() => !document.querySelector(".details"));
  await press("/");
  expect(document.activeElement?.getAttribute("type")).toBe("search");
});

test("a check of all histories tells how far it is, can be stopped, and names what is wrong", async () => {
  const room = new TestRoom();
  let goOn = () => {};
  const held = new Promise<void>((resolve) => (goOn = resolve));
  room.verification = async function* () {
    yield { topicsDone: 3n, topicsTotal: 1204n, entriesDone: 77n };
    await held;
    const faults = [
      { topic: "job/j-1", position: 7n, words: "Entry 7 was changed." },
      { topic: "job/j-2", position: 0n, words: "The topic is missing." },
    ];
    yield { verdict: { intact: false, faults, anchors: 12n, anchoredAtUs: BigInt(startUs) } };
  };
  await openApp(room, "/audit");
  await page.getByRole("button", { name: "Verify" }).click();
  await until(() =>
    words(document.querySelector(".bar")).includes("Checking. 3 of 1,204 histories, 77 entries so far"),
  );
  goOn();
  const bar = await until(() => document.querySelector(".bar.bad"));
  expect(words(bar)).toContain("Not intact. 2 histories are not as they were written. 12 anchors compared");
  expect(words(bar)).toMatch(/job\/j-1 Entry 7 was changed\.\s?job\/j-2 The topic is missing\./);
  expect(bar?.querySelector("a")?.getAttribute("href")).toBe("/jobs/j-1");
  expect(await axeFaults()).toEqual([]);
  await page.getByRole("button", { name: "Close" }).click();
  await until(() => !document.querySelector(".bar"));
});

test("a list that cannot be read says so and can be tried again; an empty one says that it is empty", async () => {
  const room = new TestRoom();
  let fails = true;
  room.onListAudit = () => {
    if (fails) throw new ConnectError("The disk does not answer.", Code.Internal);
  };
  await openApp(room, "/audit");
  await until(() =>
    words(document.querySelector(".fault")).includes("The audit cannot be read. The disk does not answer."),
  );
  fails = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await until(() => words(document.querySelector(".none")) === "Nobody has done anything yet.");
});

test("on a phone a row is two lines and its details have the page for themselves", async () => {
  const room = new TestRoom();
  room.setAudit(command(1), refusal);
  await openApp(room, "/audit", 360);
  await until(() => rows().length === 2);
  expect(rows()[1]?.getBoundingClientRect().height).toBe(56);
  const ends = rows().map((row) => row.querySelector(".when")?.getBoundingClientRect().right);
  expect(new Set(ends).size).toBe(1);
  expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
  await page.getByRole("link", { name: "Speed 1 /s" }).click();
  await until(() => document.querySelector(".details"));
  expect(document.querySelector("h1")).toBeNull();
  expect(await axeFaults()).toEqual([]);
});

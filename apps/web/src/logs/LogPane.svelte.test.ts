import { createClient } from "@connectrpc/connect";
import { Level, LiveService, LogService, Source } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { page, userEvent } from "vitest/browser";
import { render } from "vitest-browser-svelte";
import { Live } from "../live/live.svelte.ts";
import { TestRoom } from "../test-room.ts";
import { LogReader } from "./log-reader.svelte.ts";
import LogPane from "./LogPane.svelte";
import { chunkEntry, gapEntry, numbered } from "./samples.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
let live: Live;
const readers: LogReader[] = [];
let onMark: ReturnType<typeof vi.fn<(marked: { from: number; to: number }) => void>>;

beforeEach(async () => {
  await page.viewport(1200, 600);
  // The page stands in for the frame of the app.
  document.body.style.height = "600px";
  localStorage.removeItem("signalbox-wrap");
  room = new TestRoom();
  live = new Live(createClient(LiveService, room.transport));
  onMark = vi.fn();
});
afterEach(() => {
  for (const reader of readers.splice(0)) reader.close();
  live.close();
});

async function open(marked?: { from: number; to: number }) {
  const reader = new LogReader(createClient(LogService, room.transport), live, "j", 1, marked, onMark);
  readers.push(reader);
  const target = document.createElement("div");
  target.style.height = "600px";
  document.body.append(target);
  await render(LogPane, {
    target,
    props: { reader, label: "Log", download: "/log", silentMs: undefined, ended: undefined, waiting: "No line yet." },
  });
  return reader;
}

/** Waits for a condition; a busy machine may take its time. */
const until = <T>(condition: () => T) => vi.waitUntil(condition, { timeout: 30_000, interval: 20 });
const scroller = () => page.getByRole("log").element();
const shownRows = () => {
  const box = scroller().getBoundingClientRect();
  return [...document.querySelectorAll<HTMLElement>(".row:not(.held)")].filter((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return bottom > box.top + 1 && top < box.bottom - 1;
  });
};
const keys = () => shownRows().map((row) => row.dataset["key"]);
const topRow = () => {
  const row = shownRows()[0];
  return row && { key: row.dataset["key"], at: Math.round(row.getBoundingClientRect().top) };
};
const textOf = (line: number) => document.querySelector(`[data-key="l${line}"] .text`)?.textContent;
const wheel = (px: number) =>
  scroller().dispatchEvent(new WheelEvent("wheel", { deltaY: px, bubbles: true, cancelable: true }));
/** Resolves after what was scrolled to is painted: a surface paints in the frame after. */
const painted = () =>
  new Promise<void>((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
const chip = () => document.querySelector(".chip")?.textContent?.replaceAll(/\s+/g, " ").trim() ?? "";

describe("a log that is followed", () => {
  test("shows its end, and keeps showing it as lines come", async () => {
    room.append([numbered(1, 201)]);
    await open();
    await until(() => keys().at(-1) === "l200");
    room.append([numbered(201, 301)]);
    await until(() => keys().at(-1) === "l300");
    expect(textOf(300)).toBe("line 300");
    await until(() => chip().startsWith("Following"));
  });

  test("shows new lines in the elements and text nodes that are there", async () => {
    const nodes = new Set<Node>();
    const newNodes = () => {
      let count = 0;
      const walker = document.createTreeWalker(scroller());
      while (walker.nextNode()) {
        if (walker.currentNode.parentElement?.closest(".row") && !nodes.has(walker.currentNode)) count++;
        nodes.add(walker.currentNode);
      }
      return count;
    };
    room.append([numbered(1, 201)]);
    await open();
    await until(() => keys().at(-1) === "l200");
    expect(newNodes()).toBeGreaterThan(100);
    for (const [from, to] of [
      [201, 301],
      [301, 401],
    ] as const) {
      room.append([numbered(from, to)]);
      await until(() => keys().at(-1) === `l${to - 1}`);
      expect(textOf(to - 1)).toBe(`line ${to - 1}`);
    }
    // A row more than at first there may be.
    expect(newNodes()).toBeLessThan(30);
  });

  test("says why there is no line yet", async () => {
    await open();
    await expect.element(page.getByText("No line yet.")).toBeVisible();
  });
});

describe("a log that is read", () => {
  test("does not move when a thousand lines come, and counts them and their errors exactly", async () => {
    room.append([numbered(1, 501)]);
    await open();
    await until(() => keys().at(-1) === "l500");
    wheel(-900);
    await until(() => chip().includes("Reading"));
    await painted();
    const before = topRow();
    room.append([
      numbered(501, 1401),
      chunkEntry(
        1401,
        Array.from({ length: 100 }, () => ({ text: "bad\n", level: Level.ERROR })),
      ),
    ]);
    await until(() => chip().includes("1,000 new"));
    expect(chip()).toContain("100 errors");
    expect(topRow()).toEqual(before);
    await userEvent.click(page.getByRole("button", { name: /Follow/ }));
    await until(() => keys().at(-1) === "l1500");
    expect(chip()).toContain("Following");
  });

  test("keeps its place to the pixel while a far range comes in above and below", async () => {
    room.makeEndless(1_000_001, (from) => numbered(from, from + 100));
    const reader = await open();
    await until(() => keys().at(-1) === "l1000000");
    let release = () => {};
    room.readGate = new Promise((resolve) => (release = resolve));
    reader.jump(500_000);
    await until(() => keys().includes("l500000"));
    await painted();
    // Numbers are there at once, the text is not.
    const before = topRow();
    expect(textOf(500_000)).toBe("");
    release();
    await until(() => textOf(500_000) === "line 500000");
    expect(topRow()).toEqual(before);
    expect(document.querySelectorAll(".row").length).toBeLessThan(120);
    reader.toStart();
    await until(() => textOf(1) === "line 1");
    expect(keys()[0]).toBe("l1");
  });

  test("selected text stays selected when its rows leave the screen, and is copied with the lines between", async () => {
    room.append([numbered(1, 401)]);
    const reader = await open();
    await until(() => keys().at(-1) === "l400");
    reader.toStart();
    await until(() => textOf(1) === "line 1");
    const start = document.querySelector('[data-key="l2"] .text')?.firstChild;
    const end = document.querySelector('[data-key="l4"] .text')?.firstChild;
    if (!start || !end) throw new Error("rows 2 and 4 are not shown");
    document.getSelection()?.setBaseAndExtent(start, 2, end, 4);
    reader.jump(300);
    await until(() => keys().includes("l300"));
    room.append([numbered(401, 501)]);
    const data = new DataTransfer();
    scroller().dispatchEvent(new ClipboardEvent("copy", { clipboardData: data, bubbles: true, cancelable: true }));
    expect(data.getData("text/plain")).toBe("ne 2\nline 3\nline");
    expect(document.getSelection()?.anchorNode).toBe(start);
    reader.toStart();
    await until(() => keys()[0] === "l1");
    expect(document.getSelection()?.anchorNode?.parentElement?.closest<HTMLElement>(".row")?.dataset["key"]).toBe("l2");
    document.getSelection()?.removeAllRanges();
  });

  test("selecting text ends following", async () => {
    room.append([numbered(1, 101)]);
    await open();
    await until(() => textOf(100) === "line 100");
    const text = document.querySelector('[data-key="l100"] .text')?.firstChild;
    if (!text) throw new Error("line 100 is not shown");
    document.getSelection()?.setBaseAndExtent(text, 0, text, 4);
    await until(() => chip().includes("Reading"));
    document.getSelection()?.removeAllRanges();
  });

  test("wrapping long lines keeps the line at the top", async () => {
    room.append([
      chunkEntry(
        1,
        Array.from({ length: 300 }, (_, index) => `${index + 1} ${"word ".repeat(80)}\n`),
      ),
    ]);
    const reader = await open();
    await until(() => keys().at(-1) === "l300");
    reader.jump(150);
    await until(() => keys().includes("l150"));
    await painted();
    const before = topRow()?.key;
    await userEvent.click(page.getByRole("button", { name: /Wrap/ }));
    await until(() => (shownRows()[0]?.offsetHeight ?? 0) > 18);
    expect(topRow()?.key).toBe(before);
  });
});

describe("rows", () => {
  test("a marker and a gap stand between lines with exact numbers", async () => {
    room.append([numbered(1, 11), gapEntry(11, 13), numbered(24, 31)]);
    const reader = await open();
    reader.markers = [
      {
        generation: 2,
        attempt: 1,
        line: 5,
        who: "ana",
        what: "paused",
        short: "pause",
        atUs: 1,
        afterMs: 38,
        proof: "",
      },
    ];
    await until(() => keys().includes("m2"));
    expect(keys().slice(3, 7)).toEqual(["l4", "m2", "l5", "l6"]);
    await expect.element(page.getByText(/applied after 38.ms, at line 5/)).toBeVisible();
    await expect.element(page.getByText(/13.lines missing/)).toBeVisible();
    await expect.element(page.getByText("11 – 23")).toBeVisible();
    expect(keys().slice(-8)).toEqual(["g11", "l24", "l25", "l26", "l27", "l28", "l29", "l30"]);
  });

  test("levels, sources and text are shown, and markup is text", async () => {
    room.append([
      chunkEntry(1, [
        { text: "<img src=x onerror=alert(1)>\n", level: Level.ERROR, source: Source.STDERR },
        { text: "\u001b[31mred\u001b[0m\n", level: Level.INFO, source: Source.STDOUT },
        { text: "10 %", source: Source.STDOUT },
        { text: "\r20 %\n", source: Source.STDOUT, continues: true },
      ]),
    ]);
    await open();
    await until(() => textOf(1) === "<img src=x onerror=alert(1)>");
    expect(document.querySelector(".row img")).toBeNull();
    expect(document.querySelector('[data-key="l1"]')?.className).toContain("error err");
    expect(document.querySelector('[data-key="l1"] .level')?.textContent).toBe("E");
    expect(document.querySelector<HTMLElement>('[data-key="l2"] .text span')?.style.color).toBe("var(--ansi-red)");
    expect(textOf(3)).toBe("20 %");
    expect(document.querySelector('[data-key="l4"]')).toBeNull();
  });

  test("a progress bar of a thousand pieces is one row with its newest state, and all that was written can be seen", async () => {
    const piece = (step: number) => ({ text: `\r${step} of 1000`, source: Source.STDOUT, continues: step > 1 });
    const steps = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => piece(from + index));
    room.append([chunkEntry(1, steps(1, 601))]);
    await open();
    await until(() => textOf(1) === "600 of 1000");
    room.append([chunkEntry(601, steps(601, 1001))]);
    await until(() => textOf(1) === "1000 of 1000");
    expect(keys()).toEqual(["l1"]);
    expect(document.querySelector('[data-key="l1"]')?.classList).toContain("unfinished");
    await userEvent.click(page.getByRole("button", { name: /all that was written/ }));
    await until(() => textOf(1)?.includes("␍998 of 1000␍999 of 1000␍1000 of 1000"));
    room.append([chunkEntry(1001, [{ text: "\n", source: Source.STDOUT, continues: true }, "after it\n"])]);
    await until(() => textOf(1002) === "after it");
    // Who opened the row reads: the divider stands before the line that was being written.
    expect(keys()).toEqual(["d1001", "l1", "l1002"]);
    expect(document.querySelector(".unfinished")).toBeNull();
  });

  test("a prompt stands there without a line end, and what follows it on its line joins it", async () => {
    room.append([chunkEntry(1, ["ready\n", { text: "Password: ", source: Source.STDOUT }])]);
    await open();
    await until(() => textOf(2) === "Password: ");
    expect(document.querySelector(".unfinished")?.getAttribute("data-key")).toBe("l2");
    room.append([chunkEntry(3, [{ text: "\n", source: Source.STDOUT, continues: true }, "welcome\n"])]);
    await until(() => textOf(4) === "welcome");
    expect(keys()).toEqual(["l1", "l2", "l4"]);
  });

  test("a click on a number marks its line, Shift a range", async () => {
    room.append([numbered(1, 21)]);
    await open();
    await until(() => textOf(20) === "line 20");
    const number = (line: number) => page.getByRole("link", { name: String(line), exact: true });
    await userEvent.click(number(7));
    expect(onMark).toHaveBeenLastCalledWith({ from: 7, to: 7 });
    number(12)
      .element()
      .dispatchEvent(new MouseEvent("click", { shiftKey: true, bubbles: true, cancelable: true }));
    expect(onMark).toHaveBeenLastCalledWith({ from: 7, to: 12 });
    await until(() => document.querySelectorAll(".row.marked").length === 6);
  });

  test("a marked line of the URL is jumped to", async () => {
    room.append([numbered(1, 1001)]);
    await open({ from: 500, to: 500 });
    await until(() => document.querySelector(".row.marked")?.getAttribute("data-key") === "l500");
    expect(keys()).toContain("l500");
  });
});

describe("ways to a line", () => {
  test("':' asks for its number, says how far the log goes, and leads there", async () => {
    room.append([numbered(1, 1001)]);
    await open();
    await expect.element(page.getByText("Lines 1 – 1,000")).toBeVisible();
    await userEvent.keyboard(":");
    await userEvent.keyboard("2000{Enter}");
    await expect.element(page.getByText("the log ends at line 1,000")).toBeVisible();
    await userEvent.fill(page.getByRole("textbox", { name: "Line" }), "1,2 3");
    await userEvent.keyboard("{Enter}");
    await until(() => document.querySelector(".row.marked")?.getAttribute("data-key") === "l123");
    expect(keys()).toContain("l123");
    expect(onMark).toHaveBeenLastCalledWith({ from: 123, to: 123 });
    expect(page.getByRole("textbox", { name: "Line" }).elements()).toHaveLength(0);
  });

  test("a selection that is dragged over the edge scrolls on and keeps all lines between", async () => {
    room.append([numbered(1, 1001)]);
    const reader = await open();
    await until(() => keys().at(-1) === "l1000");
    reader.jump(500);
    await until(() => keys().includes("l500"));
    await painted();
    const text = document.querySelector('[data-key="l500"] .text');
    const box = scroller().getBoundingClientRect();
    if (!text?.firstChild) throw new Error("no text");
    const mouse = (type: string, target: EventTarget, clientY: number) =>
      target.dispatchEvent(
        new PointerEvent(type, { pointerType: "mouse", button: 0, clientX: 300, clientY, bubbles: true }),
      );
    mouse("pointerdown", text, text.getBoundingClientRect().top + 5);
    document.getSelection()?.setBaseAndExtent(text.firstChild, 0, text.firstChild, 3);
    mouse("pointermove", window, box.bottom + 80);
    await until(() => keys().includes("l700"));
    mouse("pointerup", window, box.bottom + 80);
    await painted();
    const data = new DataTransfer();
    scroller().dispatchEvent(new ClipboardEvent("copy", { clipboardData: data, bubbles: true, cancelable: true }));
    const lines = data.getData("text/plain").split("\n");
    expect(lines.slice(0, 3)).toEqual(["line 500", "line 501", "line 502"]);
    expect(lines.length).toBeGreaterThan(190);
  });
});

test("after the link was lost the log goes on without gap or repeat, in its place", async () => {
  room.append([numbered(1, 301)]);
  await open();
  await until(() => keys().at(-1) === "l300");
  wheel(-720);
  await until(() => chip().includes("Reading"));
  await painted();
  const before = topRow();
  room.cut();
  await until(() => live.status.state === "away");
  room.mend();
  live.tryNow();
  await until(() => live.status.state === "live");
  room.append([numbered(301, 401)]);
  await until(() => chip().includes("100 new"));
  expect(topRow()).toEqual(before);
});

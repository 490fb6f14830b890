import { JobState } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { page, userEvent } from "vitest/browser";
import { axeFaults, openApp, until, words } from "../test-app.ts";
import { TestRoom } from "../test-room.ts";
import { jobRecord } from "./samples.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
const attempts = [{ number: 1, workerId: "box-01", assignedAtUs: 1n, startedAtUs: 2n }];
const lever = (name: string) => document.querySelector(`[role=group][aria-label^="${name}"]`);
const messages = () => words(document.querySelector("[aria-label=Messages]"));

beforeEach(() => {
  room = new TestRoom();
  room.setTypes({
    type: { name: "tunable", levers: ["run", "log_level"], takesInput: true },
    workers: 1,
    slots: 1,
  });
  room.setJob(jobRecord({ id: "alpha", name: "alpha", type: "tunable", state: JobState.RUNNING, attempts }));
});
afterEach(() => history.replaceState(null, "", started));

/** The page of the job, with a cancel that counts down. */
async function openHeld(): Promise<void> {
  await openApp(room, "/jobs/alpha");
  await until(() => lever("End"));
  await userEvent.keyboard("c");
  await until(() => words(lever("End")).includes("Cancels in"));
}

describe("a cancel that counts down", () => {
  test("is seen on every page that does not show its job, with Undo and z", async () => {
    await openHeld();
    expect(messages()).toBe("");
    await userEvent.keyboard("gw");
    await until(() =>
      /Cancels alpha in \d\ss Undo the cancel of alpha z 10\ss to end by itself, then given up/.test(messages()),
    );
    expect(await axeFaults()).toEqual([]);
    await userEvent.keyboard("z");
    await until(() => messages() === "");
    await userEvent.keyboard("gj");
    await until(() => document.querySelector("tr[data-job]"));
    await userEvent.keyboard("jc");
    await until(() => words(document.querySelector("tr[data-job]")).includes("Cancels in"));
    // Its row says it; where that is not shown, the message does.
    expect(messages()).toBe("");
    await userEvent.keyboard("ga");
    await userEvent.click(page.getByRole("button", { name: "Undo the cancel of alpha" }));
    await until(() => messages() === "");
    expect(room.commands).toEqual([]);
  });

  test("is sent in its time on whatever page one is", async () => {
    await openHeld();
    await userEvent.keyboard("ga");
    await until(() => messages().includes("Cancels alpha"));
    await until(() => room.commands.length === 1);
    await until(() => messages() === "");
  });

  test("keeps the browser from leaving the site without a question, and nothing else does", async () => {
    const leave = () => {
      const event = new Event("beforeunload", { cancelable: true });
      window.dispatchEvent(event);
      return event.defaultPrevented;
    };
    await openHeld();
    expect(leave()).toBe(true);
    await userEvent.keyboard("z");
    expect(leave()).toBe(false);
  });

  test("is sent at once by Enter, whatever control has the focus", async () => {
    await openApp(room, "/jobs/alpha");
    await until(() => words(lever("Log level")).includes("TRACE"));
    await userEvent.keyboard("l");
    await expect.element(page.getByRole("menu", { name: "Change log level" })).toBeVisible();
    await userEvent.keyboard("{Escape}c");
    expect(document.activeElement?.getAttribute("aria-label")).toBe("Change log level");
    await userEvent.keyboard("{Enter}");
    await until(() => room.commands.length === 1);
    expect(page.getByRole("menu").elements()).toHaveLength(0);
  });

  test("is left alone by Enter in a text field, and taken back by Enter on Undo", async () => {
    await openHeld();
    await userEvent.keyboard("i");
    await userEvent.keyboard("yes{Enter}");
    await until(() => room.inputs.length === 1);
    expect(words(lever("End"))).toContain("Cancels in");
    page.getByRole("button", { name: "Undo" }).element().focus();
    await userEvent.keyboard("{Enter}");
    await until(() => !words(lever("End")).includes("Cancels in"));
    expect(room.commands).toEqual([]);
  });
});

import type { Browser, Page } from "@playwright/test";
import { JobState } from "@signalbox/protocol";
import { expect, test, type Signalbox } from "./fixtures.ts";

// Two browsers, a server and a worker, on a machine that may have more to do.
test.setTimeout(180_000);

const agreeWithinMs = 500;
const levers = (page: Page) => page.getByRole("toolbar", { name: "Levers" });
const timeline = (page: Page) => page.getByRole("list").filter({ hasText: "Started by" });

/** The page of a job in a browser of its own. */
async function operator(signalbox: Signalbox, browser: Browser, id: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  await signalbox.open(page, `/jobs/${id}`);
  await expect(page.getByRole("log")).toContainText("INFO line");
  return page;
}

/** When a page first showed a state of the job, milliseconds since the Unix epoch, and for how long it had stood still at most till then. */
interface Shown {
  readonly atMs: number;
  readonly stoodMs: number;
}

function shows(page: Page, word: string): Promise<Shown> {
  return page.evaluate(
    (wanted) =>
      new Promise<Shown>((resolve) => {
        let lookedMs = Date.now();
        let stoodMs = 0;
        const look = () => {
          const atMs = Date.now();
          stoodMs = Math.max(stoodMs, atMs - lookedMs);
          lookedMs = atMs;
          const words = [...document.querySelectorAll("[role=status]")].map((each) => each.textContent);
          if (words.some((text) => text.trim().startsWith(wanted))) resolve({ atMs, stoodMs });
          else setTimeout(look, 8);
        };
        look();
      }),
    word,
  );
}

/** Does something, and expects that both pages show a state at about the same time; a page that this machine does not run shows nothing. */
async function bothShow(pages: readonly Page[], word: string, act: () => Promise<void>): Promise<void> {
  const all = Promise.all(pages.map((page) => shows(page, word)));
  await act();
  const shown = await all;
  const times = shown.map(({ atMs }) => atMs);
  const stoodMs = Math.max(...shown.map((each) => each.stoodMs));
  expect(Math.max(...times) - Math.min(...times)).toBeLessThanOrEqual(agreeWithinMs + stoodMs);
}

test("two operators who contradict each other see the same within half a second, and who did what", async ({
  signalbox,
  browser,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 50 });
  const a = await operator(signalbox, browser, id);
  const b = await operator(signalbox, browser, id);
  const pages = [a, b];

  await bothShow(pages, "Paused", () => levers(a).getByRole("button", { name: "Pause" }).click());
  await bothShow(pages, "Running", () => levers(b).getByRole("button", { name: "Resume" }).click());
  await bothShow(pages, "Paused", () => levers(b).getByRole("button", { name: "Pause" }).click());
  for (const page of pages) {
    await expect(timeline(page).getByText("Pause by operator")).toHaveCount(2);
    await expect(timeline(page).getByText("Resume by operator")).toHaveCount(1);
  }
  const { record } = await signalbox.job(id);
  expect(record.state).toBe(JobState.PAUSED);
});

test("a click on what somebody else has moved meanwhile changes nothing, says who was faster, and can be repeated on top of it", async ({
  signalbox,
  browser,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 50 });
  const a = await operator(signalbox, browser, id);
  const b = await operator(signalbox, browser, id);

  // The command of B is on its way for as long as A needs.
  const arrived = Promise.withResolvers<undefined>();
  const onItsWay = Promise.withResolvers<undefined>();
  let held = false;
  await b.route("**/signalbox.v1.JobService/SendCommand", async (route) => {
    if (!held) {
      held = true;
      onItsWay.resolve(undefined);
      await arrived.promise;
    }
    await route.continue();
  });
  await levers(b).getByRole("button", { name: "Cancel" }).click();
  await levers(b)
    .getByRole("button", { name: /Cancels in/ })
    .click();
  await onItsWay.promise;
  await bothShow([a, b], "Paused", () => levers(a).getByRole("button", { name: "Pause" }).click());
  arrived.resolve(undefined);

  await expect(levers(b)).toContainText(/Operator paused it .*(before you)\. Your click changed nothing\./);
  expect((await signalbox.job(id)).record.state).toBe(JobState.PAUSED);
  await expect(levers(a)).not.toContainText("changed nothing");

  // It is offered again, and now it stands on what A did.
  await bothShow([a, b], "Canceled", () => b.getByRole("button", { name: "Cancel anyway" }).first().click());
  for (const page of [a, b]) {
    await expect(timeline(page).getByText("Pause by operator")).toHaveCount(1);
    await expect(timeline(page).getByText("Cancel by operator")).toHaveCount(1);
  }
  expect((await signalbox.job(id)).record.state).toBe(JobState.CANCELED);
});

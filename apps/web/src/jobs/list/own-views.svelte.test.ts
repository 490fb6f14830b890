import { JobState, RunMode } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { page, userEvent } from "vitest/browser";
import { cleanup } from "vitest-browser-svelte";
import { axeFaults, openApp, until, words } from "../../test-app.ts";
import { TestRoom } from "../../test-room.ts";
import { jobRecord, runValue } from "../samples.ts";
import { longestName, mostViews } from "./own-views.ts";
import "../../ui/tokens.css";
import "../../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
const key = "signalbox-job-views-1";
beforeEach(() => {
  localStorage.removeItem(key);
  room = new TestRoom();
  put("alpha", "index");
  put("beta", "embed");
  put("gamma", "embed");
});
afterEach(() => {
  localStorage.removeItem(key);
  document.body.replaceChildren();
  history.replaceState(null, "", started);
});

function put(id: string, type: string, state: JobState = JobState.RUNNING): void {
  const spec = { generation: 1n, levers: [{ generation: 1n, value: runValue(RunMode.RUN) }] };
  const attempts = [{ number: 1, workerId: "box-01", assignedAtUs: 1n, startedAtUs: 2n }];
  const startedAtUs = BigInt(Date.now() * 1000) - 5_000_000n;
  room.setJob(jobRecord({ id, name: id, type, state, spec, attempts, startedAtUs, endedAtUs: 0n }));
}
const button = (name: string) => page.getByRole("button", { name, exact: true });
const field = () => document.querySelector<HTMLInputElement>('input[aria-label="Name of the view"]');
const links = () => [...document.querySelectorAll<HTMLElement>('nav[aria-label="Views"] a')];
/** Own views with their counts; the one that is shown has a star. */
const own = () =>
  links()
    .slice(6)
    .map((link) => `${words(link)}${link.ariaCurrent === "page" ? "*" : ""}`);
const shows = (...views: string[]) => until(() => JSON.stringify(own()) === JSON.stringify(views));
const keep = (...views: readonly (readonly [name: string, query: string])[]) =>
  localStorage.setItem(key, JSON.stringify(views.map(([name, query]) => ({ name, query }))));
const rows = () => [...document.querySelectorAll<HTMLElement>("tr[data-job]")].map((row) => row.dataset["job"]);
async function open(path: string, width?: number): Promise<void> {
  await openApp(room, path, width);
  await until(() => rows().length > 0 || document.querySelector(".none"));
}

test("a narrowed list is saved under a name and is a view with a live count, also after a reload", async () => {
  await open("/");
  expect(button("Save view").query()).toBeNull();
  cleanup();
  await open("/?view=running&type=embed");
  await userEvent.click(button("Save view"));
  await until(() => document.activeElement === field());
  await userEvent.keyboard("  Embed  jobs {Enter}");
  await shows("Embed jobs 2*");
  expect(localStorage.getItem(key)).toBe('[{"name":"Embed jobs","query":"view=running&type=embed"}]');
  put("delta", "embed");
  put("alpha", "embed", JobState.SUCCEEDED);
  await shows("Embed jobs 3*");
  cleanup();
  await open("/");
  await shows("Embed jobs 3");
  expect(button("Save view").query()).toBeNull();
});

test("an own view is chosen while the URL says exactly it; a built-in view leaves its filter behind", async () => {
  keep(["mine", "type=embed&sort=name&label="], ["needy", "view=needs-you&state=failed"]);
  await open("/");
  await shows("mine 2", "needy 0");
  await userEvent.click(page.getByRole("link", { name: "mine 2" }));
  await shows("mine 2*", "needy 0");
  expect([location.search, rows()]).toEqual(["?type=embed&sort=name", ["beta", "gamma"]]);
  await userEvent.keyboard("/bet{Escape}");
  await shows("mine 2", "needy 0");
  await expect.element(button("Save view")).toBeVisible();
  await userEvent.click(page.getByRole("link", { name: "mine 2" }));
  await shows("mine 2*", "needy 0");
  await userEvent.click(page.getByRole("link", { name: "Running 3" }));
  await until(() => location.search === "?view=running");
});

test("Escape leaves the name and keeps nothing; an empty name, or that of a built-in view, is refused in words", async () => {
  await open("/?type=embed");
  await userEvent.click(button("Save view"));
  await userEvent.keyboard("x{Escape}");
  await until(() => field() === null && document.activeElement === button("Save view").element());
  expect(own()).toEqual([]);
  await userEvent.keyboard("{Enter}");
  await until(() => field()?.value === "");
  const said = () => words(document.querySelector(".keep [role=status]"));
  await userEvent.keyboard(" {Enter}");
  await until(() => said() === "A name is missing.");
  await userEvent.keyboard("Paused{Enter}");
  await until(() => said() === "‘Paused’ is always there. Choose another name.");
  await userEvent.keyboard("n".repeat(longestName));
  expect(field()?.value).toHaveLength(longestName);
  expect(own()).toEqual([]);
});

test("a name in use is replaced only after saying so, and that can be undone", async () => {
  keep(["mine", "type=index"]);
  await open("/?type=embed");
  await userEvent.click(button("Save view"));
  await userEvent.keyboard("Mine{Enter}");
  await until(() => words(document.querySelector(".keep")).includes("In use: Enter replaces what it shows."));
  await expect.element(button("Replace")).toBeVisible();
  await shows("mine 1");
  await userEvent.keyboard("{Enter}");
  await shows("Mine 2*");
  await userEvent.click(button("Undo: ‘Mine’ replaced"));
  await shows("mine 1");
});

test("an own view is renamed and removed with the keyboard, and each is undone with it", async () => {
  keep(["one", "type=index"], ["two", "type=embed"]);
  await open("/?type=embed");
  await shows("one 1", "two 2*");
  const focused = () => document.activeElement;
  button("Rename").element().focus();
  await userEvent.keyboard("{Enter}");
  await until(() => focused() === field() && field()?.value === "two");
  await userEvent.keyboard("second{Enter}");
  await shows("one 1", "second 2*");
  await until(() => focused() === button("Rename").element());
  await userEvent.keyboard("{Shift>}{Tab}{/Shift}{Enter}");
  await shows("one 1", "two 2*");
  await until(() => focused() === button("Rename").element());
  await userEvent.keyboard("{Enter}");
  await until(() => focused() === field());
  await userEvent.keyboard("one{Enter}");
  await until(() => words(document.querySelector(".keep")).includes("In use: Enter replaces that view."));
  await userEvent.keyboard("{Escape}{Tab}{Enter}");
  await shows("one 1");
  await until(() => focused()?.getAttribute("aria-label") === "Undo: ‘two’ removed");
  await userEvent.keyboard("{Enter}");
  await shows("one 1", "two 2*");
});

test("tabs of one browser agree, and neither takes back what the other did", async () => {
  keep(["one", "type=index"]);
  await open("/?type=embed");
  await shows("one 1");
  // Another document of this site: what it writes is told to this one by the browser.
  const other = document.createElement("iframe");
  document.body.append(other);
  const write = (text: string) => other.contentWindow?.localStorage.setItem(key, text);
  write('[{"name":"one","query":"type=index"},{"name":"theirs","query":"sort=name"}]');
  await shows("one 1", "theirs 3");
  write("half of it [");
  await shows();
  write('[{"name":"theirs","query":"sort=name"}]');
  await userEvent.click(button("Save view"));
  await userEvent.keyboard("mine{Enter}");
  await shows("theirs 3", "mine 2*");
  other.contentWindow?.localStorage.removeItem(key);
  await shows();
});

test("when the browser keeps nothing, the page says so and the view is not there", async () => {
  await open("/?type=embed");
  const storage = vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  try {
    await userEvent.click(button("Save view"));
    await userEvent.keyboard("mine{Enter}");
    await until(() => words(document.querySelector(".keep")).includes("This browser keeps nothing for this page"));
    expect(own()).toEqual([]);
  } finally {
    storage.mockRestore();
  }
});

test.each([1440, 360])(
  "fifty views with long names keep the page as it is at %i px, and axe finds nothing",
  async (width) => {
    const name = (index: number) =>
      `${index} ${"Nightly embeddings of all tenants in the west".slice(0, longestName - 4)}`;
    keep(...Array.from({ length: mostViews }, (_, index) => [name(index), `type=embed&q=${index || ""}`] as const));
    await open("/", width);
    await until(() => own().length === mostViews);
    const table = () => document.querySelector(".rows-scroll")?.getBoundingClientRect().top;
    const before = table();
    expect(document.documentElement.scrollWidth).toBe(width);
    history.replaceState(null, "", `/?type=embed&q=${mostViews - 1}`);
    window.dispatchEvent(new PopStateEvent("popstate"));
    // The view that is shown is brought into sight, however far down the line it is.
    const chosen = () => document.querySelector('nav[aria-label="Views"] [aria-current]')?.getBoundingClientRect();
    await until(() => own().at(-1)?.endsWith("*") === true && (chosen()?.right ?? Infinity) <= width);
    expect(table()).toBe(before);
    const inSight = (element: Element | null) => {
      const { left = -1, right = Infinity } = element?.getBoundingClientRect() ?? {};
      return left >= 0 && right <= width;
    };
    expect(inSight(button("Rename").element()) && inSight(button("Remove").element())).toBe(true);
    expect(await axeFaults()).toEqual([]);
    await userEvent.click(button("Rename"));
    await userEvent.fill(field() ?? document.body, name(0));
    await userEvent.keyboard("{Enter}");
    await until(() => words(document.querySelector(".keep")).includes("In use"));
    expect(inSight(field()) && inSight(button("Replace").element())).toBe(true);
    expect(document.documentElement.scrollWidth).toBe(width);
    expect(await axeFaults()).toEqual([]);
  },
);

import axe from "axe-core";
import { page } from "vitest/browser";
import { render } from "vitest-browser-svelte";
import { vi } from "vitest";
import App from "./App.svelte";
import { Session } from "./auth/session.svelte.ts";
import type { TestRoom } from "./test-room.ts";

/** Waits for a condition; a busy machine may take its time. */
export const until = <T>(condition: () => T) => vi.waitUntil(condition, { timeout: 30_000, interval: 20 });

/** The text of an element with single spaces. */
export const words = (element: Element | null | undefined) =>
  element?.textContent?.replaceAll(/\s+/g, " ").trim() ?? "";

/** The whole app at a path, on the server of a test, `width` px wide. */
export async function openApp(room: TestRoom, path: string, width = 1440): Promise<void> {
  await page.viewport(width, 800);
  document.documentElement.style.height = document.body.style.height = "100%";
  document.documentElement.dataset["theme"] = "dark";
  history.replaceState(null, "", path);
  const target = document.createElement("div");
  target.style.height = "800px";
  document.body.append(target);
  // Where the mouse of an earlier test was left, a list would hold still, and a strip would read out what is under it.
  await page.elementLocator(document.documentElement).hover({ position: { x: 0, y: 0 } });
  await render(App, { target, props: { transport: room.transport, session: new Session() } });
}

/** What axe finds on the page as it is, in words. */
export async function axeFaults(): Promise<string[]> {
  // A colour on its way is neither the old nor the new one; what breathes never arrives.
  const passing = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.allSettled(passing.map((each) => each.finished));
  const { violations } = await axe.run(document.body, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
  return violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary ?? ""}`),
  );
}

import { jobsPath, parseRoute, type JobsPlace } from "../../route.ts";
import { jobViews } from "../job-views.ts";
import { isNarrow } from "./job-query.ts";

// The views of the Jobs page that people named themselves, and the form in which their browser keeps them: names and the page's own URL
// queries.

/** A view that somebody named. */
export interface OwnView {
  readonly name: string;
  /** What the page shows then. */
  readonly place: JobsPlace;
  /** The page's path for it. Two places of one path are the same. */
  readonly path: string;
}

/** So many views can be kept. */
export const mostViews = 50;
/** So long a name can be, characters. */
export const longestName = 40;
/** So long the URL query of a view can be, characters. */
const longestQuery = 2_000;

/** The view of a name at a place. The order of labels and space around the text make no difference. */
export function ownView(name: string, { view, query, sort }: JobsPlace): OwnView {
  const labels = Object.fromEntries(Object.entries(query.labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  const place = { view, query: { ...query, labels, text: query.text.trim() }, sort };
  return { name, place, path: jobsPath(place) };
}

/** The page's path for a place, in the one form that views are compared in. */
export function placePath(place: JobsPlace): string {
  return ownView("", place).path;
}

/** Whether there is something to keep: a built-in view as it stands is there anyway. */
export function isWorthKeeping({ query, sort }: JobsPlace): boolean {
  return isNarrow(query) || sort !== undefined;
}

/** A name as it is kept: with single spaces. */
export function tidyName(name: string): string {
  return name.replaceAll(/\s+/g, " ").trim();
}

/** Whether two names are the same for people. */
export function isSameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** What is wrong with a tidy name or with a place, in words; undefined: nothing. */
export function viewFault({ name, path }: OwnView): string | undefined {
  if (name === "") return "A name is missing.";
  if (name.length > longestName) return `A name has ${longestName} characters at most.`;
  const builtIn = jobViews.find(({ label }) => isSameName(label, name));
  if (builtIn) return `‘${builtIn.label}’ is always there. Choose another name.`;
  return queryOf(path).length > longestQuery ? "The filter is too long to keep." : undefined;
}

/** Reads what a browser has kept. What is not a view that could have been saved is left out. */
export function readOwnViews(text: string | null): readonly OwnView[] {
  const views: OwnView[] = [];
  for (const each of entriesOf(text)) {
    const view = viewOf(each);
    if (view && views.length < mostViews && !views.some((other) => isRival(other, view))) views.push(view);
  }
  return views;
}

/** The form in which a browser keeps views. */
export function writeOwnViews(views: readonly OwnView[]): string {
  return JSON.stringify(views.map(({ name, path }) => ({ name, query: queryOf(path) })));
}

/** The views with one that is new, or in the place of the one with its name; or why not. */
export function withView(views: readonly OwnView[], view: OwnView): readonly OwnView[] | string {
  const fault = viewFault(view);
  if (fault !== undefined) return fault;
  const at = views.findIndex(({ name }) => isSameName(name, view.name));
  const same = views.find(({ path }, i) => path === view.path && i !== at);
  if (same) return `‘${same.name}’ is this view already.`;
  if (at >= 0) return views.with(at, view);
  return views.length < mostViews
    ? [...views, view]
    : `${mostViews} views are the most: remove one, or use the name of one.`;
}

/** The views after one has another name, which is taken from the view that had it; or why not. */
export function renamed(views: readonly OwnView[], from: string, to: string): readonly OwnView[] | string {
  const view = views.find(({ name }) => name === from);
  if (!view) return `There is no view ‘${from}’ any more.`;
  const next = { ...view, name: to };
  const fault = viewFault(next);
  if (fault !== undefined) return fault;
  return views.flatMap((each) => (each === view ? next : isSameName(each.name, to) ? [] : each));
}

/** The views after a change from `before` to `after` is taken back, whatever else has changed since; or why it cannot be. */
export function takenBack(
  now: readonly OwnView[],
  before: readonly OwnView[],
  after: readonly OwnView[],
): readonly OwnView[] | string {
  const came = after.filter((view) => !before.includes(view));
  let views = now.filter((view) => !came.some(({ name, path }) => view.name === name && view.path === path));
  for (const [at, view] of before.entries()) {
    if (after.includes(view)) continue;
    if (views.length >= mostViews || views.some((other) => isRival(other, view)))
      return `another view has the place of ‘${view.name}’ by now.`;
    views = views.toSpliced(at, 0, view);
  }
  return views;
}

/** Whether two views cannot both be there. */
function isRival(a: OwnView, b: OwnView): boolean {
  return a.path === b.path || isSameName(a.name, b.name);
}

function queryOf(path: string): string {
  return path.slice(path.indexOf("?") + 1);
}

function entriesOf(text: string | null): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(value) ? value : [];
  } catch {
    // Somebody else wrote it, or only half of it is there.
    return [];
  }
}

function viewOf(entry: unknown): OwnView | undefined {
  if (typeof entry !== "object" || entry === null || !("name" in entry) || !("query" in entry)) return undefined;
  const { name, query } = entry;
  if (typeof name !== "string" || typeof query !== "string" || name !== tidyName(name)) return undefined;
  if (query.length > longestQuery) return undefined;
  const route = parseRoute(new URL(`http://page/?${query}`));
  if (route.page !== "jobs" || !isWorthKeeping(route)) return undefined;
  const view = ownView(name, route);
  return viewFault(view) === undefined ? view : undefined;
}

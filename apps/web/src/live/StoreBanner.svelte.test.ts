import { StoreState } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { jobRecord } from "../jobs/samples.ts";
import { axeFaults, openApp, until, words } from "../test-app.ts";
import { TestRoom } from "../test-room.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
const banner = () => document.querySelector(".banner");
const lamp = () => words(document.querySelector("header .link"));
const full = {
  state: StoreState.FULL,
  detail: "No space is left on /srv/signalbox: lines are not taken. Free space; then it goes on by itself.",
  sinceUs: BigInt((Date.now() - 192_500) * 1000),
  freeBytes: 1_200_000n,
};

beforeEach(() => {
  room = new TestRoom();
});
afterEach(() => history.replaceState(null, "", started));

for (const path of ["/", "/workers", "/jobs/alpha"])
  test(`${path} says that the disk is full, since when, what still works and how much is free`, async () => {
    room.setJob(jobRecord({ id: "alpha" }));
    await openApp(room, path);
    await until(() => lamp() === "Live");
    expect(banner()).toBeNull();
    room.setStore(full);
    await until(() => banner());
    expect(banner()?.getAttribute("role")).toBe("alert");
    expect(words(banner())).toMatch(
      /^No line is stored\. No space is left on \/srv\/signalbox: lines are not taken\. Free space; then it goes on by itself\. What is stored can be read\. Since (\d+ \w+ )?\d\d:\d\d:\d\d, for 3 m \d\d s\. 1\.2 MB free now\.$/,
    );
    expect(lamp()).toBe("Live");
    expect(await axeFaults()).toEqual([]);
  });

test("the word goes by itself when there is space again", async () => {
  room.setStore(full);
  await openApp(room, "/");
  await until(() => banner());
  room.setStore({ state: StoreState.LOW, detail: "Disk space is low.", freeBytes: 900_000_000n });
  await until(() => words(banner()) === "Disk space is low. 900 MB free now.");
  expect(banner()?.getAttribute("role")).toBe("status");
  room.setStore({ state: StoreState.OK, freeBytes: 90_000_000_000n });
  await until(() => !banner());
});

test("while the page is not live nobody claims to know how the disk is; it says how it was", async () => {
  room.setStore(full);
  await openApp(room, "/");
  await until(() => banner());
  room.cut();
  await until(() => words(banner()).includes("No word from the server"));
  expect(document.querySelectorAll(".banner")).toHaveLength(1);
  expect(words(banner())).toContain("Its disk was full then.");
  expect(lamp()).toBe("Not live");
});

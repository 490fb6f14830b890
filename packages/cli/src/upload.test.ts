import { expect, test } from "vitest";
import { sendCommand } from "./upload.ts";

test("the command that goes on sending a file can be pasted, whatever the file is called", () => {
  expect(sendCommand("j-1", "/srv/access.log")).toBe("signalbox send j-1 --input /srv/access.log");
  expect(sendCommand("j-1", "/srv/Ana's own log")).toBe(String.raw`signalbox send j-1 --input '/srv/Ana'\''s own log'`);
});

import { homedir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ConfigError, isLoopback, readArguments, readConfig } from "./config.ts";

test("without any setting everything is on loopback and in the home folder", () => {
  expect(readConfig({})).toMatchObject({
    dataFolder: join(homedir(), ".signalbox"),
    operator: { host: "loopback", port: 8080 },
    worker: { host: "loopback", port: 9090 },
    allowedHosts: [],
    builtInWorker: true,
    builtInCommands: false,
    firstJob: true,
    logLevel: "info",
    openBrowser: true,
  });
  expect(readConfig({ SIGNALBOX_PORT: "", SIGNALBOX_DATA: "" })).toEqual(readConfig({}));
});

test("every setting is taken over", () => {
  expect(
    readConfig({
      SIGNALBOX_DATA: "~/box",
      SIGNALBOX_HOST: "127.0.0.2",
      SIGNALBOX_PORT: "0",
      SIGNALBOX_WORKER_HOST: "::1",
      SIGNALBOX_WORKER_PORT: "0",
      SIGNALBOX_ALLOWED_HOSTS: "Box.example, other.example",
      SIGNALBOX_BUILT_IN_WORKER: "off",
      SIGNALBOX_BUILT_IN_COMMANDS: "on",
      SIGNALBOX_FIRST_JOB: "off",
      SIGNALBOX_LOG_LEVEL: "debug",
      SIGNALBOX_OPEN: "off",
    }),
  ).toMatchObject({
    dataFolder: join(homedir(), "box"),
    operator: { host: "127.0.0.2", port: 0 },
    worker: { host: "::1", port: 0 },
    allowedHosts: ["box.example", "other.example"],
    builtInWorker: false,
    builtInCommands: true,
    firstJob: false,
    logLevel: "debug",
    openBrowser: false,
  });
});

test.each([
  ["SIGNALBOX_PORT", "80a"],
  ["SIGNALBOX_PORT", "65536"],
  ["SIGNALBOX_PORT", "-1"],
  ["SIGNALBOX_WORKER_PORT", "1e3"],
  ["SIGNALBOX_HOST", "everywhere"],
  ["SIGNALBOX_BUILT_IN_WORKER", "true"],
  ["SIGNALBOX_BUILT_IN_COMMANDS", "yes"],
  ["SIGNALBOX_FIRST_JOB", "1"],
  ["SIGNALBOX_LOG_LEVEL", "loud"],
  ["SIGNALBOX_ALLOWED_HOSTS", "http://box.example"],
  ["SIGNALBOX_ALLOWED_HOSTS", "box.example:8080"],
])("%s=%s is refused with its name, its value and what it may be", (name, value) => {
  const refused = () => readConfig({ [name]: value });
  expect(refused).toThrow(ConfigError);
  expect(refused).toThrow(name);
  expect(refused).toThrow(JSON.stringify(value));
  expect(refused).toThrow(/must be/);
});

test("both listeners on one port are refused", () => {
  expect(() => readConfig({ SIGNALBOX_PORT: "9090" })).toThrow(/both 9090/);
});

test("an address that other machines reach needs a second word, because there is no TLS", () => {
  for (const name of ["SIGNALBOX_HOST", "SIGNALBOX_WORKER_HOST"]) {
    for (const host of ["0.0.0.0", "::", "192.168.1.7"]) {
      expect(() => readConfig({ [name]: host })).toThrow(/without TLS.*SIGNALBOX_UNENCRYPTED=on/);
      expect(() => readConfig({ [name]: host, SIGNALBOX_UNENCRYPTED: "on" })).not.toThrow();
    }
  }
});

test("loopback is told from everything else", () => {
  expect(["loopback", "127.0.0.1", "127.1.2.3", "::1"].filter(isLoopback)).toHaveLength(4);
  expect(["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example"].filter(isLoopback)).toEqual([]);
});

test("the command line wins over the environment", () => {
  const { env, help } = readArguments(["--data", "/tmp/box", "--port=0", "--worker-port", "0", "--no-open"]);
  expect(help).toBe(false);
  expect(readConfig({ SIGNALBOX_PORT: "1", ...env })).toMatchObject({
    dataFolder: "/tmp/box",
    operator: { port: 0 },
    worker: { port: 0 },
    openBrowser: false,
  });
  expect(readArguments(["--help"]).help).toBe(true);
  expect(() => readArguments(["--prot", "1"])).toThrow(ConfigError);
});

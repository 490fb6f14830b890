import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startWithOptions } from "./commands.ts";

/** Where one listener listens. */
export interface ListenAt {
  /** `loopback` is 127.0.0.1 and, where the machine has it, ::1, so that `localhost` works either way. Otherwise an IP address. */
  readonly host: string;
  /** 0 to 65535; 0 takes any free port. */
  readonly port: number;
}

export const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Everything that can be set from outside, checked. */
export interface Config {
  /** Absolute path. Holds the store, the token, keys and logs; only its owner may read it. */
  readonly dataFolder: string;
  /** Browsers, CLI: HTTP/1.1. */
  readonly operator: ListenAt;
  /** Workers and machine clients: gRPC on HTTP/2. */
  readonly worker: ListenAt;
  /** Host names, besides those of loopback and the address listened on, under which operators reach this server. Lower case. */
  readonly allowedHosts: readonly string[];
  /** Start the worker that comes with Signalbox. */
  readonly builtInWorker: boolean;
  /** It runs the commands that operators type, with the rights of this process. */
  readonly builtInCommands: boolean;
  /** Start a first job when the store is empty. */
  readonly firstJob: boolean;
  readonly logLevel: LogLevel;
  /** Open the link in a browser where there is a desktop. */
  readonly openBrowser: boolean;
  /** Absolute path of the built dashboard. */
  readonly webFolder: string;
}

/** A setting that cannot be used. The message names the setting, what it holds and what it may hold. */
export class ConfigError extends Error {
  override readonly name: string = "ConfigError";
}

/** A command line that cannot be understood. */
export class UsageError extends ConfigError {
  override readonly name = "UsageError";
}

/** Asked for `--help`: print this and stop. */
export const helpText = `Signalbox: live logs of long-running jobs, and the levers to steer them.

Usage: ${startWithOptions} [options]

  --data <folder>        where everything is kept           SIGNALBOX_DATA             ~/.signalbox
  --port <port>          for browsers                       SIGNALBOX_PORT             8080
  --worker-port <port>   for workers                        SIGNALBOX_WORKER_PORT      9090
  --no-open              do not open a browser              SIGNALBOX_OPEN=off         on
  --help

  Only by environment:
  SIGNALBOX_HOST, SIGNALBOX_WORKER_HOST    'loopback' or an IP address                 loopback
  SIGNALBOX_UNENCRYPTED=on                 needed for an address beyond loopback       off
  SIGNALBOX_ALLOWED_HOSTS                  more host names, separated by commas
  SIGNALBOX_BUILT_IN_WORKER                on or off                                   on
  SIGNALBOX_BUILT_IN_COMMANDS              on: it runs any command that operators type off
  SIGNALBOX_FIRST_JOB                      on or off                                   on
  SIGNALBOX_LOG_LEVEL                      ${logLevels.join(", ")}   info
`;

/** What the command line asks for. Throws UsageError for an unknown option, or no port. Command line wins over environment. */
export function readArguments(args: readonly string[]): { help: boolean; env: Record<string, string> } {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        data: { type: "string" },
        port: { type: "string" },
        "worker-port": { type: "string" },
        "no-open": { type: "boolean" },
        help: { type: "boolean" },
      },
    }));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${reason.replace(/\.?$/, ".")} Try --help.`, { cause: error });
  }
  for (const option of ["port", "worker-port"] as const) {
    const fault = portFault(values[option]);
    if (fault) throw new UsageError(`--${option} ${fault} Try --help.`);
  }
  const env: Record<string, string> = {};
  if (values.data !== undefined) env.SIGNALBOX_DATA = values.data;
  if (values.port !== undefined) env.SIGNALBOX_PORT = values.port;
  if (values["worker-port"] !== undefined) env.SIGNALBOX_WORKER_PORT = values["worker-port"];
  if (values["no-open"]) env.SIGNALBOX_OPEN = "off";
  return { help: values.help ?? false, env };
}

/** Reads the environment. Unset and empty are the same. Throws ConfigError. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const unencrypted = readSwitch(env, "SIGNALBOX_UNENCRYPTED", false);
  const operator = { host: readHost(env, "SIGNALBOX_HOST", unencrypted), port: readPort(env, "SIGNALBOX_PORT", 8080) };
  const worker = {
    host: readHost(env, "SIGNALBOX_WORKER_HOST", unencrypted),
    port: readPort(env, "SIGNALBOX_WORKER_PORT", 9090),
  };
  if (operator.port !== 0 && operator.port === worker.port) {
    throw new ConfigError(
      `SIGNALBOX_PORT and SIGNALBOX_WORKER_PORT are both ${operator.port}: browsers and workers need a port each.`,
    );
  }
  return {
    dataFolder: readDataFolder(env),
    operator,
    worker,
    allowedHosts: readAllowedHosts(env),
    builtInWorker: readSwitch(env, "SIGNALBOX_BUILT_IN_WORKER", true),
    builtInCommands: readSwitch(env, "SIGNALBOX_BUILT_IN_COMMANDS", false),
    firstJob: readSwitch(env, "SIGNALBOX_FIRST_JOB", true),
    logLevel: readLogLevel(env),
    openBrowser: readSwitch(env, "SIGNALBOX_OPEN", true),
    webFolder: findDashboard(),
  };
}

/** The data folder alone, for programs that need nothing else. Absolute; `~/` is the home folder. */
export function readDataFolder(env: Readonly<Record<string, string | undefined>>): string {
  const value = env.SIGNALBOX_DATA || "~/.signalbox";
  return resolve(value === "~" || value.startsWith("~/") ? join(homedir(), value.slice(1)) : value);
}

/** Whether a listener at `host` can only be reached from this machine. */
export function isLoopback(host: string): boolean {
  return host === "loopback" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** The built dashboard: beside the built server in an installed package, else where the clone builds it. */
function findDashboard(): string {
  const packed = fileURLToPath(new URL("./web", import.meta.url));
  return existsSync(packed) ? packed : fileURLToPath(new URL("../../web/dist", import.meta.url));
}

type Env = Readonly<Record<string, string | undefined>>;

function readPort(env: Env, name: string, fallback: number): number {
  const value = env[name];
  const fault = portFault(value);
  if (fault) throw new ConfigError(`${name} ${fault}`);
  return value ? Number(value) : fallback;
}

/** Why a text is no port, if so. None is no fault. */
function portFault(value: string | undefined): string | undefined {
  return !value || (/^\d{1,5}$/.test(value) && Number(value) <= 65_535)
    ? undefined
    : `is ${quote(value)}: it must be a port, 1 to 65535, or 0 for any free one.`;
}

function readHost(env: Env, name: string, unencrypted: boolean): string {
  const value = env[name] || "loopback";
  if (value === "loopback" || value === "localhost") return "loopback";
  if (!/^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/.test(value)) {
    throw new ConfigError(`${name} is ${quote(value)}: it must be 'loopback' or an IP address, such as 0.0.0.0.`);
  }
  if (!isLoopback(value) && !unencrypted) {
    throw new ConfigError(
      `${name} is ${quote(value)}, which other machines can reach, and Signalbox speaks without TLS: put a proxy with TLS ` +
        `in front and leave ${name} unset, or set SIGNALBOX_UNENCRYPTED=on if the network between is yours alone.`,
    );
  }
  return value;
}

function readSwitch(env: Env, name: string, fallback: boolean): boolean {
  const value = env[name];
  if (!value) return fallback;
  if (value !== "on" && value !== "off") throw new ConfigError(`${name} is ${quote(value)}: it must be 'on' or 'off'.`);
  return value === "on";
}

function readLogLevel(env: Env): LogLevel {
  const value = env.SIGNALBOX_LOG_LEVEL || "info";
  const level = logLevels.find((known) => known === value);
  if (!level) {
    throw new ConfigError(`SIGNALBOX_LOG_LEVEL is ${quote(value)}: it must be one of ${logLevels.join(", ")}.`);
  }
  return level;
}

function readAllowedHosts(env: Env): string[] {
  const names = (env.SIGNALBOX_ALLOWED_HOSTS ?? "").split(",").map((name) => name.trim().toLowerCase());
  return names.filter(Boolean).map((name) => {
    if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) {
      throw new ConfigError(
        `SIGNALBOX_ALLOWED_HOSTS holds ${quote(name)}: it must be host names without scheme and port, separated by commas.`,
      );
    }
    return name;
  });
}

function quote(value: string): string {
  return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}…` : value);
}

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand, type Program } from "../scripts/programs.ts";

// The worker of e2e/python runs on Debian's own packages; its stubs are generated from the contract, as anybody would.

const packages = [
  "python3-grpcio",
  "python3-protobuf",
  "protobuf-compiler",
  "protobuf-compiler-grpc",
  "libprotobuf-dev",
];
const python = "/usr/bin/python3";
const root = fileURLToPath(new URL("..", import.meta.url));

/** Why the worker cannot run here, after trying to install what is missing; undefined if it can. */
export function whyNoPython(): string | undefined {
  if (isThere()) return undefined;
  if (process.getuid?.() === 0) {
    for (const args of [["update"], ["install", "-y", "--no-install-recommends", ...packages]])
      spawnSync("apt-get", args, { stdio: "ignore", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
    if (isThere()) return undefined;
  }
  return `needs Debian's packages ${packages.join(", ")}: install them with apt-get`;
}

function isThere(): boolean {
  const works = (program: string, ...args: string[]) => spawnSync(program, args, { stdio: "ignore" }).status === 0;
  return (
    works(python, "-c", "import grpc, google.protobuf") && works("sh", "-c", "command -v protoc grpc_python_plugin")
  );
}

/** Python modules generated from the contract, in a temporary folder. */
export class PythonStubs {
  readonly folder = mkdtempSync(join(tmpdir(), "signalbox-stubs-"));

  /** Throws with what protoc says. */
  constructor() {
    const proto = join(root, "proto");
    this.generate(
      proto,
      readdirSync(join(proto, "signalbox/v1")).map((name) => `signalbox/v1/${name}`),
    );
  }

  /** Adds modules of other definitions; `files` are given from the folder `proto`. */
  generate(proto: string, files: readonly string[]): void {
    const { status, stderr } = spawnSync(
      "sh",
      [
        "-c",
        'exec protoc --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" "$@"',
        "protoc",
        `--proto_path=${proto}`,
        `--python_out=${this.folder}`,
        `--grpc_python_out=${this.folder}`,
        ...files,
      ],
      { encoding: "utf8" },
    );
    if (status !== 0) throw new Error(`protoc failed: ${stderr}`);
  }

  /** Starts a program of e2e/python. */
  run(program: string, env: Record<string, string>): Program {
    return runCommand(python, [join(root, "e2e/python", program)], {
      ...env,
      PYTHONPATH: this.folder,
      PYTHONDONTWRITEBYTECODE: "1",
    });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

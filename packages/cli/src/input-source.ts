import { open, type FileHandle } from "node:fs/promises";
import { CliError, exitCodes, usageError } from "./exit-codes.ts";
import { pieceBytes } from "./input-sender.ts";

/** Where an input comes from. */
export interface InputSource {
  /** For people. */
  readonly name: string;
  /** How long it is, bytes; undefined if nobody knows. */
  readonly total: number | undefined;
  /** It can be read again from its first byte. */
  readonly isRepeatable: boolean;
  /** The next piece from an offset on, at most 64 KiB; empty at the end. Throws CliError. */
  read(offset: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Opens a file, or with `-` standard input. What is no file (a pipe, a device) can be read once. Throws CliError. */
export async function openInput(path: string): Promise<InputSource> {
  if (path === "-") return new StreamSource("standard input", process.stdin, async () => void process.stdin.destroy());
  const fault = (error: unknown) => usageError(`The input ${path} cannot be read: ${(error as Error).message}`, "");
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (error) {
    throw fault(error);
  }
  const stats = await file.stat();
  if (stats.isFile()) return new FileSource(path, file, stats.size);
  if (!stats.isDirectory())
    return new StreamSource(path, file.createReadStream({ autoClose: false }), () => file.close());
  await file.close();
  throw fault(new Error("it is a folder"));
}

class FileSource implements InputSource {
  readonly isRepeatable = true;
  readonly name: string;
  readonly total: number;
  readonly #file: FileHandle;

  constructor(name: string, file: FileHandle, total: number) {
    this.name = name;
    this.#file = file;
    this.total = total;
  }

  async read(offset: number): Promise<Uint8Array> {
    const buffer = Buffer.allocUnsafe(pieceBytes);
    try {
      const { bytesRead } = await this.#file.read(buffer, 0, pieceBytes, offset);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw new CliError(exitCodes.failed, `The rest was not sent: ${this.name}: ${(error as Error).message}`);
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** What comes once: the piece that was given out last can be had again, for its answer may be lost. */
class StreamSource implements InputSource {
  readonly isRepeatable = false;
  readonly total = undefined;
  readonly name: string;
  readonly close: () => Promise<void>;
  readonly #parts: AsyncIterator<Uint8Array>;
  /** Where `#rest` begins. */
  #at = 0;
  #rest: Uint8Array = new Uint8Array();

  constructor(name: string, stream: AsyncIterable<unknown>, close: () => Promise<void>) {
    this.name = name;
    this.#parts = (stream as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    this.close = close;
  }

  async read(offset: number): Promise<Uint8Array> {
    if (offset < this.#at)
      throw new CliError(
        exitCodes.failed,
        `The rest was not sent: the server wants bytes again that were read from ${this.name}, which cannot be read again.`,
      );
    this.#rest = this.#rest.subarray(offset - this.#at);
    this.#at = offset;
    while (this.#rest.length === 0) {
      const next = await this.#parts.next();
      if (next.done) break;
      this.#rest = next.value;
    }
    return this.#rest.subarray(0, pieceBytes);
  }
}

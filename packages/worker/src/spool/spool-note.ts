/** What a spool says of an attempt, so that others can deliver it. */
export interface SpoolNote {
  readonly workerId: string;
  readonly incarnation: string;
  /** The worker's name meant that process only. */
  readonly transient: boolean;
  /** Addresses of the server, as the worker was given them. */
  readonly urls: readonly string[];
  readonly type: string;
  readonly name: string;
  /** When the attempt began, milliseconds since the Unix epoch. */
  readonly begunAtMs: number;
  /** The job; empty while the server has not said so. */
  readonly jobId: string;
  /** From 1; 0 while the server has not said so. */
  readonly attempt: number;
  /** Which store knows the job. */
  readonly storeId: string;
  /** Of a job that began at the worker and that the server does not know yet: how it is asked for, an encoded `StartJobRequest` in base64. */
  readonly request: string;
  /** How the attempt ended, an encoded `AttemptEnd` in base64; empty while it runs. */
  readonly end: string;
}

/** Encodes a note. */
export function encodeNote(note: SpoolNote): Uint8Array {
  return Buffer.from(JSON.stringify(note));
}

/** Decodes a note; undefined: it is none. */
export function decodeNote(bytes: Uint8Array): SpoolNote | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = new Map(Object.entries(value));
  const text = (name: string) => {
    const field: unknown = fields.get(name);
    return typeof field === "string" ? field : "";
  };
  const number = (name: string) => {
    const field: unknown = fields.get(name);
    return typeof field === "number" && Number.isSafeInteger(field) ? field : 0;
  };
  const urls: unknown = fields.get("urls");
  return {
    workerId: text("workerId"),
    incarnation: text("incarnation"),
    transient: fields.get("transient") === true,
    urls: Array.isArray(urls) ? urls.filter((url) => typeof url === "string") : [],
    type: text("type"),
    name: text("name"),
    begunAtMs: number("begunAtMs"),
    jobId: text("jobId"),
    attempt: number("attempt"),
    storeId: text("storeId"),
    request: text("request"),
    end: text("end"),
  };
}

import { ConnectError, type Client } from "@connectrpc/connect";
import type { AuditService, AuditVerdict, VerifyAuditResponse } from "@signalbox/protocol";

/** How far a check of all chains has come: not begun, under way, ended with a verdict, or failed. */
export type VerificationState =
  | { readonly kind: "idle" }
  | { readonly kind: "running"; readonly step: VerifyAuditResponse | undefined }
  | { readonly kind: "done"; readonly verdict: AuditVerdict; readonly entries: bigint }
  | { readonly kind: "failed"; readonly reason: string };

/** A check of all chains. */
export class Verification {
  #state = $state.raw<VerificationState>({ kind: "idle" });
  readonly #client: Client<typeof AuditService>;
  #run: AbortController | undefined;

  constructor(client: Client<typeof AuditService>) {
    this.#client = client;
  }

  get state(): VerificationState {
    return this.#state;
  }

  /** Begins a check, if none is under way. */
  async start(): Promise<void> {
    if (this.#state.kind === "running") return;
    const run = (this.#run = new AbortController());
    this.#state = { kind: "running", step: undefined };
    try {
      for await (const step of this.#client.verifyAudit({}, { signal: run.signal })) {
        if (run.signal.aborted) return;
        this.#state = step.verdict
          ? { kind: "done", verdict: step.verdict, entries: step.entriesDone }
          : { kind: "running", step };
      }
      if (this.#state.kind === "running")
        this.#state = { kind: "failed", reason: "The server ended the check without a verdict." };
    } catch (error) {
      if (!run.signal.aborted) this.#state = { kind: "failed", reason: ConnectError.from(error).rawMessage };
    }
  }

  /** Ends a check that is under way, and forgets the verdict. */
  clear(): void {
    this.#run?.abort();
    this.#state = { kind: "idle" };
  }
}

import type { JobRecord, JobType } from "@signalbox/protocol";
import type { BulkRoom } from "./bulk-room.svelte.ts";
import { bulkHoldMs, bulkVerbs, countVerb, plainCommand, type BulkVerb } from "./bulk-verbs.ts";
import { verbCommand, type CopyVerb } from "./copy-command.ts";
import type { Selection } from "./selection.svelte.ts";

/** How long the bar says that something was copied, milliseconds. */
const copiedMs = 2_000;

/** Where the desk finds what it acts on. */
export interface DeskOf {
  readonly selection: Selection;
  readonly bulks: BulkRoom;
  job(id: string): JobRecord | undefined;
  readonly typeOf: (job: JobRecord) => JobType | undefined;
  isLive(): boolean;
}

/**
 * What is done with a selection. A verb whose counts the bar has already shown is given at once, others are shown first; a command to many
 * is held for a while then, for everybody to undo. A verb that would touch no job does nothing.
 */
export class BulkDesk {
  readonly #of: DeskOf;
  /** What is shown before it is done, and for which jobs. */
  asking = $state.raw<{ readonly verb: BulkVerb; readonly jobIds: readonly string[] }>();
  /** Why the newest verb was not accepted. */
  fault = $state("");
  copied = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly jobs: readonly JobRecord[] = $derived.by(() => this.#jobs());

  constructor(of: DeskOf) {
    this.#of = of;
  }

  /** Does a verb, or asks first. */
  do(verb: BulkVerb): void {
    const { jobs } = this;
    const { touched } = countVerb(verb, jobs, this.#of.typeOf);
    if (!this.#of.isLive() || touched === 0) return;
    this.fault = "";
    const jobIds = jobs.map(({ id }) => id);
    if (verb === "pause" || verb === "resume") void this.#send(verb, jobIds, touched);
    else this.asking = { verb, jobIds };
  }

  /** Copies the command line of a verb. */
  copy(verb: CopyVerb): void {
    this.copyText(verbCommand(verb, [...this.#of.selection.ids]));
  }

  copyText(text: string): void {
    void navigator.clipboard.writeText(text).then(() => {
      this.copied = true;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => (this.copied = false), copiedMs);
    });
  }

  async #send(verb: "pause" | "resume", jobIds: readonly string[], meant: number): Promise<void> {
    try {
      // One is not many: its lever is the way back.
      await this.#of.bulks.start(jobIds, plainCommand(verb), jobIds.length > 1 ? bulkHoldMs : 0, meant);
    } catch (error) {
      this.fault = `${bulkVerbs[verb].notDone}. ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  #jobs(): readonly JobRecord[] {
    return [...this.#of.selection.ids].flatMap((id) => this.#of.job(id) ?? []);
  }
}

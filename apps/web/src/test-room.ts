import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import {
  AuditRowSchema,
  AuditService,
  type AuditRow,
  type ListAuditRequest,
  type VerifyAuditResponseSchema,
  type GetHistogramResponseSchema,
  JobEntrySchema,
  JobRecordSchema,
  JobService,
  LiveService,
  LogService,
  OfferedJobTypeSchema,
  StoreHealthSchema,
  VitalsSchema,
  WatchResponseSchema,
  type BulkRecord,
  type JobEntry,
  type JobRecord,
  type LogEntry,
  type OfferedJobType,
  type PreviewBulkRequest,
  type PreviewBulkResponseSchema,
  type SendCommandRequest,
  type SendInputRequest,
  type StartBulkRequest,
  type StartJobRequest,
  type JobTrendSchema,
  type Subscription,
  type Vitals,
  type DrainWorkerRequest,
  type UndrainWorkerRequest,
  type WorkerRecord,
  type StoreHealth,
  type WorkerVitals,
  WorkerRecordSchema,
  WorkerVitalsSchema,
  BulkRecordSchema,
  BulkService,
} from "@signalbox/protocol";

type Step = MessageInitShape<typeof WatchResponseSchema>;

/**
 * A small server for tests of components: jobs, their entries and one log, behind the real services and in memory. What it is told is
 * sent to every open stream. `cut` breaks all streams and refuses new ones until `mend`.
 */
export class TestRoom {
  readonly transport: Transport;
  readonly commands: SendCommandRequest[] = [];
  readonly started: StartJobRequest[] = [];
  readonly drains: (DrainWorkerRequest | UndrainWorkerRequest)[] = [];
  /** Answers DrainWorker and UndrainWorker; the default stores nothing and answers with the record as it is. May throw a ConnectError. */
  onDrain: (request: DrainWorkerRequest | UndrainWorkerRequest) => Promise<void> | void = () => {};
  /** What was sent into jobs, as text; `eof` where the input was ended. */
  readonly inputs: { readonly text: string; readonly eof: boolean }[] = [];
  /** Is asked before input is stored. May throw a ConnectError. */
  onInput: (request: SendInputRequest) => void = () => {};
  /** Answers SendCommand; the default stores nothing and answers with the record as it is. May throw a ConnectError. */
  onCommand: (request: SendCommandRequest) => void = () => {};
  readonly bulksStarted: StartBulkRequest[] = [];
  /** What was asked of commands to many: `undo b-1`. */
  readonly bulkCalls: string[] = [];
  /** Answers PreviewBulk. May throw a ConnectError. */
  onPreview: (request: PreviewBulkRequest) => MessageInitShape<typeof PreviewBulkResponseSchema> = () => ({});
  /** Answers StartBulk with the record that it makes. May throw a ConnectError. */
  onBulk: (request: StartBulkRequest) => MessageInitShape<typeof BulkRecordSchema> = () => ({ id: "b-1" });
  /** Resolves before ReadLogs answers; tests replace it to hold answers back. */
  readGate: Promise<void> = Promise.resolve();
  /** What GetHistogram answers; `histogramCalls` counts how often it was asked. */
  histogram: Exclude<MessageInitShape<typeof GetHistogramResponseSchema>, { $typeName: string }> = {
    bucketUs: 1_000_000n,
  };
  histogramCalls = 0;
  readonly #jobs = new Map<string, JobRecord>();
  readonly #vitals = new Map<string, Vitals>();
  readonly #entries = new Map<string, JobEntry[]>();
  readonly #bulks = new Map<string, BulkRecord>();
  readonly #workers = new Map<string, WorkerRecord>();
  readonly #workerVitals = new Map<string, WorkerVitals>();
  #store: StoreHealth | undefined;
  readonly #log: LogEntry[] = [];
  #end = 1;
  readonly #late: LogEntry[] = [];
  #types: OfferedJobType[] = [];
  readonly #streams = new Set<{ ids: Map<string, string>; queue: Step[]; wake: () => void; broken: boolean }>();
  #cut = false;

  constructor() {
    this.transport = createRouterTransport(({ service }) => {
      service(LiveService, { watch: (request, context) => this.#watch(request.subscriptions, context.signal) });
      service(LogService, {
        getHistogram: () => {
          this.histogramCalls++;
          return { attempt: 1, endLine: BigInt(this.#end), ...this.histogram };
        },
        readLogs: async (request) => {
          await this.readGate;
          const from = Math.max(1, Number(request.fromLine));
          const to = request.lineCount > 0n ? from + Number(request.lineCount) : Infinity;
          const entries = request.late ? this.#late : this.#entriesBetween(from, to);
          const endLine = request.late ? this.#lateEnd : BigInt(this.#end);
          return { attempt: 1, entries, endLine, nextLine: entries.at(-1)?.nextLine ?? endLine };
        },
      });
      service(BulkService, {
        previewBulk: (request) => this.onPreview(request),
        startBulk: (request) => {
          this.bulksStarted.push(request);
          return { bulk: this.setBulk(this.onBulk(request)) };
        },
        releaseBulk: ({ bulkId }) => this.#askBulk("release", bulkId),
        undoBulk: ({ bulkId }) => this.#askBulk("undo", bulkId),
        stopBulk: ({ bulkId }) => this.#askBulk("stop", bulkId),
        getBulk: ({ bulkId }) => this.#askBulk("get", bulkId),
      });
      service(AuditService, {
        listAudit: (request) => this.#listAudit(request),
        verifyAudit: () => this.verification(),
      });
      service(JobService, {
        sendCommand: (request) => {
          this.commands.push(request);
          this.onCommand(request);
          return { job: this.#job(request.jobId), generation: 2n };
        },
        sendInput: (request) => this.#input(request),
        getJob: (request) => ({ job: this.#job(request.jobId) }),
        listJobTypes: () => ({ types: this.#types }),
        startJob: (request) => {
          this.started.push(request);
          return { job: this.setJob({ id: "started", name: request.name || request.type, type: request.type }) };
        },
        retryJob: (request) => ({ job: this.#job(request.jobId) }),
        drainWorker: (request) => this.#drain(request),
        undrainWorker: (request) => this.#drain(request),
        listJobs: () => ({ jobs: [...this.#jobs.values()] }),
      });
    });
  }

  /** Sets a job's record and tells it. */
  setJob(init: MessageInitShape<typeof JobRecordSchema>): JobRecord {
    const job = create(JobRecordSchema, init);
    this.#jobs.set(job.id, job);
    this.#send("jobs", { message: { case: "records", value: { records: [job] } } });
    const entry = create(JobEntrySchema, { atUs: BigInt(Date.now() * 1000), record: job });
    this.#entries.set(job.id, [...(this.#entries.get(job.id) ?? []), entry]);
    this.#send(`job/${job.id}`, { message: { case: "entries", value: { entries: [entry] } } });
    return job;
  }

  setVitals(init: MessageInitShape<typeof VitalsSchema>): void {
    const vitals = create(VitalsSchema, init);
    this.#vitals.set(vitals.jobId, vitals);
    for (const id of ["jobs", `job/${vitals.jobId}`])
      this.#send(id, { message: { case: "vitals", value: { vitals: [vitals] } } });
  }

  /** Says what a job has printed lately. */
  setTrend(trend: MessageInitShape<typeof JobTrendSchema>): void {
    this.#send("jobs", { message: { case: "trends", value: { trends: [trend] } } });
  }

  /** Sets the record of commands to many and tells it, without results. */
  setBulk(init: MessageInitShape<typeof BulkRecordSchema>): BulkRecord {
    const bulk = create(BulkRecordSchema, init);
    this.#bulks.set(bulk.id, bulk);
    this.#send("bulks", { message: { case: "bulks", value: { records: [{ ...bulk, results: [] }] } } });
    return bulk;
  }

  #askBulk(what: string, id: string): { bulk: BulkRecord } {
    this.bulkCalls.push(`${what} ${id}`);
    const bulk = this.#bulks.get(id);
    if (!bulk) throw new ConnectError("There are no such commands.", Code.NotFound);
    return { bulk };
  }

  /** What VerifyAudit answers. */
  verification: () => AsyncIterable<MessageInitShape<typeof VerifyAuditResponseSchema>> = async function* () {
    yield { verdict: { intact: true } };
  };
  /** What ListAudit was asked. */
  readonly auditRequests: ListAuditRequest[] = [];
  /** Is asked before ListAudit answers. May throw a ConnectError. */
  onListAudit: (request: ListAuditRequest) => void = () => {};
  /** When the audit view begins. */
  auditBeginsAtUs = 0n;
  #audit: AuditRow[] = [];

  /** Sets rows of the audit, the newest last, and tells them to whom they may concern: filters by kind and job only. */
  setAudit(...inits: MessageInitShape<typeof AuditRowSchema>[]): void {
    const rows = inits.map((init) => create(AuditRowSchema, init));
    const isNew = (old: AuditRow) => !rows.some((row) => row.topic === old.topic && row.position === old.position);
    this.#audit = [...this.#audit.filter(isNew), ...rows];
    for (const stream of this.#streams)
      for (const id of stream.ids.keys())
        if (id.startsWith("audit/")) this.#sendTo(stream, id, { message: { case: "audit", value: { rows } } });
  }

  #listAudit(request: ListAuditRequest) {
    this.auditRequests.push(request);
    this.onListAudit(request);
    const { filter, pageToken, pageSize } = request;
    const fits = this.#audit
      .filter(({ kind, jobId, words, refused }) => {
        if (filter?.kinds.length && !filter.kinds.includes(kind)) return false;
        if (filter?.refused !== undefined && filter.refused !== refused) return false;
        return (!filter?.jobId || filter.jobId === jobId) && (!filter?.text || words.includes(filter.text));
      })
      .reverse();
    const from = Number(pageToken || 0);
    const rows = fits.slice(from, from + pageSize);
    const nextPageToken = from + pageSize < fits.length ? String(from + pageSize) : "";
    return { rows, nextPageToken, beginsAtUs: this.auditBeginsAtUs };
  }

  /** Sets workers' records and tells them. */
  setWorkers(...inits: MessageInitShape<typeof WorkerRecordSchema>[]): void {
    const records = inits.map((init) => create(WorkerRecordSchema, init));
    for (const record of records) this.#workers.set(record.workerId, record);
    this.#tellOfWorkers({ case: "workers", value: { records } });
  }

  setWorkerVitals(...inits: MessageInitShape<typeof WorkerVitalsSchema>[]): void {
    const vitals = inits.map((init) => create(WorkerVitalsSchema, init));
    for (const each of vitals) this.#workerVitals.set(each.workerId, each);
    this.#tellOfWorkers({ case: "workerVitals", value: { vitals } });
  }

  forgetWorker(id: string): void {
    this.#workers.delete(id);
    this.#workerVitals.delete(id);
    this.#tellOfWorkers({ case: "workers", value: { gone: [id] } });
  }

  /** Says how the store is, at once, as a server does. */
  setStore(init: MessageInitShape<typeof StoreHealthSchema>): void {
    const store = (this.#store = create(StoreHealthSchema, init));
    for (const stream of this.#streams) {
      stream.queue.push({ message: { case: "heartbeat", value: { serverTimeUs: nowUs(), store } } });
      stream.wake();
    }
  }

  setTypes(...types: MessageInitShape<typeof OfferedJobTypeSchema>[]): void {
    this.#types = types.map((type) => create(OfferedJobTypeSchema, type));
  }

  /** Stores entries of the log and sends them. With `quiet` only the new end is told, as when the client lags. */
  append(entries: readonly LogEntry[], quiet = false): void {
    this.#log.push(...entries);
    this.#end = Number(entries.at(-1)?.nextLine ?? this.#end);
    for (const stream of this.#streams)
      for (const [id] of stream.ids)
        if (id.startsWith("log/")) this.#sendTo(stream, id, this.#logStep(quiet ? [] : entries));
  }

  /** Stores entries of the late log and sends them. */
  appendLate(entries: readonly LogEntry[]): void {
    this.#late.push(...entries);
    for (const stream of this.#streams)
      for (const [id] of stream.ids) if (id.startsWith("late-")) this.#sendTo(stream, id, this.#lateStep(entries));
  }

  get #lateEnd(): bigint {
    return this.#late.at(-1)?.nextLine ?? 1n;
  }

  #lateStep(entries: readonly LogEntry[]): Step {
    return { message: { case: "log", value: { attempt: 1, entries: [...entries], endLine: this.#lateEnd } } };
  }

  /** Lets the log reach up to `end` (exclusive) with entries that `make` gives when they are read. */
  makeEndless(end: number, make: (from: number) => LogEntry): void {
    this.#make = make;
    this.#end = end;
  }

  #make: ((from: number) => LogEntry) | undefined;

  cut(): void {
    this.#cut = true;
    for (const stream of this.#streams) {
      stream.broken = true;
      stream.wake();
    }
  }

  mend(): void {
    this.#cut = false;
  }

  async *#watch(subscriptions: readonly Subscription[], signal: AbortSignal) {
    if (this.#cut) throw new ConnectError("no server", Code.Unavailable);
    const stream = {
      ids: new Map(subscriptions.map((each) => [each.id, each.id])),
      queue: [] as Step[],
      wake: () => {},
      broken: false,
    };
    this.#streams.add(stream);
    signal.addEventListener("abort", () => stream.wake(), { once: true });
    const store = this.#store;
    stream.queue.push({
      message: { case: "hello", value: { storeId: "s", serverTimeUs: nowUs(), ...(store && { store }) } },
    });
    // The audit has no cursor: each stream begins it anew.
    for (const { id, kind, cursor } of subscriptions)
      if (cursor.length === 0 || kind.case === "audit") this.#begin(stream, id, kind);
      else this.#tellVitals(stream, id, kind);
    try {
      while (!signal.aborted) {
        if (stream.broken) throw new ConnectError("cut", Code.Unavailable);
        const step = stream.queue.shift();
        if (step) yield create(WatchResponseSchema, step);
        else await new Promise<void>((resolve) => (stream.wake = resolve));
      }
    } finally {
      this.#streams.delete(stream);
    }
  }

  #begin(stream: { queue: Step[] }, id: string, kind: Subscription["kind"]): void {
    const push = (message: Step["message"]) =>
      stream.queue.push({ subscriptionId: id, cursor: new Uint8Array([1]), message: message! });
    if (kind.case === "jobs") {
      push({ case: "jobTypes", value: { types: this.#types } });
      push({ case: "records", value: { records: [...this.#jobs.values()] } });
      this.#tellVitals(stream, id, kind);
    } else if (kind.case === "bulks") {
      push({ case: "bulks", value: { records: [...this.#bulks.values()] } });
    } else if (kind.case === "workers") {
      push({ case: "workers", value: { records: [...this.#workers.values()] } });
      push({ case: "workerVitals", value: { vitals: [...this.#workerVitals.values()] } });
    } else if (kind.case === "job") {
      if (!this.#jobs.has(kind.value.jobId)) {
        push({ case: "error", value: { code: Code.NotFound, message: "There is no such job." } });
        return;
      }
      push({ case: "entries", value: { entries: this.#entries.get(kind.value.jobId) ?? [] } });
      this.#tellVitals(stream, id, kind);
    } else if (kind.case === "log") {
      if (kind.value.late) {
        stream.queue.push({ subscriptionId: id, cursor: new Uint8Array([1]), ...this.#lateStep(this.#late) });
        push({ case: "caughtUp", value: {} });
        return;
      }
      const last = kind.value.start.case === "last" ? kind.value.start.value : this.#end;
      stream.queue.push({
        subscriptionId: id,
        cursor: new Uint8Array([1]),
        ...this.#logStep(this.#entriesBetween(Math.max(1, this.#end - last), this.#end)),
      });
    }
    push({ case: "caughtUp", value: {} });
  }

  /** Vitals have no cursor: each stream begins with those that there are. */
  #tellVitals(stream: { queue: Step[] }, id: string, kind: Subscription["kind"]): void {
    if (kind.case !== "jobs" && kind.case !== "job") return;
    const vitals = [...this.#vitals.values()].filter(({ jobId }) => kind.case === "jobs" || jobId === kind.value.jobId);
    if (vitals.length === 0) return;
    const message: Step["message"] = { case: "vitals", value: { vitals } };
    stream.queue.push({ subscriptionId: id, cursor: new Uint8Array([1]), message });
  }

  #entriesBetween(from: number, to: number): LogEntry[] {
    if (this.#make) {
      const entries: LogEntry[] = [];
      for (let at = from - ((from - 1) % 100); at < Math.min(to, this.#end); at += 100) entries.push(this.#make(at));
      return entries;
    }
    return this.#log.filter(
      (entry, index) => Number(entry.nextLine) > from && Number(this.#log[index - 1]?.nextLine ?? 1n) < to,
    );
  }

  #logStep(entries: readonly LogEntry[]): Step {
    const counts = [0n, 0n, 0n, 0n, 0n, 0n, 0n];
    for (const { entry } of this.#log)
      if (entry.case === "chunk")
        for (const [level, count] of (entry.value.header?.levelCounts ?? []).entries())
          counts[level] = (counts[level] ?? 0n) + BigInt(count);
    return {
      message: {
        case: "log",
        value: { attempt: 1, entries: [...entries], endLine: BigInt(this.#end), levelCounts: this.#make ? [] : counts },
      },
    };
  }

  #tellOfWorkers(message: NonNullable<Step["message"]>): void {
    for (const id of ["workers", "pinned-workers"]) this.#send(id, { message });
  }

  #send(id: string, step: Step): void {
    for (const stream of this.#streams) if (stream.ids.has(id)) this.#sendTo(stream, id, step);
  }

  #sendTo(stream: { queue: Step[]; wake: () => void }, id: string, step: Step): void {
    stream.queue.push({ subscriptionId: id, cursor: new Uint8Array([1]), ...step });
    stream.wake();
  }

  async #drain(request: DrainWorkerRequest | UndrainWorkerRequest): Promise<{ worker: WorkerRecord }> {
    this.drains.push(request);
    await this.onDrain(request);
    const worker = this.#workers.get(request.workerId);
    if (!worker) throw new ConnectError("There is no such worker.", Code.NotFound);
    return { worker };
  }

  #inputEnd = 0n;

  #input(request: SendInputRequest): { attempt: number; nextOffset: bigint } {
    const text = new TextDecoder().decode(request.data);
    if (text !== "" || request.eof) {
      this.onInput(request);
      this.inputs.push({ text, eof: request.eof });
      this.#inputEnd += BigInt(request.data.length);
    }
    return { attempt: 1, nextOffset: this.#inputEnd };
  }

  #job(id: string): JobRecord {
    const job = this.#jobs.get(id);
    if (!job) throw new ConnectError("There is no such job.", Code.NotFound);
    return job;
  }
}

function nowUs(): bigint {
  return BigInt(Date.now() * 1000);
}

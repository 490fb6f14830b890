import { Classifier } from "./classify.ts";
import type { Follower } from "./follower.ts";
import type { PrintedJob, Room } from "./room.ts";
import type { ShownPage } from "./shown-page.ts";
import { download, readStored, type Stored } from "./stored.ts";
import { until } from "./until.ts";
import { addUp, type Finding, type Verdict } from "./verdict.ts";

/** A follower and the job that it follows. */
export interface Following {
  readonly job: PrintedJob;
  readonly follower: Follower;
}

/** A job with what is stored of it. */
interface Read {
  readonly job: PrintedJob;
  readonly stored: Stored;
}

/**
 * Compares what the oracle was told with what is stored and what was shown, when all jobs have ended. Of a job whose worker was killed
 * what was acknowledged or spooled is promised, of all others every line. Whoever follows must have been shown what is stored, and nothing else.
 */
export async function judge(
  room: Room,
  followings: readonly Following[],
  page?: { job: PrintedJob; shown: ShownPage },
): Promise<readonly Verdict[]> {
  const reads: Read[] = [];
  for (const job of room.jobs.filter(({ spooledNext }) => spooledNext > 0)) await spoolArrives(room, job);
  for (const job of room.jobs) reads.push({ job, stored: await readStored(room.clients.logs, job.id, job.content) });
  const readOf = (job: PrintedJob) => {
    const read = reads.find((each) => each.job === job);
    if (!read) throw new Error(`job ${job.id} was not read`);
    return read;
  };
  const verdicts = [await judgeStore(room, reads), await judgeDownloads(room, reads)];
  const followed = [];
  for (const { job, follower } of followings) followed.push(await judgeFollower(follower, readOf(job)));
  if (followed.length > 0) verdicts.push(addUp("readers that follow", followed));
  if (page) verdicts.push(addUp("the page", [await judgePage(page.shown, readOf(page.job))]));
  return verdicts;
}

async function judgeStore(room: Room, reads: readonly Read[]): Promise<Verdict> {
  const told = await room.told();
  return addUp(
    "the store",
    reads.map(({ job, stored }) => {
      const words = told.get(job.id);
      if (!words || words.acknowledgements === 0) throw new Error(`no acknowledgement for job ${job.id} was heard`);
      const printed = words.printed - 1;
      const promised = job.wasKilled ? Math.max(words.acknowledged, words.late, job.spooledNext) - 1 : printed;
      const { takenBack } = words;
      const more = takenBack > 0 ? [`${takenBack} acknowledgements were taken back`] : [];
      return { job: job.id, found: stored.classifier.finish({ printed, promised }), more };
    }),
  );
}

async function judgeDownloads(room: Room, reads: readonly Read[]): Promise<Verdict> {
  const findings: Finding[] = [];
  for (const { job, stored } of reads) {
    const sum = await download(room.origin, room.tokenFile, job.id);
    const isSame = sum.bytes === stored.bytes && sum.sha256 === stored.sha256;
    const classifier = new Classifier();
    classifier.see(1, stored.end, isSame);
    findings.push({ job: job.id, found: classifier.finish(asStored(stored)), more: [] });
  }
  return addUp("downloads", findings);
}

async function judgeFollower(follower: Follower, { job, stored }: Read): Promise<Finding> {
  // One that never gets there is judged by what it has.
  await until("a reader gets what is stored", async () => follower.next >= stored.end, 120_000).catch(() => undefined);
  await follower.close();
  const more = follower.refusal === undefined ? [] : [`the reader was turned away: ${follower.refusal}`];
  return { job: job.id, found: follower.classifier.finish(asStored(stored)), more };
}

async function judgePage(shown: ShownPage, { job, stored }: Read): Promise<Finding> {
  const last = stored.end - 1;
  await shown.reaches(last);
  const { rows, altered } = await shown.followed();
  const found = (await shown.scrolledThrough(last)).finish(asStored(stored));
  const more = [
    ...(rows === 0 ? ["it showed nothing while the job ran"] : []),
    ...(altered.length > 0 ? [`it showed other text than was printed in lines ${altered.slice(0, 9).join(", ")}`] : []),
  ];
  return { job: job.id, found, more };
}

/** Resolves when what a killed worker has left in its spool is stored, be it late. If it never is, the lines are judged as they are. */
async function spoolArrives({ clients }: Room, { id: jobId, spooledNext }: PrintedJob): Promise<void> {
  const endOf = async (late: boolean) =>
    (await clients.logs.readLogs({ jobId, attempt: 1, late, maxBytes: 1 })).endLine;
  const isThere = async () => Math.max(Number(await endOf(false)), Number(await endOf(true))) >= spooledNext;
  await until("what was spooled arrives", isThere, 120_000).catch(() => undefined);
}

/** What somebody must be shown who reads what is stored. */
function asStored({ end, classifier }: Stored) {
  return { printed: end - 1, promised: end - 1, excused: classifier.declared };
}

import { JobState } from "@signalbox/protocol";
import { jobFilter } from "@signalbox/protocol/job-filter";
import { expect, test } from "vitest";
import { cancel, pause, TestRoom } from "../testing/open-test-room.ts";

test("a list has the jobs that the filter of the page and of commands to many has, page by page", async () => {
  await using room = await TestRoom.open();
  const worker = await room.connect({ slots: 1, types: [{ name: "count", levers: ["run"] }, { name: "other" }] });
  const running = (await room.startRunning(worker)).jobId;
  const ended: string[] = [];
  for (const type of ["count", "other", "count"]) {
    const { id } = await room.start({}, type);
    await room.set(id, cancel);
    ended.push(id);
  }
  await room.set((await room.start({}, "other")).id, pause);
  const all = [...room.domain.domain.jobs.all()].map(({ record }) => record);
  const { QUEUED, RUNNING, CANCELED, LOST } = JobState;
  for (const states of [[], [RUNNING], [QUEUED, RUNNING], [CANCELED], [LOST]])
    for (const type of ["", "count", "other", "none"]) {
      const fits = jobFilter({ states, type, labels: {}, workerId: "", text: "" });
      const wanted = all.filter(fits).map(({ id }) => id);
      const listed: string[] = [];
      let pageToken = "";
      do {
        const page = await room.domain.jobs.listJobs({ states, type, pageSize: 2, pageToken });
        listed.push(...page.jobs.map(({ id }) => id));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect([states, type, listed.toSorted()]).toEqual([states, type, wanted.toSorted()]);
    }
  const { jobs } = await room.domain.jobs.listJobs({ states: [CANCELED], type: "count" });
  expect(jobs.map(({ id }) => id)).toEqual([ended[2], ended[0]]);
  expect((await room.domain.jobs.listJobs({ states: [RUNNING] })).jobs.map(({ id }) => id)).toEqual([running]);
});

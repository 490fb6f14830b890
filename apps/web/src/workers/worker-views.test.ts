import { WorkerLinkState } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { attemptOf, workerRecord, workerVitals } from "./samples.ts";
import { countWorkers, findsWorker, parseWorkerView } from "./worker-views.ts";

test("views count who is heard, who drains and who is not heard; who left is in none", () => {
  const records = [
    workerRecord({ workerId: "fine" }),
    workerRecord({ workerId: "drains", drain: {} }),
    workerRecord({ workerId: "drains-silent", drain: {} }),
    workerRecord({ workerId: "unknown" }),
    workerRecord({ workerId: "left", leftAtUs: 1n, drain: {} }),
  ];
  const silent = workerVitals(1, { link: { state: WorkerLinkState.SILENT, heardAtUs: 1n } });
  const vitalsOf = (id: string) => ({ fine: workerVitals(1), drains: workerVitals(1), "drains-silent": silent })[id];
  expect(countWorkers(records, vitalsOf)).toEqual({ all: 4, connected: 1, draining: 2, unheard: 2 });
});

test("a worker is found by its name, labels, metadata, types, version and jobs, all words together", () => {
  const worker = workerRecord({ labels: { pool: "gpu" }, metadata: { node: "n-17" } });
  const vitals = workerVitals(1, { attempts: [attemptOf("Nightly Import")] });
  for (const query of ["", "  ", "BOX", "pool=gpu", "n-17 gpu", "nightly", "index", "node/0.1"])
    expect(findsWorker(worker, vitals, query), query).toBe(true);
  for (const query of ["cpu", "box cpu"]) expect(findsWorker(worker, vitals, query), query).toBe(false);
});

test("a URL that names no view shows all workers", () => {
  expect([null, "nonsense", "draining"].map(parseWorkerView)).toEqual(["all", "all", "draining"]);
});

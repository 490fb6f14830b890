import type { StartHereOptions } from "../worker.ts";
import type { Redactor } from "./redactor.ts";

/**
 * What people see of a job that the worker begins itself, masked. Parameters are the job's own, and come back from the server as they
 * went: they stay.
 */
export function maskedStart(options: StartHereOptions, redactor: Redactor): StartHereOptions {
  const { name, labels = {} } = options;
  return {
    ...options,
    ...(name === undefined ? {} : { name: redactor.text(name) }),
    labels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, redactor.text(value)])),
  };
}

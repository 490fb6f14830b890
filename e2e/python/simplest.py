"""The simplest client: starts a job, follows it to its end (StartJobAndWatch), and cancels it when it has seen enough (CancelJob)."""

import json
import os
import urllib.parse
import uuid

import grpc
from signalbox.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from worker import read_token


def main() -> None:
    target = urllib.parse.urlsplit(os.environ["SIGNALBOX_URL"]).netloc
    bearer = [("authorization", f"Bearer {read_token(os.environ['SIGNALBOX_TOKEN_FILE'])}")]
    states: list[str] = []
    lines = 0
    cancelled = False
    with grpc.insecure_channel(target) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        # The id makes it safe to ask again: the same id finds the same job.
        job = job_service_pb2.StartJobRequest(request_id=str(uuid.uuid4()), type="py-count")
        for event in jobs.StartJobAndWatch(
            job_service_pb2.StartJobAndWatchRequest(job=job, with_log=True), metadata=bearer
        ):
            kind = event.WhichOneof("event")
            if kind == "job":
                record = event.job
                states.append(job_pb2.JobState.Name(record.state))
            elif kind == "log":
                lines += sum(entry.chunk.body.line_count for entry in event.log.entries)
            if lines > 20 and not cancelled:
                cancelled = True
                jobs.CancelJob(
                    job_service_pb2.CancelJobRequest(job_id=record.id, reason="seen enough"), metadata=bearer
                )
    print(json.dumps({"id": record.id, "states": list(dict.fromkeys(states)), "lines": lines}))


if __name__ == "__main__":
    main()

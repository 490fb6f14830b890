"""Jobs that show what a worker can do."""

import base64
import itertools
import time

from signalbox.v1.chunk_pb2 import LEVEL_DEBUG, LEVEL_INFO, SOURCE_STDERR, SOURCE_STDOUT, SOURCE_TASK

from attempt import Attempt, JobType


def count(job: Attempt) -> None:
    """Counts for ever, or up to `to`; each number is a line, each tenth one is told at DEBUG too."""
    to = job.parameters.get("to")
    job.total = int(to) if to else None
    first = int(job.saved or b"0") + 1
    for number in job.items(range(first, int(to) + 1) if to else itertools.count(first)):
        if number % 10 == 0:
            job.log(f"ten more: {number}", LEVEL_DEBUG)
        job.log(f"{job.parameters.get('word', 'number')} {number}", LEVEL_INFO)
        job.checkpoint(str(number).encode())


def print_bytes(job: Attempt) -> None:
    """Prints given bytes, write by write."""
    sources = {"stdout": SOURCE_STDOUT, "stderr": SOURCE_STDERR, "task": SOURCE_TASK}
    for write in job.parameters["writes"]:
        data = base64.b64decode(write["bytes"]) * int(write.get("times", 1))
        job.write(data, sources[write.get("source", "stdout")])
        job.safe_point()
        time.sleep(write.get("then_wait_ms", 0) / 1000)


def echo(job: Attempt) -> None:
    """Prints what is sent to it until the input ends."""
    job.write(b"say something: ")
    while piece := job.read_input():
        job.write(piece)
    job.log("that was all")


def stubborn(job: Attempt) -> None:
    """Never looks whether it shall end."""
    job.log("cannot be stopped")
    while True:
        time.sleep(0.1)


JOB_TYPES = [
    JobType(
        "py-count",
        "Counts.",
        count,
        {
            "type": "object",
            "properties": {
                "to": {"type": "integer", "title": "Count to", "minimum": 1},
                "word": {"type": "string", "default": "number"},
            },
        },
        levers=("run", "speed", "log_level", "parameters"),
        items_per_second=100,
    ),
    JobType("py-bytes", "Prints bytes.", print_bytes, {"type": "object", "properties": {"writes": {"type": "array"}}}),
    JobType("py-echo", "Prints its input.", echo, takes_input=True),
    JobType("py-stubborn", "Never ends by itself.", stubborn),
]

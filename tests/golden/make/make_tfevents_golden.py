"""Prints the bytes (hex) that tests/unit/client/tfevents_test.cc expects, made by TensorBoard's own writer; with
a folder as argument, checks every event file below it with TensorBoard's own reader instead.

Made with tensorboard 2.21.0. Needs no TensorFlow.

    python make_tfevents_golden.py
    vernier metrics JOB --tensorboard DIR && python make_tfevents_golden.py DIR
"""
import io
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter


def golden():
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=1_700_000_000, file_version="brain.Event:2").SerializeToString(deterministic=True))
    event = Event(wall_time=1_700_000_000, step=3)
    event.summary.value.add(tag="loss/train", simple_value=1.5)
    event.summary.value.add(tag="loss/valid", simple_value=0.25)
    writer.write(event.SerializeToString(deterministic=True))
    return buffer.getvalue().hex()


def check(folder):
    paths = sorted(pathlib.Path(folder).rglob("*tfevents*"))
    assert paths, f"no event file below {folder}"
    for path in paths:
        accumulator = EventAccumulator(str(path), size_guidance={"scalars": 0})
        accumulator.Reload()
        tags = accumulator.Tags()["scalars"]
        assert tags, f"{path}: TensorBoard reads no scalar"
        print(path)
        for tag in tags:
            points = accumulator.Scalars(tag)
            steps = [point.step for point in points]
            assert steps == sorted(steps), f"{path}: {tag} goes back in steps"
            print(f"  {tag:24} {len(points):6} points, steps {steps[0]} to {steps[-1]}, last {points[-1].value:.6g}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        check(sys.argv[1])
    else:
        print(golden())

"""The part of ./quickstart after the build: starts the service and takes one job through it, as a user would.

Everything goes through the command line `vernier` (gRPC underneath); see `./quickstart --help`.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parent.parent
VERNIER = REPO / "build/release/bin/vernier"
CACHE = pathlib.Path(os.environ.get("VERNIER_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "vernier")
DATA_DIR = pathlib.Path(os.environ.get("VERNIER_DATA_DIR") or pathlib.Path(
    os.environ.get("XDG_DATA_HOME", pathlib.Path.home() / ".local/share")) / "vernier")


def say(text):
    print(f"\033[1m==>\033[0m {text}", flush=True)


def vernier(*arguments, parse=False):
    """Runs the command line; its messages go to the terminal, its output comes back (parsed when asked)."""
    command = [VERNIER, "--data-dir", DATA_DIR, *(["--output", "json"] if parse else []), *arguments]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.stdout.write(done.stdout)
        sys.exit(f"quickstart: `vernier {' '.join(map(str, arguments))}` ended with exit code {done.returncode}")
    return json.loads(done.stdout) if parse else done.stdout


def service_runs():
    return subprocess.run([str(VERNIER), "--data-dir", str(DATA_DIR), "agents"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def read_jsonl(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def train(rows, steps):
    """Submits the job (or finds the unfinished one of an interrupted run) and follows it; the ended job."""
    data = CACHE / "quickstart" / f"rows-{rows}"
    if not (data / "train.jsonl").exists() or not (data / "valid.jsonl").exists():
        say("making a dataset from this machine's package index")
        subprocess.run([sys.executable, str(REPO / "tools/make-synopsis-dataset"), "--rows", str(rows), "--out",
                        str(data)], check=True)
    models = vernier("models", "list", parse=True).get("models", [])
    if "smollm2" not in [model["name"] for model in models]:
        say("importing SmolLM2-135M-Instruct from its GGUF file")
        gguf = next((CACHE / "smollm2-0.1.2").rglob("*.gguf"))
        print(vernier("models", "import", gguf, "--name", "smollm2"), end="")
    settings = [f"data.source={data / 'train.jsonl'}", f"data.validation={data / 'valid.jsonl'}",
                f"stages.sft.train.max_steps={steps}", f"labels.rows=r{rows}", f"labels.steps=s{steps}"]
    listed = vernier("jobs", "--label", "made-by=quickstart", "--label", f"rows=r{rows}", "--label",
                     f"steps=s{steps}", parse=True).get("jobs", [])
    unfinished = [job["name"] for job in listed
                  if job["state"] not in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")]
    if unfinished:
        name = unfinished[0]
        say(f"going on with {name}, which an earlier run left")
        subprocess.run([str(VERNIER), "--data-dir", str(DATA_DIR), "resume", name], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # only matters when it was paused
    else:
        say(f"submitting examples/quickstart.yaml: LoRA on {rows} rows, {steps} steps")
        arguments = [part for setting in settings for part in ("--set", setting)]
        name = vernier("submit", REPO / "examples/quickstart.yaml", *arguments).strip()
    followed = subprocess.run([str(VERNIER), "--data-dir", str(DATA_DIR), "job", name, "--watch"],
                              stdout=subprocess.DEVNULL)
    job = vernier("job", name, parse=True)
    if followed.returncode != 0 or job["state"] != "JOB_STATE_SUCCEEDED":
        sys.exit(f"quickstart: {name} ended {job['state']}: {job.get('state_reason', '')}")
    return job, data


def report(job, data):
    """Prints what changed and returns the JSON object of the last line."""
    name = job["name"]
    results = {stage["id"]: stage["results"] for stage in job["stages"]}
    out = DATA_DIR / "quickstart" / name.removeprefix("jobs/")
    for stage, artifact, folder in (("sft", "adapter", "adapter"), ("before", "evaluation", "before"),
                                    ("after", "evaluation", "after")):
        vernier("adapters", "pull", name, "--stage", stage, "--name", artifact, "--out", out / folder)
    picture = out / "loss.svg"
    vernier("metrics", name, "--stage", "sft", "--svg", picture)
    say("loss curve")
    print(vernier("metrics", name, "--stage", "sft"))
    before = read_jsonl(out / "before" / "predictions.jsonl")
    after = read_jsonl(out / "after" / "predictions.jsonl")
    say("five held-out packages: the true synopsis, the answer before, the answer after")
    for old, new in list(zip(before, after))[:5]:
        # The package's description is the user's turn, after the instruction.
        description = old["prompt"].split("\n\n", 1)[-1].split("<|im_end|>")[0]
        print(f"\n  {' '.join(description.split())[:110]} ...")
        print(f"    true    {old['reference']}")
        print(f"    before  {' '.join(old['prediction'].split())[:150]}")
        print(f"    after   {' '.join(new['prediction'].split())[:150]}")
    sft, was, now = results["sft"], results["before"], results["after"]
    print()
    say("what changed, over "
        f"{len(before)} held-out rows\n"
        f"    validation loss  {was['loss']:.4f} -> {now['loss']:.4f}\n"
        f"    ROUGE-L          {was['rouge_l']:.4f} -> {now['rouge_l']:.4f}\n"
        f"    trained for      {sft['train_seconds']:.0f} s at {sft['tokens_per_second']:.0f} tokens/s")
    adapter = out / "adapter"
    print(f"""
  adapter       {adapter}  (PEFT's files)
  picture       {picture}
  use it        python: PeftModel.from_pretrained(base, "{adapter}")
                here:   vernier generate --adapter {name} "Write a one-line synopsis of this Debian package. ..."
  next          vernier up --detach                     start the service again
                vernier submit JOB.yaml --watch         your own job: docs/jobs.md
                vernier datasets preview FILE --model smollm2 --row 1    see which tokens are trained
""")
    return {
        "adapter_dir": str(adapter), "validation_file": str(data / "valid.jsonl"),
        "valid_loss_before": was["loss"], "valid_loss_after": now["loss"],
        "rouge_l_before": was["rouge_l"], "rouge_l_after": now["rouge_l"],
        "rouge_l_gain": now["rouge_l"] - was["rouge_l"], "train_seconds": sft["train_seconds"],
        "tokens_per_second": sft["tokens_per_second"], "job": name,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1800)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()  # checked by ./quickstart
    started_here = not service_runs()
    if started_here:
        say(f"starting the service (data dir {DATA_DIR})")
        print(vernier("up", "--detach", "--import-root", CACHE / "smollm2-0.1.2"), end="")
    try:
        job, data = train(arguments.rows, arguments.steps)
        summary = report(job, data)
    finally:
        if started_here and not arguments.keep:
            vernier("down")
    print(json.dumps(summary), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nquickstart: interrupted; run it again to go on where it stopped")

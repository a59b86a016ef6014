"""The tables of docs/performance.md from the records of a GPU."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.gpu.records import Records
from studies import common

PAGE, RESULTS = "docs/performance.md", "docs/results.md"
FOLDER = Path("results") / "benchmarks" / "gpu"
CONTESTANTS = ("plain loop", "ours, eager", "ours, captured", "ours, captured, lorae")
PRECISIONS = {"float32": "float32", "tf32": "TF32", "bfloat16": "bfloat16"}
# Ways to the nuclear norm in records of the part `penalties`, and in those of the part `kernel`.
ROUTES = {"polar, within the loss": "separate products, within the loss", "proximal steps": "proximal steps"}
KERNEL = {
    "kernel": "one kernel",
    "kernel, held": "one kernel, slope held for 10 steps",
    "products": "separate products",
    "products, held": "separate products, slope held for 10 steps",
}


def draw() -> None:
    """Write every table between its marks."""
    found = {(record["part"], record["name"]): record for record in Records(common.ROOT / FOLDER).all()}
    measured = {key: record["result"] for key, record in found.items() if "result" in record}
    sections: dict[str, Callable[[dict[Any, Any]], str]] = {
        "gpu-card": lambda _: card(found.values()),
        "gpu-steps": steps,
        "gpu-kernel": kernel,
        "gpu-kernel-alone": kernel_alone,
        "gpu-penalties": penalties,
        "gpu-alone": alone,
        "gpu-routes": routes,
        "gpu-evaluation": evaluation,
        "gpu-several": several,
        "gpu-faces": faces,
    }
    for mark, section in sections.items():
        common.write_section(PAGE, mark, section(measured))
    common.write_section(RESULTS, "gpu", digits())


def card(records: Iterable[dict[str, Any]]) -> str:
    """Return a line for each card."""
    rows = {(r["card"], r["multiprocessors"], r["torch"], r["python"]): r.get("memory_gib") for r in records}
    return "\n".join(
        f"- {name}{'' if memory is None else f', {memory:g} GiB'}, {count} multiprocessors; "
        f"torch {torch}, Python {python}"
        for (name, count, torch, python), memory in sorted(rows.items())
    )


def steps(measured: dict[tuple[str, str], Any]) -> str:
    """Return the table of milliseconds of a step by network, batch size, precision and contestant."""
    header = ["network", "batch", "precision", "plain loop", "ours, step by step", "ours, captured", "plain / captured"]
    found = []
    for network in ("mnist", "celeba"):
        for batch_size in (32, 128, 1024):
            for precision, shown in PRECISIONS.items():
                rows = [
                    measured.get((f"{network}-steps", f"{network} {batch_size} {precision}: {name}"))
                    for name in CONTESTANTS[:3]
                ]
                if any(row is None for row in rows):
                    continue
                times = [row["milliseconds"] for row in rows if row is not None]
                numbers = [*(f"{time:.2f}" for time in times), f"{times[0] / times[2]:.1f}"]
                found.append([network, f"{batch_size:,}", shown, *numbers])
    return common.markdown_table(header, found)


def kernel(measured: dict[tuple[str, str], Any]) -> str:
    """Return the table of the cost of the nuclear norm, as a share of the step without a penalty."""

    def costs(setting: str) -> tuple[float, list[float]]:
        result = measured["kernel", f"{setting}: within a step"]
        return result["milliseconds"], [result["shares"][name] for name in KERNEL]

    return _costs(costs, KERNEL.values())


def _costs(costs_of: Callable[[str], tuple[float, list[float]]], titles: Iterable[str]) -> str:
    """Return a table by latent and precision: milliseconds of the step alone, and what each way adds, as a share."""
    found = []
    for latent_dim in (128, 512, 1024):
        for precision in ("bfloat16", "tf32"):
            base, costs = costs_of(f"l = {latent_dim}, {precision}")
            shares = [f"{cost:.1%}" for cost in costs]
            found.append([f"{latent_dim:,}", PRECISIONS[precision], f"{base:.2f}", *shares])
    return common.markdown_table(["latent", "precision", "step without a penalty, ms", *titles], found)


def kernel_alone(measured: dict[tuple[str, str], Any]) -> str:
    """Return the table of the polar factor by itself."""
    found = []
    for latent_dim in (128, 512, 1024):
        result = measured["kernel", f"l = {latent_dim}: by itself"]
        pairs = [result[name] for name in ("kernel", "products")]
        times, errors = [f"{pair['microseconds']:,.0f}" for pair in pairs], [f"{pair['error']:.1e}" for pair in pairs]
        found.append([f"{latent_dim:,}", *times, *errors])
    titles = ("one kernel, microseconds", "separate products, microseconds", "error, one kernel", "error, products")
    return common.markdown_table(["latent", *titles], found)


def penalties(measured: dict[tuple[str, str], Any]) -> str:
    """Return the table of the cost of other ways to a low nuclear norm, as a share of the step without a penalty."""

    def costs(setting: str) -> tuple[float, list[float]]:
        base, *others = (
            measured["penalties", f"{setting}: {name}"]["milliseconds"] for name in ("M without a penalty", *ROUTES)
        )
        return base, [other / base - 1 for other in others]

    return _costs(costs, ROUTES.values())


def several(measured: dict[tuple[str, str], Any]) -> str:
    """Return the lines about models that are trained at once."""
    weights = measured["several", "weights of two at once against each alone"]
    counts = {found["models"]: found["steps_per_second"] for key, found in measured.items() if "models" in found}
    rates = ", ".join(f"{count} at once {rate:,.0f}" for count, rate in sorted(counts.items()))
    return (
        f"Steps a second of all models together: {rates}. Largest difference of a weight between two models at once "
        f"and each alone after 500 steps: {weights['at once']:g}; between two runs alone: {weights['twice alone']:g}."
    )


def faces(measured: dict[tuple[str, str], Any]) -> str:
    """Return the table of the models of faces."""
    found = [(name, result) for (part, name), result in measured.items() if part == "faces" and "test_mse" in result]
    rows = [
        [
            name.removeprefix("celeba ").partition(" seed")[0],
            str(result["epochs"]),
            f"{result['test_mse']:.5f}",
            str(result["rank"]),
            f"{result['training']:.0f}",
        ]
        for name, result in found
    ]
    return common.markdown_table(["model", "epochs", "test error", "rank", "seconds"], rows)


def alone(measured: dict[tuple[str, str], Any]) -> str:
    """Return the line about one model at the paper's length."""
    found = measured["alone", "digits: one model alone"]
    return (
        f"LoRAE on MNIST, fifty epochs at batch 32: {found['steps']:,} steps in {found['training']:.1f} s, "
        f"{found['milliseconds']:.2f} ms a step with statistics and checkpoints."
    )


def routes(measured: dict[tuple[str, str], Any]) -> str:
    """Return the table of milliseconds of each way by itself, outside a step."""
    ways = ("svd", "eigh", "polar", *(f"proximal step by itself, {place}" for place in ("cuda", "cpu")))
    titles = ("svd", "eigh", "polar", "proximal step, GPU", "proximal step, CPU")
    found = []
    for latent_dim in (128, 512, 1024):
        names = [f"{way}, many directions left" if "proximal" in way else f"{way} by itself" for way in ways]
        times = [measured["penalties", f"l = {latent_dim}: {name}"]["milliseconds"] for name in names]
        found.append([f"{latent_dim:,}", *(f"{time:.1f}" for time in times)])
    return common.markdown_table(["latent", *titles], found)


def evaluation(measured: dict[tuple[str, str], Any]) -> str:
    """Return the table of the time to measure a model."""
    rows = [
        [name, f"{result['milliseconds']:,.0f}"] for (part, name), result in measured.items() if part == "evaluation"
    ]
    return common.markdown_table(["operation", "milliseconds"], rows)


def digits() -> str:
    """LoRAE of fifty epochs on a GPU beside the same model, and another seed, on a CPU."""
    on_gpu = _numbers(common.ROOT / FOLDER / "digits.jsonl", "mnist LoRAE seed 0: ")
    on_cpu = [_numbers(common.records_path("paper-full"), f"mnist LoRAE seed {seed}: ") for seed in (0, 1)]
    card = json.loads((common.ROOT / FOLDER / "digits.jsonl").read_text().splitlines()[0])["machine"]["card"]
    titles = {
        "mse": ("test error", ".5f"),
        "rank": ("rank", "d"),
        "gaussian": ("MVG", ".1f"),
        "mixture": ("GMM", ".1f"),
        "10": ("10 labels, %", ".1f"),
        "100": ("100 labels, %", ".1f"),
        "seconds": ("seconds", ",.0f"),
    }
    rows = [
        [name, *(format(numbers[key], shape) for key, (_, shape) in titles.items())]
        for name, numbers in ((card, on_gpu), ("CPU, seed 0", on_cpu[0]), ("CPU, seed 1", on_cpu[1]))
    ]
    return common.markdown_table(["trained on", *(title for title, _ in titles.values())], rows)


def _numbers(path: Path, prefix: str) -> dict[str, Any]:
    """The numbers of a model from the records of its measures."""
    records = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    results = {record["name"].removeprefix(prefix): record["result"] for record in records if prefix in record["name"]}
    fid, training = results["fid"], results["fid"]["training"]
    accuracies = {n: 100 * results[f"classification with labels {n}"][n]["mean"] for n in ("10", "100")}
    distances = {name: fid[name]["value"] for name in ("gaussian", "mixture")}
    model = {"mse": training["test_mse"], "seconds": training["seconds"], "rank": results["rank"]["rank"]}
    return model | distances | accuracies

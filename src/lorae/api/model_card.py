"""The model card of an exported model: data, method, rank, and numbers with their protocols."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml

from lorae import __version__
from lorae.config.datasets import DATASETS
from lorae.config.methods import get_method
from lorae.reports.comparison import lookup, rows, shown_columns
from lorae.runs.run import Run

if TYPE_CHECKING:
    from lorae.models.autoencoder import ModelSpec

CARD = """---
{front}---

# {title}

{summary}, trained with [lorae] {version}.

```python
import lorae

model = lorae.from_pretrained("{source}"{networks})
{usage}
```

## Method

| | |
|---|---|
{method}

## Data

| | |
|---|---|
{data}

## Numbers

{about_numbers}

{numbers}

[lorae]: https://arxiv.org/abs/2310.16194
"""


def model_card(run: Run, spec: "ModelSpec", *, cut: bool, source: str) -> str:
    """Return the card of a model that was made of a run, Markdown with the front matter of model hubs.

    spec: that of the model; cut: whether the model has fewer directions than the run, whose numbers are not its own;
    source: where `lorae.from_pretrained` finds the model
    """
    method, settings = get_method(run.settings.method), run.settings
    title = f"{method.name} on {run.fact('data', 'name')}"
    numbers = list(_numbers(run))
    about_numbers = "Each number is stored with the protocol by which it was measured."
    if cut:
        about_numbers += (
            f" They are those of the model before its latent was cut to {spec.latent_dim} directions, which change "
            "errors and samples."
        )
    if not numbers:
        about_numbers = "None were measured."
    rank = run.evaluation().get("rank", {})
    described = {
        "method": f"`{method.name}`: {method.summary}",
        "objective": f"`{method.objective}`",
        "source": method.source,
        "penalties": ", ".join(f"{name} {weight:g}" for name, weight in run.settings.penalties.items()) or "none",
        "network": f"{spec.network}, width {spec.width:g}",
        "latent": f"{spec.latent_dim} coordinates; {settings.latent_dim} in training",
        "rank": f"{rank['rank']} (tolerance {rank['tolerance']:g})" if "rank" in rank else "not measured",
        "epochs": settings.epochs,
    }
    known = ("name", "kind", "shape", "splits", "fingerprint")
    return CARD.format(
        front=yaml.safe_dump(_front(run, title, numbers), sort_keys=False),
        title=title,
        summary=method.summary[0].upper() + method.summary[1:],
        version=__version__,
        source=source,
        networks="" if spec.own is None else ", encoder=encoder, decoder=decoder",  # modules that the reader must have
        usage="\n".join(_usage(spec)),
        method=_table(described.items()),
        data=_table((name, _words(run.fact("data", name))) for name in known),
        about_numbers=about_numbers,
        numbers=_table([("measure", "value", "protocol"), ("---",) * 3, *(row[1:] for row in numbers)]),
    )


def _usage(spec: "ModelSpec") -> Iterator[str]:
    shape = ", ".join(map(str, ("n", *spec.shape)))
    kind = "images, uint8 or floats in [0, 1]," if spec.images else "vectors" if len(spec.shape) == 1 else "arrays"
    if spec.encodes:
        yield f"codes = model.encode(items)  # {kind} ({shape}) to codes (n, {spec.latent_dim})"
    yield f"items = model.decode(codes)  # codes (n, {spec.latent_dim}) to items ({shape})"


def _numbers(run: Run) -> Iterator[tuple[float, str, str, str]]:
    """Yield the value of each measure that a run has, its title, the value as text, and its protocol."""
    evaluation, (row,) = run.evaluation(), rows([run])
    for column in shown_columns([row]):
        places = [column.path[:length] for length in range(len(column.path), 0, -1)]
        found: list[dict[str, Any]] = [lookup(evaluation, (*place, "protocol")) for place in places]
        protocol = next((each for each in found if each), {})
        value = row[column.key]
        yield (
            value,
            column.title,
            column.show(value),
            "; ".join(f"{name}: {_words(of)}" for name, of in protocol.items()),
        )


def _front(run: Run, title: str, numbers: list[tuple[float, str, str, str]]) -> dict[str, Any]:
    """Return the front matter, by which hubs find a model and show its numbers."""
    name = run.fact("data", "name")
    front: dict[str, Any] = {
        "library_name": "lorae",
        "tags": ["lorae", "autoencoder", "dimensionality-reduction", run.settings.method],
    }
    if name in DATASETS:
        front["datasets"] = [name]
    if numbers:
        metrics = [{"type": measure, "name": measure, "value": value} for value, measure, _, _ in numbers]
        task = {"type": "feature-extraction", "name": "autoencoding"}
        results = [{"task": task, "dataset": {"name": name, "type": name}, "metrics": metrics}]
        front["model-index"] = [{"name": title, "results": results}]
    return front


def _table(lines: Any) -> str:
    """Return rows of cells as lines of a Markdown table."""
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '&#124;') for cell in line)} |" for line in lines)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)

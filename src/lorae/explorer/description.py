"""The facts about a run that the page shows; no path of the machine is among them."""

from typing import Any

import numpy as np

from lorae.data.pictures import readable_formats
from lorae.explorer.content import Points
from lorae.explorer.requests import MOST_PICTURE, rounded
from lorae.explorer.session import MEASURED, MOST_PIXELS, PATHS, Session
from lorae.samplers import SAMPLERS

VIEWS = ("axes", "paths", "samples", "spectrum", "latents", "own")


def describe(session: Session) -> dict[str, Any]:
    """Return everything about a run that the page needs at its start, as plain JSON values."""
    content = session.content
    run, spec, axes = content.run, content.model.spec, content.axes
    evaluation = run.evaluation()
    scaling = content.model.scaling
    shift, scale = (part.cpu().numpy().ravel().astype(np.float64).tolist() for part in (scaling.shift, scaling.scale))
    return {
        "name": run.path.resolve().name,
        "method": run.settings.method,
        "data": str(run.fact("data", "name")),
        "kind": content.kind,
        "shape": list(spec.shape),
        "columns": list(run.fact("data").get("columns", ())),
        "units": None if spec.images else {"mean": shift, "scale": scale},
        "latent_dim": spec.latent_dim,
        "axes": axes.count,
        "deviations": rounded(axes.deviations),
        "evaluated": {
            "rank": evaluation.get("rank", {}).get("rank"),
            "tolerance": evaluation.get("rank", {}).get("tolerance"),
            "test_mse": evaluation.get("reconstruction", {}).get("mse"),
            "explained": evaluation.get("explained", {}).get("model"),
        },
        "start": _described(content.start) | {"drawn": not content.encodes},
        "train": None if content.train is None else _described(content.train),
        "samplers": [{"name": name, "summary": _summary(session, name)} for name in session.samplers],
        "paths": list(PATHS),
        "measured": min(MEASURED, len(content.start)),
        "views": {view: session.reason_against(view) for view in VIEWS},
        "notes": content.notes,
        "picture": {"bytes": MOST_PICTURE, "pixels": MOST_PIXELS, "formats": list(readable_formats())},
    }


def _described(points: Points) -> dict[str, Any]:
    labels = None if points.labels is None else np.unique(points.labels).tolist()
    return {"count": len(points), "step": points.step, "items": points.items is not None, "labels": labels}


def _summary(session: Session, sampler: str) -> str:
    summary = SAMPLERS[sampler].summary
    if sampler == "prior" and not session.trained_towards_prior:
        return f"{summary}; {session.content.run.settings.method} does not, so that its samples are poor"
    return summary

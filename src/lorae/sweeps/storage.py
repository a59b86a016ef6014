"""The database of a sweep: its URL, which is never shown or written with a password, and its study of Optuna."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.errors import LoraeError
from lorae.extras import import_extra
from lorae.sweeps.definition import Definition

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from sqlalchemy import URL

# Parts of a URL's query that hold secrets.
SECRETS = ("password", "sslpassword", "passfile")
# Seconds for which a process waits for another one that writes to SQLite.
PATIENCE = 120
# First epoch at whose end a trial may be pruned, and trials that end before: errors fall steeply in the first epoch,
# and the median of fewer trials is a matter of luck.
FIRST_EPOCH, LEAST_TRIALS = 2, 5


def default_url(folder: Path) -> str:
    """Return the URL of the database in the folder of a sweep."""
    return f"sqlite:///{folder.absolute() / 'study.db'}"


def _parsed(url: str) -> "URL":
    sqlalchemy = import_extra("sqlalchemy", "storage")
    try:
        found: URL = sqlalchemy.engine.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        scheme = url.split("://")[0] if "://" in url else "no scheme"
        raise LoraeError(
            f"storage: cannot read the URL ({scheme}), expected postgresql://USER@HOST/DATABASE or sqlite:///FILE",
            argument="storage",
        ) from None
    if found.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        import_extra("psycopg", f"storage {found.drivername}")
        return found.set(drivername="postgresql+psycopg")
    return found


def without_password(url: str) -> str:
    """Return a URL without its secrets, for files and messages.

    >>> without_password("postgresql://me:secret@host/studies?password=secret&sslmode=require")
    'postgresql+psycopg://me@host/studies?sslmode=require'
    """
    parsed = _parsed(url)
    plain = type(parsed).create(
        parsed.drivername,
        username=parsed.username,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
        query={name: value for name, value in parsed.query.items() if name not in SECRETS},
    )
    return str(plain.render_as_string(hide_password=False))


def has_password(url: str) -> bool:
    """Return whether a URL has a secret."""
    parsed = _parsed(url)
    return parsed.password is not None or any(name in parsed.query for name in SECRETS)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's log and its warnings of experimental features from the user."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


@contextlib.contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn errors of a database inside the block into LoraeError, without its password."""
    optuna, sqlalchemy = import_extra("optuna", "sweep"), import_extra("sqlalchemy", "sweep")
    try:
        with _quiet():
            yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        origin = getattr(cause, "orig", None) or cause or error
        reason = " ".join(str(origin).split())
        for secret in _secrets(url):
            reason = reason.replace(secret, "***")
        raise LoraeError(f"storage: cannot use {without_password(url)}: {reason[:300]}", argument="storage") from None


def _secrets(url: str) -> list[str]:
    parsed = _parsed(url)
    found = [parsed.password, *(parsed.query.get(name) for name in SECRETS)]
    return [str(secret) for secret in found if secret]


@contextlib.contextmanager
def open_study(url: str, definition: Definition, *, create: bool = False) -> "Iterator[Study]":
    """Yield the study of a sweep, which is made if `create`, and close its connections at the end.

    Raises LoraeError where the database cannot be used.
    """
    optuna = import_extra("optuna", "sweep")
    parsed = _parsed(url)
    engine: dict[str, Any] = {"pool_pre_ping": True}  # connections that a server has closed are opened anew
    if parsed.drivername.startswith("sqlite"):
        engine["connect_args"] = {"timeout": PATIENCE}
    with reaching(url):
        storage = optuna.storages.RDBStorage(parsed.render_as_string(hide_password=False), engine_kwargs=engine)
    given = {"study_name": definition["study"], "storage": storage, "pruner": pruner_of(definition)}
    try:
        with reaching(url):
            if create:
                directions = ["minimize"] * len(definition["objective"])
                study = optuna.create_study(directions=directions, load_if_exists=True, **given)
            else:
                study = _loaded(given, url)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _loaded(given: dict[str, Any], url: str) -> "Study":
    import optuna

    try:
        return optuna.load_study(**given)
    except KeyError:
        raise LoraeError(
            f"storage: {without_password(url)} has no study {given['study_name']!r} of this sweep; restore the "
            "database, or start in another folder",
            argument="storage",
        ) from None


def pruner_of(definition: Definition) -> "BasePruner":
    """Return the pruner of a sweep."""
    import optuna

    if definition["pruner"] == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=LEAST_TRIALS, n_warmup_steps=FIRST_EPOCH)
    if definition["pruner"] == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1)
    return optuna.pruners.NopPruner()


def sampler_of(definition: Definition, trials: int) -> "BaseSampler":
    """Return the sampler for the trial after so many: a sweep of one worker draws the same, also if it is resumed."""
    import optuna

    name = definition["sampler"]
    if name == "tpe":  # constant_liar: parallel workers do not draw alike
        return optuna.samplers.TPESampler(seed=trials, constant_liar=True)
    if name == "nsgaii":
        return optuna.samplers.NSGAIISampler(seed=trials)
    return optuna.samplers.RandomSampler(seed=trials)

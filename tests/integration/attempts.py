"""Commands and reads that must end in a result or in one line, in a bounded time and with bounded memory."""

import contextlib
import io
import signal
import time
import warnings
from pathlib import Path

from lorae.cli import main
from lorae.errors import LoraeError

# Seconds after which a command counts as hanging; none takes more than two, if the machine has no other work.
PATIENCE = 300
# Seconds of computation, and bytes of memory, of a command on small files, whatever these say of themselves.
QUICK, LITTLE = 20, 400 * 2**20


class Hangs(BaseException):
    """A command that has not ended in `PATIENCE`; no handler of the package catches it."""


@contextlib.contextmanager
def deadline():
    def stop(*_):
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(*words, warned=None):
    """Run a command; exit code and standard output, after checking that an error is one line.

    Warnings are added to the list `warned`.
    """
    out, errors = io.StringIO(), io.StringIO()
    with deadline(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main([str(word) for word in words])
    assert code in (0, 2)
    if code == 2:
        lines = [line for line in errors.getvalue().splitlines() if line.startswith("lorae: ")]
        said = [line for line in lines if not line.startswith("lorae: warning: ")]
        assert len(said) == 1, errors.getvalue()
        assert len(said[0]) < 1500, said[0]
    assert "Traceback" not in errors.getvalue()
    if warned is not None:
        warned += [line for line in errors.getvalue().splitlines() if line.startswith("lorae: warning: ")]
    return code, out.getvalue()


def refused(read):
    """Return the result of a function of the Python interface, or None for an error in one line."""
    found, said = None, ""
    with deadline(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read()
        except LoraeError as error:
            said = str(error)
        except ValueError as error:  # of scikit-learn's interface
            said = str(error)
            if "not a file that LoRAE.save wrote" not in said:
                raise
    assert "\n" not in said.strip()
    assert len(said) < 1500
    return found


@contextlib.contextmanager
def bounded():
    """Let the block take no more memory and time than is right for a small file."""
    high = Path("/proc/self/clear_refs")
    if high.exists():
        with contextlib.suppress(OSError):
            high.write_text("5")  # the peak counts from now on
    before, started = memory("VmRSS"), time.process_time()
    yield
    assert memory("VmHWM") - before < LITTLE, "it takes too much memory"
    assert time.process_time() - started < QUICK, "it takes too long"


def memory(name):
    """Bytes of memory of this process, now or at most, as Linux says; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)

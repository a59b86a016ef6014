"""`lorae` with a fault in one process: FAULT=KIND:RANK:STEP, before that step of the first start.

KIND is a signal, `error` for invalid input that this process alone finds, or `memory` for an exception of another kind.
"""

import os
import signal
import sys

from lorae.cli.parser import main
from lorae.errors import LoraeError
from lorae.training.trainer import Trainer


def with_fault(kind: str, rank: str, step: str) -> None:
    """Let a process fail before a step."""
    take = Trainer._one_step

    def take_or_fail(self: Trainer) -> None:
        if self.step == int(step) and os.environ["RANK"] == rank:
            if kind == "error":
                raise LoraeError("this process cannot go on")
            if kind == "memory":
                raise MemoryError("none left")
            os.kill(os.getpid(), getattr(signal, kind))
        take(self)

    Trainer._one_step = take_or_fail  # type: ignore[method-assign]


if __name__ == "__main__":
    if "FAULT" in os.environ and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        with_fault(*os.environ["FAULT"].split(":"))
    sys.exit(main())

"""Serve the explorer of a run until it is interrupted. Torch and the web server are imported when it starts."""

import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.errors import LoraeError
from lorae.extras import import_extra
from lorae.system.faults import reason_of
from lorae.validation import optional, whole

if TYPE_CHECKING:
    import uvicorn

    from lorae.runs.run import Run

# Only programs of this machine reach it.
HOST = "127.0.0.1"
# In no list of well-known ports; another free one is taken if it is in use.
PORT = 8450
# Seconds that open connections have to end after an interrupt.
GRACE = 2
# Open connections, at most, which bounds the memory of uploads to 256 MiB; a browser opens six for a page.
CONNECTIONS = 32


def explore(
    run: "str | Path | Run",
    *,
    host: str = HOST,
    port: int | None = None,
    open_browser: bool = False,
    data: Any = None,
) -> str:
    """Serve a page in which a run is explored, until it is interrupted (Ctrl-C).

    The page moves items along the principal axes of the latents, and shows paths, samples, the spectrum with
    truncations, the latents, and items of your own. It needs no network. Nothing is written into the run folder.

    Parameters
    ----------
    run : str, Path or Run
        A finished run.
    host : str, default="127.0.0.1"
        Name or address that the server listens to. Any other than of the loopback lets other machines use the run.
    port : int, default=None
        Port; 0 takes a free one. None takes 8450, or a free one if it is in use.
    open_browser : bool, default=False
        Open the page in the browser.
    data : str, Path or ndarray, default=None
        Where the data are now if they were moved, or the array of a run that was trained on one.

    Returns
    -------
    str
        The address of the page, which is also printed to standard error at the start.

    Raises
    ------
    LoraeError
        If the run is not finished, its data changed, a package is missing, or the port is in use.

    Examples
    --------
    >>> explore("runs/demo")   # doctest: +SKIP
    """
    port = optional(whole(0, 65535)).check("port", port, "argument port")
    import_extra("starlette", "explore")
    import_extra("uvicorn", "explore")
    from lorae.explorer.app import make_app
    from lorae.explorer.guard import is_loopback
    from lorae.explorer.session import Session

    listening = listen(host, port)
    with listening:
        session = Session(run, data)
        app = make_app(session, host)
        address = address_of(listening, host)
        if not is_loopback(host):
            _say(f"warning: every machine that reaches {host!r} can use this run, without a password")
        _say(f"the explorer is at {address} (Ctrl-C ends it)")
        try:
            _serve(server_of(app), listening, address if open_browser else None)
        finally:
            session.close()
    return address


def listen(host: str, port: int | None) -> socket.socket:
    """Return a listening socket; None for the port takes PORT, or a free one with a line that says so."""
    try:
        family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
    except (OSError, UnicodeError) as error:
        raise LoraeError(
            f"host: got {host!r}, expected a name or an address of this machine ({reason_of(error)})", argument="host"
        ) from None
    for wanted in (PORT, 0) if port is None else (port,):
        try:
            made = socket.create_server((host, wanted), family=family)
        except OSError as error:
            if port is None and wanted:
                continue
            raise LoraeError(
                f"port: cannot listen to {wanted} on {host!r} ({reason_of(error)}); pass port=0 for a free one",
                argument="port",
                settings={"port": 0},
            ) from None
        # For its connections: headers and body are sent apart, and the body would wait 40 ms for the browser's receipt.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if port is None and not wanted:
            _say(f"port {PORT} is in use, so another one is taken")
        return made
    raise AssertionError


def address_of(listening: socket.socket, host: str) -> str:
    """Return the address of the page for a browser on this machine."""
    name, port = listening.getsockname()[:2]
    if name in ("0.0.0.0", "::"):
        name = "127.0.0.1" if name == "0.0.0.0" else "::1"
    elif ":" not in host:
        name = host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def server_of(app: Any) -> "uvicorn.Server":
    """Return a server of an application that logs errors only."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        limit_concurrency=CONNECTIONS,
    )
    return uvicorn.Server(config)


def _serve(server: "uvicorn.Server", listening: socket.socket, opened: str | None) -> None:
    ended = threading.Event()

    def run() -> None:
        try:
            server.run(sockets=[listening])
        finally:
            ended.set()

    # In a thread, so that it also runs where an event loop does already, as in a notebook.
    thread = threading.Thread(target=run, name="lorae explorer server")
    thread.start()
    try:
        if opened is not None and not webbrowser.open(opened):
            _say("no browser was found; open the address yourself")
        # No join: an interrupt in it makes Python take the thread for ended (bpo-45274), and on Windows waits for it.
        while not ended.wait(0.2):
            pass
    except KeyboardInterrupt:
        _say("ended")
    finally:
        server.should_exit = True
        ended.wait()
        thread.join()


def _say(line: str) -> None:
    print(f"lorae: {line}", file=sys.stderr, flush=True)

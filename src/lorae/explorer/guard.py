"""Refuse requests of other sites, and forbid the page everything that it does not need."""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lorae.explorer.requests import answer

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Middleware that answers only requests for a name of this server.

    A site can let its own name point to this machine (DNS rebinding), and its scripts could then read the answers. The
    names are `localhost` and addresses of the loopback; with another host, also that host, the machine's name and every
    address, because rebinding needs a name.

    Browsers say in `Sec-Fetch-Site` which site a request comes from, also where they send no `Origin`, as for the
    images of a page. The page itself may be opened by a link of another site, such as a notebook on another port.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.loopback_only = is_loopback(host)
        self.names = {"localhost", host.lower()} | (set() if self.loopback_only else {socket.gethostname().lower()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        elsewhere = site in ("cross-site", "same-site") and scope["path"] != "/"
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if not self.allows(headers.get("host", "")):
            refused = PlainTextResponse("This server has another name: use the address that it printed.\n", 421)
            await refused(scope, receive, send_with_headers)
        elif elsewhere or (origin is not None and not self.allows(urlsplit(origin).netloc)):
            await PlainTextResponse("Requests of other sites are refused.\n", 403)(scope, receive, send_with_headers)
        else:
            try:
                await self.app(scope, receive, send_with_headers)
            except Exception:
                if not started:
                    fault = answer({"error": "the explorer met an error; its terminal shows it"}, 500)
                    await fault(scope, receive, send_with_headers)
                raise  # for the log of the server, which shows it in the terminal

    def allows(self, netloc: str) -> bool:
        """Return whether the host of `host:port` is a name of this server."""
        try:
            name = (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.loopback_only


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server on a host, by its name or address."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""The live server: resources on demand, on loopback unless told otherwise, and then behind a token."""

import logging
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from miso.errors import MisoError, RegionError
from miso.view.guard import Guard
from miso.view.listen import Listener
from miso.view.means import MOST_BYTES, means_of
from miso.view.resources import TYPES, Resources
from miso.view.scene import Scene

WORKERS = 4
"""Tiles that are made at a time; more would only wait for cores and hold memory."""

log = logging.getLogger(__name__)


def application(scene: Scene, *, hosts: frozenset[str] | None, token: str | None = None) -> Starlette:
    """Make the application.

    Parameters
    ----------
    hosts
        Names that a request may call this server by, so that no other site's name can be pointed at it; None
        for any.
    token
        What every request has to know, if anything.
    """
    resources, limiter = Resources(scene, live=True), CapacityLimiter(WORKERS)
    one_region = CapacityLimiter(1)

    async def page(request: Request) -> Response:
        found = resources.page.get(request.path_params.get("name") or "index.html")
        return _missing() if found is None else Response(found.content, media_type=found.media_type)

    def on_demand(kind: str, make: Callable[..., bytes | None]) -> Callable[[Request], object]:
        async def respond(request: Request) -> Response:
            try:
                content = await to_thread.run_sync(lambda: make(**request.path_params), limiter=limiter)
            except MisoError as err:
                log.warning("%s", err)
                return PlainTextResponse(f"{err}\n", status_code=500)
            return _missing() if content is None else Response(content, media_type=TYPES[kind])

        return respond

    async def regions(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return JSONResponse({"error": "the polygon has too many points"}, status_code=413)
        try:
            found = await to_thread.run_sync(lambda: means_of(scene, bytes(body)), limiter=one_region)
        except RegionError as err:
            return JSONResponse({"error": str(err)}, status_code=422)
        return JSONResponse(found)

    tile = "{level:int}/{column:int}_{row:int}"
    routes = [
        Route("/", page),
        Route(f"/slide/{tile}.jpg", on_demand("jpg", resources.slide_tile)),
        Route(f"/maps/{{map_:int}}/{{plane}}/{tile}.f32", on_demand("f32", resources.map_tile)),
        Route("/maps/{map_:int}/{plane}/percentiles.json", on_demand("json", resources.percentiles)),
        Route("/samples/{sample:int}/spots.json", on_demand("json", resources.spots)),
        Route("/samples/{sample:int}/genes/{gene:int}.f32", on_demand("f32", resources.spot_values)),
        Route("/regions", regions, methods=["POST"]),
        Route("/{name:path}", page),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts, token=token)])


def serve(app: Starlette, listener: Listener, started: Callable[[], None]) -> None:
    """Serve until interrupted; `started` is called once requests are answered."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    server = uvicorn.Server(config)
    startup = server.startup

    async def startup_and_tell(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets=sockets)
        started()

    server.startup = startup_and_tell  # type: ignore[method-assign]  # uvicorn has no hook for it
    with suppress(KeyboardInterrupt):  # that is how a server is stopped
        server.run(sockets=[listener.socket])


def _missing() -> Response:
    return PlainTextResponse("there is no such thing here\n", status_code=404)

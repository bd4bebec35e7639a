"""The ASGI application."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version
from multiprocessing import current_process

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app.access import Keys, add_access
from app.direct import Direct
from app.engine import Engine
from app.errors import add_error_handlers
from app.lifetime import Lifetime
from app.metrics import FOLDER
from app.middleware import HeadAsGet, PlainStartError
from app.observation import Observation
from app.oip import Statistics
from app.openapi import DESCRIPTION, describe
from app.routes import RESOURCES, metrics
from app.settings import Settings
from app.state import State
from app.traces import Traces


def create_app(settings: Settings | None = None, keys: Keys | None = None) -> FastAPI:
    """The service. Its models are loaded when it starts, not here: a bad checkpoint fails the start.

    Args:
        settings: left out, they are read from the environment.
        keys: the callers'; left out, those that the settings name.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        engine = Engine.load(
            settings.checkpoint_folders(),
            settings.default_model,
            threads=settings.threads,
            device=settings.device,
            runtime=settings.runtime,
            max_waiting=settings.max_queue_images,
            lazy=settings.lazy_models,
        )

        async def publish() -> None:
            schema = await asyncio.to_thread(describe, app, engine, settings)  # half a second
            app.openapi = lambda: schema  # type: ignore[method-assign]

        async def reload() -> None:
            if await engine.reload():
                await publish()

        await publish()
        traces = Traces(settings.otlp_endpoint) if settings.otlp_endpoint else None
        readers = ThreadPoolExecutor(settings.image_readers, "read")
        yield {
            "settings": settings,
            "engine": engine,
            "reload": reload,
            "readers": readers,
            "draining": asyncio.Event(),
            "traces": traces,
            "statistics": Statistics(os.environ.get(FOLDER), current_process().name),
        }
        readers.shutdown(wait=False, cancel_futures=True)
        if traces:
            await asyncio.to_thread(traces.close)

    app = FastAPIOffline(
        docs_url=None,  # ours finds its files at any path
        redoc_url=None,  # it shows less than Swagger UI, and asks its makers' server for their logo
        title="Reparam",
        version=version("reparam"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the framework's; `Observation` has ours
    )
    resources = [one for one in RESOURCES if settings.metrics or one is not metrics]
    routes = [route for resource in resources for route in resource.router.routes]
    app.router.routes[:0] = routes  # themselves, and first: to look in routers for the route takes its time
    add_error_handlers(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Direct, routes)
    app.add_middleware(Lifetime, settings)
    add_access(app, settings, keys)
    app.add_middleware(Observation, access_log=settings.access_log)
    app.add_middleware(PlainStartError)
    return app

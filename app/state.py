"""What the lifespan builds once and every request can reach."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from app.engine import Engine, Model
from app.oip import Statistics
from app.settings import Settings
from app.traces import Traces


class State(TypedDict):
    """The lifespan's state."""

    settings: Settings
    engine: Engine
    reload: Callable[[], Awaitable[None]]  # takes up the checkpoints that have changed, and describes them anew
    readers: Executor  # of uploaded images, which take the most memory
    draining: asyncio.Event  # set when the stop begins
    traces: Traces | None
    statistics: Statistics  # of /v2


def settings_of(request: Request) -> Settings:
    """The service's."""
    settings: Settings = request.scope["state"]["settings"]
    return settings


async def _settings(request: Request) -> Settings:
    return settings_of(request)


async def _engine(request: Request) -> Engine:
    engine: Engine = request.state.engine
    return engine


async def _statistics(request: Request) -> Statistics:
    statistics: Statistics = request.state.statistics
    return statistics


SettingsDep = Annotated[Settings, Depends(_settings)]
EngineDep = Annotated[Engine, Depends(_engine)]
StatisticsDep = Annotated[Statistics, Depends(_statistics)]


def find_model(request: Request, name: str | None) -> Model:
    """The model that a request names, or the default one. Raises: ModelNotFoundError."""
    state = request.scope["state"]
    found: Model = state["engine"].model(name)
    state["model"] = found.name  # for the log and the spans
    return found

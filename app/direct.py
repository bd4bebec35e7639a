"""The short way to the data calls."""

from collections.abc import Iterable

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class Direct:
    """Answers the calls whose endpoints take their request and nothing else; the rest is the framework's.

    Such an endpoint needs no parameters solved and no exit stacks, and its path is one string: the framework describes
    the call, and its way there would cost twice as much as to read a digit. Errors are left to the middlewares outside.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, APIRoute) and _takes_the_request_alone(route)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None or scope.get("root_path"):
            await self.app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response = await route.endpoint(Request(scope, receive, send))
        except ClientDisconnect:  # nobody is there to be answered
            return
        await response(scope, receive, send)


def _takes_the_request_alone(route: APIRoute) -> bool:
    needs = route.dependant
    return (
        needs.request_param_name is not None
        and route.body_field is None
        and not (needs.path_params or needs.query_params or needs.header_params or needs.cookie_params)
        and not needs.dependencies
    )

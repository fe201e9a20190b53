"""The one place where the parts are joined: stores, engine, ingestion, live quizzes, and the routes over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse

from api import health
from api.admin import routes as admin
from api.archive import routes as archive
from api.audit import routes as audit
from api.audit.queue import AuditLog
from api.auth import routes as auth
from api.auth import session_routes, token_routes
from api.auth.bulk import routes as bulk
from api.auth.invitations import routes as invitations
from api.auth.key_ring import KEYS_PURPOSE, Sealer, derive
from api.auth.keys import Keys
from api.auth.mail.carrier import carrier
from api.auth.mail.postman import Postman
from api.auth.notices import Bell
from api.auth.oidc import routes as oidc
from api.auth.oidc.flow import FLOW_PURPOSE
from api.auth.oidc.service import SchoolLogins, issuers
from api.auth.passwords import Passwords
from api.auth.pruning import Pruning
from api.auth.recovery import routes as recovery
from api.auth.revocations import Revocations
from api.auth.service import Accounts
from api.auth.service_tokens import ServiceTokens
from api.auth.sessions import Sessions
from api.auth.tokens import Tokens
from api.auth.watch import Watch
from api.bodies import BodyGuard
from api.bounds import Bounds
from api.deps import Fed, Services, authenticate_person
from api.direct import Signpost
from api.directory import routes as directory
from api.docs_page import add_docs
from api.envelope import Failure
from api.errors import add_handlers
from api.events import routes as events
from api.events import types as event_types
from api.letters import routes as letters
from api.limits.attempts import open_attempts
from api.limits.gate import Gate, Rates, has_rule
from api.limits.throttle import Throttle
from api.limits.windows import open_windows
from api.live import pages
from api.live import routes as live
from api.live.service import live_door
from api.methods import Methods
from api.middleware import RequestContext
from api.principal import Identities
from api.privacy import erasure_routes
from api.privacy import routes as privacy
from api.queries import routes as queries
from api.queries import sql_routes
from api.quizzes import keys
from api.quizzes import routes as quizzes
from api.reports import routes as reports
from api.reports.definitions import load_reports
from api.reports.service import Reports
from api.responses import routes as responses
from core.embedded import DataFolder, Stores, open_stores, open_warehouse, secret_key
from core.errors import StartupError
from core.postgres import Postgres
from core.settings import Settings
from core.telemetry import log
from core.warehouse import Warehouse
from engine.model import Catalog, load_catalog
from engine.run.engine import Engine
from engine.run.executor import Executor
from ingestion.accept import Acceptor
from ingestion.archive.housekeeping import Housekeeping
from ingestion.gauges import Gauges
from ingestion.loader import Loader
from ingestion.writer import Writer

BASE = "/api/v1"
_WEB = Path(__file__).resolve().parent.parent / "web"
_ACCOUNT_ROOMS = (auth, session_routes, token_routes, recovery, oidc, invitations, bulk)
_OIDC = ("providers", "{name}/start", "{name}/callback")
PUBLIC = frozenset(
    {
        "/",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/readyz",
        "/livez",
        "/docs",
        "/openapi.json",
        "/web",
        *pages.PATHS,  # pages without a word about anybody; what they show is asked for with a token
        *(f"{prefix}/auth/{verb}" for prefix in ("", BASE) for verb in ("register", "login", "refresh")),
        # whoever comes here has a mail's token or a provider's word instead of ours, or learns nothing
        *(f"{prefix}/auth/password/{verb}" for prefix in ("", BASE) for verb in ("forgot", "reset")),
        *(f"{prefix}/auth/{path}" for prefix in ("", BASE) for path in ("verify", "verify/resend")),
        *(f"{prefix}/auth/oidc/{path}" for prefix in ("", BASE) for path in _OIDC),
        "/.well-known/jwks.json",  # public keys are public
        live.SOCKET_PATH,  # its first frame carries the token
    }
)
"""Every route that anybody may call; a route that is neither here nor has an access rule stops the start."""


@dataclass(frozen=True)
class Foundation:
    """What the parts stand on; the semantic layer alone has no record."""

    settings: Settings
    warehouse: Warehouse
    secret: bytes
    folder: DataFolder
    record: Postgres | None


def create_app(settings: Settings | None = None, stores: Stores | None = None) -> FastAPI:
    """The application; its lifespan opens the stores, or uses those that are given (and leaves them open)."""
    settings = stores.settings if stores else settings or Settings()
    alone = is_layer_alone(settings)
    app = FastAPI(
        title="EduAnalytics",
        version=health.product_version(),
        summary="Answers questions about learning.",
        lifespan=_lifespan(settings, stores),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        middleware=list(_middleware(settings)),
        dependencies=[Depends(Gate())],
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours: core/telemetry.py, /metrics
        responses={
            "4XX": {"model": Failure, "description": "What was wrong, where, and what to do."},
            "5XX": {"model": Failure, "description": "A store is away, or the fault is ours."},
        },
    )
    add_handlers(app)
    if settings.docs:
        add_docs(app)
    _add_routes(app, alone)
    check_access(app)
    app.router.middleware_stack = Signpost(app)
    return app


def is_layer_alone(settings: Settings) -> bool:
    """A model folder of one's own over a ClickHouse of one's own, and no Postgres: only queries are answered."""
    own_models = "models_dir" in settings.model_fields_set
    return own_models and settings.clickhouse_url is not None and settings.database_url is None


def _middleware(settings: Settings) -> Iterator[Middleware]:
    yield Middleware(RequestContext)
    if settings.cors_origins:
        yield Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=True,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID", "Idempotency-Key", "x-cube-authorization"],
            expose_headers=["X-Request-ID", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
        )
    yield Middleware(Methods)
    yield Middleware(Bounds, settings=settings)
    yield Middleware(
        BodyGuard,
        max_bytes=int(settings.max_body_mb * 1_000_000),
        seconds=settings.body_seconds,
        own=[f"{BASE}/events", f"{BASE}/responses"],
        max_stream_bytes=int(settings.max_stream_mb * 1_000_000),
    )


def _add_routes(app: FastAPI, alone: bool) -> None:
    app.include_router(health.router)
    app.include_router(queries.router)
    app.include_router(sql_routes.router)
    if alone:
        return
    for part in (auth, session_routes, token_routes, recovery, oidc):
        app.include_router(part.router, include_in_schema=False)
    app.include_router(token_routes.jwks_router)
    base = APIRouter(prefix=BASE)
    base.include_router(session_routes.users_router)
    base.include_router(recovery.admin_router)
    parts = (
        *_ACCOUNT_ROOMS,
        directory,
        quizzes,
        responses,
        events,
        event_types,
        letters,
        reports,
        live,
        admin,
        audit,
        privacy,
        erasure_routes,
        keys,
        archive,
    )
    for part in parts:
        base.include_router(part.router)
    app.include_router(base)
    app.router.routes.extend(live.socket_routes)
    app.include_router(pages.router)
    app.mount("/web", StaticFiles(directory=_WEB), name="web")
    app.add_api_route("/", _landing, include_in_schema=False)


async def _landing() -> FileResponse:
    return FileResponse(_WEB / "index.html")


def check_access(app: FastAPI) -> None:
    """Raises `StartupError` for a route without an access rule: what nobody thought of stays closed."""
    for route in iter_route_contexts(app.routes):
        path = route.path or ""
        if path not in PUBLIC and not has_rule(getattr(route, "dependant", None)):
            raise StartupError(f"{path} has no access rule.", hint="Depend on require(…), or name it in PUBLIC.")


def _lifespan(settings: Settings, stores: Stores | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                catalog = load_catalog(settings.models_dir)
                foundation = await stack.enter_async_context(_foundation(settings, stores))
                app.state.services = await stack.enter_async_context(_joined(foundation, catalog))
                if url := getattr(app.state, "url", None):
                    foundation.folder.note(url=url)
            except Exception as error:
                app.state.failure = error
                raise
            yield
            log.info("stopping")

    return lifespan


@asynccontextmanager
async def started(app: FastAPI) -> AsyncIterator[FastAPI]:
    """The application with its lifespan running, without a server."""
    async with app.router.lifespan_context(app):
        yield app


@asynccontextmanager
async def _foundation(settings: Settings, stores: Stores | None) -> AsyncIterator[Foundation]:
    if stores is not None:
        yield Foundation(settings, stores.warehouse, stores.secret_key, stores.folder, stores.postgres)
    elif is_layer_alone(settings):
        async with _alone(settings) as foundation:
            yield foundation
    else:
        async with open_stores(settings) as opened:
            yield Foundation(settings, opened.warehouse, opened.secret_key, opened.folder, opened.postgres)


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator[Foundation]:
    folder = DataFolder(settings.data_dir)
    folder.hold()
    try:
        warehouse = await open_warehouse(settings, folder)
        try:
            yield Foundation(settings, warehouse, secret_key(settings, folder), folder, None)
        finally:
            warehouse.close()
    finally:
        folder.release()


@asynccontextmanager
async def _joined(foundation: Foundation, catalog: Catalog) -> AsyncIterator[Services]:
    settings = foundation.settings
    loader = Loader(foundation.record, foundation.warehouse, settings) if foundation.record else None
    version = (lambda: loader.data_version if loader.leads else None) if loader and runs_loader(settings) else None
    engine = Engine(catalog, Executor(foundation.warehouse, catalog, settings, version), settings)
    tokens = Tokens(foundation.secret, timedelta(minutes=settings.access_token_minutes))
    bell = Bell(settings.valkey_url.get_secret_value() if settings.valkey_url else None)
    revocations = Revocations(foundation.record, bell) if foundation.record else None
    pseudonym_key = derive(foundation.secret, "eduanalytics pseudonyms", 16).hex()
    windows, attempts = open_windows(settings), open_attempts(settings)
    services = Services(
        settings=settings,
        rates=Rates(settings, windows),
        throttle=Throttle(attempts),
        tokens=tokens,
        identities=Identities(foundation.record, revocations, pseudonym_key),
        warehouse=foundation.warehouse,
        catalog=catalog,
        engine=engine,
        reports=Reports(load_reports(settings.models_dir / "reports"), engine),
    )
    try:
        if foundation.record is None or loader is None or revocations is None:
            yield services
            return
        keys = Keys(foundation.record, tokens, Sealer(foundation.secret, KEYS_PURPOSE))
        sessions = Sessions(settings, foundation.record, tokens, revocations, foundation.secret)
        async with Watch(keys, revocations, bell), _fed(services, foundation.record, loader, sessions, keys):
            yield services
    finally:
        await windows.close()
        await attempts.close()


def runs_loader(settings: Settings) -> bool:
    """Whether this process brings rows to ClickHouse; by default where ClickHouse is in this process."""
    return settings.embedded_warehouse if settings.loader is None else settings.loader


@asynccontextmanager
async def _fed(
    services: Services, record: Postgres, loader: Loader, sessions: Sessions, keys: Keys
) -> AsyncIterator[None]:
    settings = services.settings
    async with AsyncExitStack() as stack:
        services.audit = await stack.enter_async_context(AuditLog(record))
        if runs_loader(settings):
            await stack.enter_async_context(_running(loader))
            await stack.enter_async_context(_running(Housekeeping(record, services.warehouse, settings, loader)))
        writer = await stack.enter_async_context(Writer(record, settings, loader.wake))
        accounts = Accounts(settings, record, services.identities, Passwords(), sessions)
        service_tokens = ServiceTokens(record, services.tokens, sessions.revocations)
        services.record = record
        services.gauges = Gauges(record, services.warehouse)
        postman = Postman(settings, record, carrier(settings), sessions.secret)
        await stack.enter_async_context(_running(postman))
        await stack.enter_async_context(_running(Pruning(record, settings.letter_days)))
        services.fed = Fed(
            accounts=accounts,
            service_tokens=service_tokens,
            keys=keys,
            acceptor=Acceptor(record, writer),
            writer=writer,
            loader=loader,
            postman=postman,
            school_logins=SchoolLogins(record, accounts, issuers(settings), Sealer(sessions.secret, FLOW_PURPOSE)),
        )
        person = partial(authenticate_person, services)
        door = live_door(settings, record, person, writer, services.audit, services.engine)
        sessions.revocations.listeners.append(door.hub.expel)
        services.extra = {"live": door}
        await stack.enter_async_context(door.hub)
        yield


@asynccontextmanager
async def _running(part: Loader | Housekeeping | Postman | Pruning) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(part.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task

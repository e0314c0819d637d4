"""The composition root: builds everything, starts it in order, stops it in reverse.

Start: services, data port, control port last, so that nobody talks to a half-built daemon. Stop,
on SIGTERM or SIGINT: the ports drain first, while the services still work for them. The journal is
last, for services that are cancelled end what they have begun.
"""

import errno
import faulthandler
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import structlog
import trio
from quart_trio import QuartTrio

from supernode import notify
from supernode.api import asyncapi
from supernode.api.app import create_app
from supernode.api.call_systems import CallSystems
from supernode.api.console.page import Console
from supernode.api.dfget_1_0 import protocol as dfget_1_0
from supernode.api.docs import Docs
from supernode.api.errors import explain
from supernode.api.event_json import text
from supernode.api.event_log import log_event
from supernode.api.events import add_events, opener
from supernode.api.health import Check, Finding, working
from supernode.api.hot import HotTable
from supernode.api.metrics import MetricsPage, metrics_of
from supernode.api.operations import Operation
from supernode.api.rest import Rest, SeedAddress
from supernode.api.routes import routes
from supernode.api.traffic import Traffic
from supernode.api.watching import Watching
from supernode.clock import Clock
from supernode.config import contacting, registries
from supernode.config.errors import ConfigError
from supernode.config.settings import Config
from supernode.config.tls import server_context
from supernode.core.identity import TaskId
from supernode.core.model import Limits
from supernode.core.tracker import Tracker
from supernode.daemon_events import DaemonStarted, DaemonToldToStop
from supernode.dispatch import Dispatcher
from supernode.exchange import Responder
from supernode.feed import Feed
from supernode.metrics.metrics import Metrics
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy
from supernode.recording.dumps import STALLED, Dumps
from supernode.registry.client import Registries
from supernode.services import heartbeat
from supernode.services.blob_access import BlobAccess
from supernode.services.cdn import Cdn
from supernode.services.copying import Copying
from supernode.services.disk_probing import DiskProbing
from supernode.services.dumping import Dumping
from supernode.services.eviction import Eviction
from supernode.services.expiry import Expiry
from supernode.services.inspection import Inspector
from supernode.services.journaling import Journaling
from supernode.services.preheating import Preheating
from supernode.services.recalling import recall
from supernode.services.repairing import Repair
from supernode.services.resolving import Resolving
from supernode.services.restoration import Restoration
from supernode.services.revalidation import Revalidation
from supernode.services.seed_checks import SeedChecks
from supernode.services.spot_checks import SpotChecks
from supernode.services.surveying import Surveying
from supernode.services.watchdog import Watchdog
from supernode.storage.piece_files import PieceStore
from supernode.supervision import RestartPolicy, Service, outlasting, supervise
from supernode.version import VERSION
from supernode.wire import sockets
from supernode.wire.data_port import DataPort
from supernode.wire.front import Front
from supernode.wire.websocket import Routes

SHUTDOWN_MARGIN = 5.0
"""How much longer than the drain a shutdown may take, in seconds, before it is forced."""

SWITCH_SECONDS = 0.0005
"""How long the event loop may keep the interpreter from a thread that digests or writes a piece.

Python's own 5 ms, several times a piece, would make the fetch crawl whenever the loop is busy."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class CoreBroken(Exception):
    """The core failed in a way it must not; only a fresh start helps."""

    def __init__(self) -> None:
        super().__init__("the core has a defect; the log says more")


async def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Raises:
        ConfigError: a setting cannot be used.
        OSError: a port is taken, or the state directory cannot be made.
        JournalError: the journal cannot be used.
        ServiceGaveUp: a service crashed too often; in a group.
        CoreBroken: see there; in a group.
        InvariantError: the same, seen by a service; in a group.
    """
    _raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_SECONDS)
    with ExitStack() as at_the_end, ExitStack() as until_told:
        stop = trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT)
        signals = until_told.enter_context(stop)
        repo = config.disk.state_dir / "repo"
        _make_writable(repo)
        control, data, sockets_are = await _listeners(config)
        seed = SeedAddress(
            ip=config.data.advertise_ip,
            port=config.data.advertise_port or sockets.port_of(data),
        )
        own = [(seed.ip, seed.port), *map(sockets.address_of, [*control, *data])]
        policy = contacting.policy(config, own)
        clock, store = Clock.started_now(), PieceStore(repo)
        recalled = await recall(config.disk.state_dir / "supernode.db", _limits(config), clock)
        at_the_end.callback(recalled.journal.close)
        feed = Feed(recalled.seq)
        feed.listen(log_event)
        chance = random.Random()  # noqa: S311 - it spreads load, it guards nothing
        dispatch = Dispatcher(Tracker(recalled.state), feed, clock, chance)
        journaling = Journaling(dispatch, recalled, boot=store.boot_id, shown=text)
        responder = Responder(feed, clock, explain, journaling)
        origin, asked = (contacting.origin_client(config, policy) for _ in range(2))
        images = Registries(asked, registries.known_registries(config.registries))
        surveying = Surveying(dispatch, asked, images)
        metrics = metrics_of(dispatch)
        probing = DiskProbing(repo)
        checks: dict[str, Check] = {
            "disk": lambda: working(probing.trouble),
            "journal": lambda: working(journaling.trouble),
            "serving": lambda: working("it is about to stop" if responder.is_closing else ""),
            "sockets": lambda: Finding(sockets_are),
        }
        operations = _operations(
            config, dispatch, seed, policy, images, surveying, metrics, store, checks
        )
        watching = Watching(feed, journaling)
        app = create_app(
            operations, responder, requests=metrics.requests, largest_body=config.http.max_body
        )
        add_events(app, watching, heartbeat=config.http.idle_timeout / 3)
        front = _front(
            config,
            control,
            app,
            hot=HotTable(operations, responder, metrics.requests),
            streams=partial(opener, watching),
            hosts={*config.http.hosts, *await sockets.own_names()},
        )
        data_port = _data_port(config, data, store)
        longest_shutdown = config.http.drain_timeout + SHUTDOWN_MARGIN
        async with (
            origin,
            asked,
            outlasting("journaling", journaling.run, RestartPolicy()),
            trio.open_nursery() as root,
        ):
            root.start_soon(_death_watch, longest_shutdown)
            root.start_soon(_fail_when_broken, dispatch)
            services = _services(
                config,
                dispatch,
                store,
                origin,
                policy,
                images,
                recalled.boots,
                journaling.settled,
            )
            services["surveying"] = surveying.run
            services["disk probing"] = probing.run
            if await _started(root, services, signals):
                async with trio.open_nursery() as ports:
                    await ports.start(data_port.run)
                    await ports.start(front.run)
                    port = sockets.port_of(control)
                    log.info(
                        "serving",
                        control_port=port,
                        data_port=sockets.port_of(data) if data else None,
                        advertised=f"{seed.ip} port {seed.port}",
                        state=str(repo.parent),
                        version=VERSION,
                    )
                    feed.publish([DaemonStarted(at=clock.now(), version=VERSION)])
                    await notify.ready(f"serving on port {port}")
                    await anext(signals)
                    until_told.close()  # a second signal ends the process as it would any other
                    _force_end_after(longest_shutdown)
                    log.info("draining", seconds=config.http.drain_timeout)
                    feed.publish([DaemonToldToStop(at=clock.now())])
                    responder.close()
                    feed.close()
                    front.shut()
                    data_port.shut()
                    await notify.stopping("draining")
            root.cancel_scope.cancel("shutdown")
    faulthandler.cancel_dump_traceback_later()
    log.info("stopped")


def _make_writable(directory: Path) -> None:
    """Make a directory unless it is there.

    Raises:
        OSError: it cannot be made, or nothing can be written into it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        log.warning("the disk is full", directory=str(directory))


def _services(
    config: Config,
    dispatch: Dispatcher,
    store: PieceStore,
    origin: OriginClient,
    policy: OriginPolicy,
    images: Registries,
    boots: Mapping[TaskId, str],
    settled: Callable[[], Awaitable[None]],
) -> dict[str, Service]:
    """Return the services by name, in the order in which they start."""
    cdn = Cdn(
        dispatch,
        store,
        origin,
        most_fetches=config.origin.max_connections,
        most_per_origin=config.origin.max_connections_per_origin,
        headers_for=BlobAccess(dispatch.tracker, images).headers_for,
    )
    preheating = Preheating(dispatch, Resolving(dispatch, images), Copying(dispatch, store))
    disk = config.disk
    eviction = Eviction(dispatch, store, settled, high=disk.high, low=disk.low)
    dumping = Dumping(dispatch, Dumps(config.disk.state_dir))
    repair = Repair(dispatch, origin)
    return {
        "dumping": dumping.run,
        "watchdog": Watchdog(partial(dumping.dump, STALLED)).run,
        "heartbeat": heartbeat.run,
        "restoration": Restoration(dispatch, store, repair, boots).run,
        "eviction": eviction.run,
        "cdn": cdn.run,
        "revalidation": Revalidation(dispatch, origin).run,
        "preheating": preheating.run,
        "inspection": Inspector(dispatch, policy).run,
        "spot checks": SpotChecks(dispatch, policy).run,
        "seed checks": SeedChecks(dispatch, store, repair).run,
        "expiry": Expiry(dispatch).run,
    }


async def _started(
    root: trio.Nursery, services: dict[str, Service], signals: AsyncIterator[int]
) -> bool:
    """Start the services, each when the one before is ready; tell whether nobody said to stop."""
    told = trio.Event()

    async def stop_when_told() -> None:
        await anext(signals)
        told.set()
        starting.cancel_scope.cancel("told to stop")

    async with trio.open_nursery() as starting:
        starting.start_soon(stop_when_told)
        for name, service in services.items():
            await root.start(partial(supervise, name, service, RestartPolicy()), name=name)
        starting.cancel_scope.cancel("started")
    return not told.is_set()


def _limits(config: Config) -> Limits:
    return Limits(
        seed_slots=config.scheduler.seed_slots,
        peer_slots=config.scheduler.peer_slots,
        peer_ttl=config.peers.ttl,
        silent_after=config.peers.ttl / 2,
        seen_every=min(30.0, config.peers.ttl / 10),
        preheat_keep=config.preheat.keep,
    )


def _operations(
    config: Config,
    dispatch: Dispatcher,
    seed: SeedAddress,
    policy: OriginPolicy,
    images: Registries,
    surveying: Surveying,
    metrics: Metrics,
    store: PieceStore,
    checks: Mapping[str, Check],
) -> list[Operation]:
    clients, traffic = config.clients, Traffic()
    dispatch.feed.listen(traffic.note)
    call_systems = CallSystems(clients.allow_call_systems, clients.deny_call_systems)
    rest = Rest(
        dispatch,
        seed,
        call_systems=call_systems,
        forbidden=policy.forbids_url,
        parse_image=images.parse,
        survey=surveying.begin,
        traffic=traffic,
        disk=lambda: store.last_disk_use,
        checks=checks,
    )
    specified = [*routes(rest), asyncapi.operation(VERSION)]
    dialect = dfget_1_0.operations(
        dispatch,
        seed,
        call_systems=call_systems,
        abort_without_credentials=clients.without_credentials == "abort",
        metrics=metrics.clients,
    )
    pages = Docs(specified, VERSION), MetricsPage(metrics), Console()
    return [*specified, *dialect, *(of_it for page in pages for of_it in page.operations())]


def _front(
    config: Config,
    listeners: list[trio.SocketListener],
    app: QuartTrio,
    *,
    hot: HotTable,
    streams: Routes,
    hosts: Collection[str],
) -> Front:
    http = config.http
    return Front(
        listeners,
        app,
        hot=hot,
        max_connections=http.max_connections,
        max_connections_per_client=http.max_connections_per_client,
        max_header=http.max_header,
        write_timeout=http.write_timeout,
        drain_timeout=http.drain_timeout,
        idle_timeout=http.idle_timeout,
        hosts=hosts,
        ssl_context=server_context(http),
        streams=streams,
    )


def _data_port(config: Config, listeners: list[trio.SocketListener], store: PieceStore) -> DataPort:
    http = config.http
    return DataPort(
        listeners,
        store.find,
        max_connections=http.max_connections,
        max_connections_per_client=http.max_connections_per_client,
        stall_timeout=http.write_timeout,
        idle_timeout=http.idle_timeout,
        drain_timeout=http.drain_timeout,
    )


def _raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets us: the usual soft limit is for shells."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _listeners(
    config: Config,
) -> tuple[list[trio.SocketListener], list[trio.SocketListener], str]:
    """Return the listeners of the control port and of the data port, and whose they are."""
    try:
        passed = sockets.inherited(os.environ)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    control = passed["control"] or await sockets.opened(config.http.host, config.http.port)
    data = passed["data"]
    if not data and config.data.port:
        data = await sockets.opened(config.http.host, config.data.port)
    handed = [name for name, listeners in passed.items() if listeners]
    whose = f"{' and '.join(handed)} passed on" if handed else "opened by this process"
    return control, data, whose


async def _fail_when_broken(dispatch: Dispatcher) -> None:
    await dispatch.broken.wait()
    raise CoreBroken


async def _death_watch(seconds: float) -> None:
    """Bound the shutdown also when an error is what brings the daemon down."""
    try:
        await trio.sleep_forever()
    finally:
        _force_end_after(seconds)


def _force_end_after(seconds: float) -> None:
    """End the process, with every stack on stderr, should it still live then."""
    faulthandler.dump_traceback_later(seconds, exit=True)

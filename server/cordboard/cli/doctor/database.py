"""What `cordboard doctor` tells of a store that is a PostgreSQL database."""

from __future__ import annotations

import anyio.to_thread

from cordboard.app import App, build, seal_key
from cordboard.cli.doctor.contents import about_contents, about_writing
from cordboard.cli.doctor.finding import Finding, line
from cordboard.clock import system_clock
from cordboard.config import Settings
from cordboard.config.postgres import without_password
from cordboard.errors import CordboardError, StoreUnavailable
from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.postgres import faults
from cordboard.stores.postgres.connecting import Connections
from cordboard.stores.postgres.operating import Examined, examine
from cordboard.stores.postgres.transaction import wrong_schema

_OLDEST = 150000
_UTF8 = ("UTF8", "")
_SOCKETS = ("/", "@")
_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8 AS clock"
_APART_SECONDS = 2.0
_REMEDIES = (
    ("user or the password", "Check the user, and the password in ~/.pgpass or PGPASSWORD."),
    ("no such user", "Make the user (`createuser`), or correct CORDBOARD_DATABASE."),
    ("no database of that name", "Make it (`createdb`), or correct CORDBOARD_DATABASE."),
    ("pg_hba", "Have its pg_hba.conf let this user in from here, or ask for TLS by sslmode."),
    ("TLS", "Check sslmode and sslrootcert in CORDBOARD_DATABASE, and the server's certificate."),
    ("host name", "Check the host in CORDBOARD_DATABASE."),
    ("starting or stopping", "Wait until it is up."),
    ("reached", "Check host and port, and that PostgreSQL runs there and listens to this machine."),
    ("connections", "Raise its max_connections, put a pooler before it, or end what holds them."),
    ("takes no writes", "Name the primary; or every host, and target_session_attrs=read-write."),
    ("may not do that", "Grant this user the rights that Cordboard's README lists."),
    ("disk is full", "Make room on the server's disk."),
    ("too long", "Look in pg_stat_activity what holds it up."),
    ("", "The server's log tells more."),
)


async def about_database(settings: Settings) -> list[Finding]:
    """Whether it can be reached, is set up well and writable, and what stands in it. Makes none."""
    try:
        examined = await anyio.to_thread.run_sync(examine, settings.postgres)
    except CordboardError as exc:
        return [_wrong("store", exc)]
    found = [
        Finding("store", line(settings.place)),
        _about_engine(examined),
        *_about_encoding(examined),
        _about_way(examined),
        _about_durability(examined),
    ]
    if examined.schema != SCHEMA_VERSION:
        return [*found, _wrong("schema", wrong_schema(examined.schema, settings.place))]
    found += [
        Finding("schema", str(examined.schema)),
        await anyio.to_thread.run_sync(_about_clock, settings),
        _about_remembering(settings.remember_seconds),
        _about_rights(examined, settings.read_only),
    ]
    if settings.replica:
        found.append(await _about_replica(settings, examined))
    app = build(settings)
    try:
        return found + await _about_use(app, examined)
    finally:
        await app.store.close()


async def _about_use(app: App, examined: Examined) -> list[Finding]:
    found = [_about_key(app.settings)]
    if not app.settings.read_only:
        try:
            found.append(await about_writing(app))
        except CordboardError as exc:
            found.append(_wrong("writable", exc))
    elif examined.standby:
        found.append(Finding("standby", "yes: it takes no writes"))
    try:
        found += await about_contents(app)
    except CordboardError as exc:
        found.append(_wrong("contents", exc))
    return found


def _wrong(name: str, exc: CordboardError) -> Finding:
    """A refusal as a finding, with a remedy that does not send the reader to the doctor."""
    remedy = exc.remedy
    if remedy == StoreUnavailable.default_remedy:
        why = exc.what.rpartition("cannot be used: ")[2]
        remedy = next(remedy for sign, remedy in _REMEDIES if sign in why)
    return Finding(name, line(exc.what), ok=False, remedy=line(remedy))


def _about_engine(examined: Examined) -> Finding:
    told = line(examined.engine)
    if 0 < examined.number < _OLDEST:
        remedy = "Cordboard is made for PostgreSQL 15 and newer: update the server."
        return Finding("engine", told, ok=False, remedy=remedy)
    return Finding("engine", told)


def _about_encoding(examined: Examined) -> list[Finding]:
    """Told only where it is wrong."""
    if examined.server_encoding in _UTF8:
        return []
    remedy = "Make a database with `createdb --encoding UTF8 --template template0 NAME`."
    told = f"{line(examined.server_encoding)} cannot hold every name and label"
    return [Finding("encoding", told, ok=False, remedy=remedy)]


def _about_way(examined: Examined) -> Finding:
    """Whether others on the network could read along, or stand in for the server."""
    if examined.encrypted:
        if examined.is_checked:
            return Finding("connection", "TLS, and the server's name is checked")
        remedy = "sslmode=verify-full in CORDBOARD_DATABASE checks that it is this server."
        return Finding("connection", "TLS; who answers is not checked", remedy=remedy)
    if examined.host in ("localhost", "127.0.0.1", "::1") or examined.host.startswith(_SOCKETS):
        return Finding("connection", "on this machine")
    remedy = "Ask for TLS by sslmode=verify-full in CORDBOARD_DATABASE."
    return Finding("connection", "not encrypted: the network can read along", remedy=remedy)


def _about_durability(examined: Examined) -> Finding:
    """What is certain of a change once it was reported as done."""
    if examined.fsync == "off":
        told = "no: fsync is off, and a power cut can lose changes or damage the whole database"
        remedy = "Set fsync = on in postgresql.conf."
        return Finding("durability", told, ok=False, remedy=remedy)
    level, standbys = examined.synchronous_commit, line(examined.synchronous_standby_names)
    if level == "off":
        told = "no: synchronous_commit is off, and a crash can lose the newest changes"
        remedy = "Set synchronous_commit = on for this user or database."
        return Finding("durability", told, ok=False, remedy=remedy)
    if not standbys or level == "local":
        told = "on the server's own disk; no standby has to have them (synchronous_standby_names)"
        return Finding("durability", f"yes: {told}")
    where = {
        "remote_write": f"on the server's disk, and received by standbys ({standbys})",
        "remote_apply": f"on the disks of server and standbys ({standbys}), and readable there",
    }.get(level, f"on the disks of server and standbys ({standbys})")
    return Finding("durability", f"yes: {where}")


def _about_remembering(seconds: float) -> Finding:
    if not seconds:
        return Finding("look-ups", "asked of the database every time (remember_seconds is 0)")
    told = f"at most {seconds * 1000:g} ms older than the newest change anywhere"
    return Finding("look-ups", f"{told} (remember_seconds)")


def _about_clock(settings: Settings) -> Finding:
    """The store never asks this clock; but it is one that every server can be compared with."""
    connections = Connections(settings.postgres)
    try:
        with faults.told(connections.place), connections.direct() as connection:
            begun = system_clock().timestamp()
            row = connection.execute(_CLOCK).fetchone()
            ended = system_clock().timestamp()
    except CordboardError as exc:
        return _wrong("clock", exc)
    there = row["clock"] if row else begun
    apart = max(there - ended, 0.0) or min(there - begun, 0.0)
    if abs(apart) <= _APART_SECONDS:
        return Finding("clock", "the database's is as this machine's")
    which = "ahead of" if apart > 0 else "behind"
    found = f"the database's is {abs(apart):,.0f} seconds {which} this machine's"
    remedy = "Keep the clocks of all machines synchronised (NTP): leases and waits go by them."
    return Finding("clock", found, ok=False, remedy=remedy)


async def _about_replica(settings: Settings, primary: Examined) -> Finding:
    place = line(without_password(settings.replica))
    try:
        examined = await anyio.to_thread.run_sync(examine, settings.replica)
    except CordboardError as exc:
        return _wrong("replica", exc)
    if examined.schema != SCHEMA_VERSION:
        return _wrong("replica", wrong_schema(examined.schema, place))
    if not examined.standby:
        found, remedy = f"{place} is no standby", "Name a streaming replica in CORDBOARD_REPLICA."
        return Finding("replica", found, ok=False, remedy=remedy)
    if examined.system != primary.system and examined.system and primary.system:
        found, remedy = f"{place} is a standby of another server", "Name one of this database's."
        return Finding("replica", found, ok=False, remedy=remedy)
    if not settings.remember_seconds:
        found = (
            f"{place} is there, but no look-up may be as old as its data (remember_seconds is 0)"
        )
        return Finding("replica", found)
    return Finding("replica", f"{place} answers look-ups where it is fresh enough")


def _about_rights(examined: Examined, read_only: bool) -> Finding:
    lacking = [one for one in examined.lacking if not read_only or one.startswith("SELECT")]
    if not lacking:
        return Finding("rights", "as they must be")
    remedy = f"As the owner of the tables: {'; '.join(f'GRANT {one} TO …' for one in lacking)}."
    return Finding("rights", f"this user lacks {', '.join(lacking)}", ok=False, remedy=remedy)


def _about_key(settings: Settings) -> Finding:
    """It seals cursors and questions for every server on the database."""
    try:
        seal_key(settings)
    except CordboardError as exc:
        return _wrong("key", exc)
    return Finding("key", "in the database, one for all servers on it")

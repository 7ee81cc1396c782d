"""`cordboard migrate`: the schema of a PostgreSQL database, brought forward by command."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.text import Text

from cordboard import logs
from cordboard.cli.session import console
from cordboard.config import Settings, load
from cordboard.errors import ReadOnly
from cordboard.stores import SCHEMA_VERSION

_BY_ITSELF = (
    "A SQLite file is brought to this program's schema by whatever opens it: nothing to do."
)


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(migrate)


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only tell whether something is to be done: 1 if so.")
    ] = False,
) -> int:
    """Bring a PostgreSQL database to this program's schema; make its tables where there are none.

    All or nothing: if it is interrupted, the database is as it was.
    """
    logs.configure(logging.ERROR)
    settings = load()
    if not settings.postgres:
        console.print(_BY_ITSELF)
        return 0
    return _checked(settings) if check else _migrated(settings)


def _checked(settings: Settings) -> int:
    """Raises: StoreUnavailable for a newer schema than this program's."""
    from cordboard.stores.postgres.operating import schema_of
    from cordboard.stores.postgres.transaction import wrong_schema

    found = schema_of(settings.postgres)
    if found == SCHEMA_VERSION:
        return _said(f"{settings.place} has schema {found}: nothing to do.")
    if found > SCHEMA_VERSION:
        raise wrong_schema(found, settings.place)
    has = f"has schema {found}" if found else "has no tables of Cordboard's"
    _said(f"{settings.place} {has}: `cordboard migrate` brings it to schema {SCHEMA_VERSION}.")
    return 1


def _migrated(settings: Settings) -> int:
    if settings.read_only:
        raise ReadOnly("This process is read-only, and a migration changes the database.")
    from cordboard.stores.postgres.operating import bring_up

    was, now = bring_up(settings.postgres)
    if was == now:
        return _said(f"{settings.place} has schema {now}: nothing to do.")
    done = f"was brought from schema {was} to {now}" if was else f"has its tables now, schema {now}"
    return _said(f"{settings.place} {done}.")


def _said(text: str) -> int:
    console.print(Text(text))
    return 0

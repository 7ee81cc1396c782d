"""The secret that every server on one database seals request state and cursors with.

Who can read it can forge those, and can also read everything else in the database; approvals are
not made with it.
"""

from __future__ import annotations

import secrets
from contextlib import suppress

from cordboard.errors import StoreUnavailable
from cordboard.keys import KEY_BYTES
from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.postgres.committing import committed
from cordboard.stores.postgres.connecting import Connections
from cordboard.stores.postgres.faults import told
from cordboard.stores.postgres.migrating import version
from cordboard.stores.postgres.statements import STATEMENTS
from cordboard.stores.postgres.transaction import Rows, wrong_schema

_OF_ALL = {"account": ""}


def load_shared_key(url: str) -> bytes:
    """The 32-byte key in the database, made at first use. Raises: StoreUnavailable."""
    connections = Connections(url)
    with told(connections.place), connections.direct() as connection:
        found = version(connection)
        if found != SCHEMA_VERSION:
            raise wrong_schema(found, connections.place)
        fresh = _OF_ALL | {"key": secrets.token_bytes(KEY_BYTES).hex()}
        key = found_key(connection)
        if not key:
            with committed(connection):
                connection.execute(STATEMENTS["seal_key_add"], fresh)  # of two at once, one stays
            key = found_key(connection)
    return key


def found_key(connection: Rows) -> bytes:
    """The key in the database; b"" where none was made. Raises: StoreUnavailable."""
    row = connection.execute(STATEMENTS["seal_key_get"], _OF_ALL).fetchone()
    if row is None:
        return b""
    with suppress(ValueError):
        key = bytes.fromhex(row["sealed_with"])
        if len(key) == KEY_BYTES:
            return key
    raise StoreUnavailable(
        f"The key in the database {connection.info.dbname} is damaged.",
        "Delete the row of seal_key: a new one is made, and open questions become invalid.",
    )


def keep_key(connection: Rows, key: bytes) -> None:
    """Keep this key in place of any other. Within a transaction."""
    connection.execute("DELETE FROM seal_key WHERE account = %(account)s", _OF_ALL)
    connection.execute(STATEMENTS["seal_key_add"], _OF_ALL | {"key": key.hex()})

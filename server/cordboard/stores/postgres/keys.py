"""The secret that every server on one database seals request state and cursors with.

Who can read it can forge those, and can also read everything else in the database; approvals are
not made with it.
"""

from __future__ import annotations

import secrets

from cordboard.errors import StoreUnavailable
from cordboard.keys import KEY_BYTES
from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.postgres.connecting import Connections
from cordboard.stores.postgres.faults import told
from cordboard.stores.postgres.migrating import version
from cordboard.stores.postgres.statements import STATEMENTS
from cordboard.stores.postgres.transaction import wrong_schema

_OF_ALL = {"account": ""}


def load_shared_key(url: str) -> bytes:
    """The 32-byte key in the database, made at first use. Raises: StoreUnavailable."""
    connections = Connections(url)
    with told(connections.place), connections.direct() as connection:
        found = version(connection)
        if found != SCHEMA_VERSION:
            raise wrong_schema(found, connections.place)
        fresh = _OF_ALL | {"key": secrets.token_bytes(KEY_BYTES).hex()}
        row = connection.execute(STATEMENTS["seal_key_get"], _OF_ALL).fetchone()
        if row is None:
            connection.execute(STATEMENTS["seal_key_add"], fresh)  # of two at once, one stays
            row = connection.execute(STATEMENTS["seal_key_get"], _OF_ALL).fetchone()
    try:
        key = bytes.fromhex(row["sealed_with"]) if row else b""
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreUnavailable(
            "The key in the database is damaged.",
            "Delete the row of seal_key: a new one is made, and open questions become invalid.",
        )
    return key

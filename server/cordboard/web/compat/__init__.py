"""The REST of the vendors whose pages the project began with, on the local platform.

Each vendor's paths, headers, bodies and answers stand beneath a base of their own, so that a
client of theirs works here when its address is changed: `/compat/bland`, `/compat/unleashx`,
`/compat/synthflow/v2`. A vendor's id of an agent is the local agent's id without `local:`.

Every change is planned, guarded and journalled like any other. What no vendor has is told in the
vendor's own shape: a token without the right to approve gets 403 with the plan to be approved.
Stricter than the vendors: unknown fields, wrong types and duplicates are refused.
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from cordboard.web.compat import bland, synthflow, unleashx
from cordboard.web.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """The three vendors' routes."""
    return [bland.mounted(site), synthflow.mounted(site), unleashx.mounted(site)]

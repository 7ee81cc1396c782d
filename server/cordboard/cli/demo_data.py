"""What the demo imports: the examples of the three vendors' own pages, in `cordboard import`'s form."""

from __future__ import annotations

from typing import Any


def _number(number: str, provider: str, label: str, purpose: str, **more: Any) -> dict[str, Any]:
    return {"number": number, "provider": provider, "label": label, "purpose": purpose} | more


SEEDS: dict[str, list[Any]] = {
    "providers": ["twilio", "exotel", "telnyx", "vonage", "plivo", "bandwidth"],
    "agents": [
        {"id": "support", "name": "Support Agent", "direction": "inbound"},
        {"id": "sales", "name": "Sales Agent", "direction": "inbound"},
        {"id": "campaign", "name": "Spring Campaign", "direction": "outbound"},
        {"id": "follow-up", "name": "Follow-up Calls", "direction": "outbound"},
    ],
    "numbers": [
        _number("+14155551234", "twilio", "Support Line", "PRODUCTION"),
        _number("+14155555678", "twilio", "", "PRODUCTION"),
        _number("+16286666348", "telnyx", "Pool One", "TEST", slug="16286666348"),
        _number("+12131231214", "telnyx", "Pool Two", "TEST", slug="1231242151"),
        _number("+918062810341", "exotel", "India", "PRODUCTION"),
        _number("+12025551234", "twilio", "United States", "PRODUCTION"),
        _number("+442012345678", "vonage", "United Kingdom", "PRODUCTION", tags=["protected"]),
        _number("+61212345678", "vonage", "Australia", "PRODUCTION"),
        _number("+14165551234", "bandwidth", "Canada", "PRODUCTION"),
        _number("+6512345678", "plivo", "Singapore", "PRODUCTION"),
        _number("+971501234567", "plivo", "UAE", "PRODUCTION"),
    ],
    "pathways": [
        {
            "id": "pathway_abc123",
            "name": "Opening hours",
            "versions": [
                {"version": 1, "nodes": ["node_start"]},
                {"version": 2, "nodes": ["node_start", "node_xyz"]},
            ],
        },
    ],
}

SUPPORT_LINE, SECOND_LINE = "+14155551234", "+14155555678"
POOL_ONE, POOL_TWO = "16286666348", "1231242151"
"""Slugs: a platform's opaque short names. The second is not its number's digits."""

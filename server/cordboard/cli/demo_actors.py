"""Who plays in the demo: the person at the client, the program itself, and what it answers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitResult

SECONDS = 30.0
"""The longest anything here may take before the demo calls it broken."""


class StoryBroken(Exception):
    """A step did not do what the story says."""


def check(true: bool, claim: str) -> None:
    """Raises: StoryBroken with the claim that does not hold."""
    if not true:
        raise StoryBroken(f"it is not so that {claim}.")


@dataclass
class Person:
    """The one at the client: reads every question, says yes."""

    read: list[str] = field(default_factory=list[str])

    async def __call__(self, context: object, params: Any) -> ElicitResult:
        del context
        check(isinstance(params, ElicitRequestFormParams), "Cordboard asks by a form")
        self.read.append(params.message)
        return ElicitResult(action="accept", content={"approve": True})


async def cordboard(environ: dict[str, str], *arguments: str) -> str:
    """What a command of the real program prints; it must succeed."""
    command = [sys.executable, "-m", "cordboard", *arguments]
    with anyio.fail_after(SECONDS):
        done = await anyio.run_process(command, env=environ, check=False)
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        cause = done.stderr.decode("utf-8", "replace").strip() or said
        raise StoryBroken(
            f"`cordboard {' '.join(arguments)}` ended with {done.returncode}: {cause}"
        )
    return said


@dataclass(frozen=True)
class Reply:
    """A tool's answer: its structured content, or the text of an error."""

    text: str
    data: dict[str, Any]
    is_error: bool

    def __getitem__(self, name: str) -> Any:
        if self.is_error:
            raise StoryBroken(f"Cordboard refused: {self.text}")
        return self.data[name]

    @property
    def extract(self) -> str:
        """Status and the first sentence of the message; two where nothing was done yet."""
        said = str(self["message"]).split(". ")
        waits = self["status"] == "confirmation_required"
        return f"{self['status']}: {'. '.join(said[: 1 + waits])}."


def reply_of(result: CallToolResult) -> Reply:
    """A tool's result, read."""
    text = " ".join(block.text for block in result.content if block.type == "text")
    return Reply(text, result.structured_content or {}, bool(result.is_error))

"""What the official MCP conformance exam calls by name: tools and prompts that answer every kind of
content, call back while they run, or ask first. For the exam only; each is a plain function.
"""

from __future__ import annotations

import base64
import json
from typing import Any, TypeVar

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
Ctx = Context[Any, Any]
Kind = TypeVar("Kind")
Asks = TextContent | InputRequiredResult


def simple_text() -> str:
    """Plain text."""
    return "This is a simple text response for testing."


def image_content() -> list[ImageContent]:
    """An image."""
    return [_image()]


def audio_content() -> list[AudioContent]:
    """A sound."""
    return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


def embedded_resource() -> list[EmbeddedResource]:
    """A resource within the answer."""
    return [_embedded("test://embedded-resource", "This is an embedded resource content.")]


def multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Text, an image and a resource."""
    data = json.dumps({"test": "data", "value": 123})
    mixed = _embedded("test://mixed-content-resource", data, "application/json")
    return [_text("Multiple content types test:"), _image(), mixed]


def error_handling() -> str:
    """Always fails."""
    raise ToolError("This tool intentionally returns an error for testing")


async def tool_with_logging(ctx: Ctx) -> str:
    """Sends three lines of log while it runs."""
    for line in ("started", "processing data", "completed"):
        await _log(ctx, f"Tool {line}")
        await anyio.sleep(0.05)
    return "Done, with a log."


async def logging_tool(ctx: Ctx) -> str:
    """Logs one line, for whoever asked for lines."""
    await _log(ctx, "One line.")
    return "Done."


async def tool_with_progress(ctx: Ctx) -> str:
    """Reports progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"{done} of 100")
        await anyio.sleep(0.05)
    return "Done, with progress."


async def sampling(prompt: str, ctx: Ctx) -> str:
    """Asks the client's model."""
    result = await ctx.session.send_request(_sample(prompt), CreateMessageResult)
    return f"LLM response: {_said(result)}"


async def elicitation(message: str, ctx: Ctx) -> str:
    """Asks the user for a name and an address."""
    text = {"type": "string", "description": "The user's answer"}
    return await _form(ctx, message, {"username": text, "email": text})


async def elicitation_sep1034_defaults(ctx: Ctx) -> str:
    """A form whose fields have defaults."""
    return await _form(ctx, "Please fill in", _DEFAULTS)


async def elicitation_sep1330_enums(ctx: Ctx) -> str:
    """A form with every kind of choice."""
    return await _form(ctx, "Please choose", _CHOICES)


async def missing_capability(ctx: Ctx) -> str:
    """Needs the client's model, and says so where it has none."""
    if not _can(ctx, "sampling"):
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This needs sampling.", needed)
    return "The client has a model."


async def input_required_result_elicitation(ctx: Ctx) -> Asks:
    """Asks for a name."""
    answer = _answer(ctx, "user_name", ElicitResult)
    if answer is None:
        return InputRequiredResult(input_requests={"user_name": _ask_name()})
    return _text(f"Hello, {(answer.content or {}).get('name')}!")


async def streaming_elicitation(ctx: Ctx) -> Asks:
    """Asks for a name, after progress."""
    await ctx.report_progress(1, 2)
    return await input_required_result_elicitation(ctx)


async def input_required_result_sampling(ctx: Ctx) -> Asks:
    """Asks the client's model, and waits for it to call again."""
    answer = _answer(ctx, "capital_question", CreateMessageResult)
    if answer is None:
        question = _sample("What is the capital of France?")
        return InputRequiredResult(input_requests={"capital_question": question})
    return _text(_said(answer))


async def input_required_result_list_roots(ctx: Ctx) -> Asks:
    """Asks for the roots."""
    answer = _answer(ctx, "client_roots", ListRootsResult)
    if answer is None:
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return _text(", ".join(str(root.uri) for root in answer.roots))


async def input_required_result_capabilities(ctx: Ctx) -> Asks:
    """Asks only what this client can answer."""
    asked: dict[str, InputRequest] = {}
    if _can(ctx, "elicitation"):
        asked["user_name"] = _ask_name()
    if _can(ctx, "sampling"):
        asked["greeting"] = _sample("Generate a greeting")
    if not asked or ctx.input_responses:
        return _text("Nothing more to ask.")
    return InputRequiredResult(input_requests=asked)


async def input_required_result_request_state(ctx: Ctx) -> Asks:
    """Asks, and keeps a state."""
    if ctx.request_state is None or _answer(ctx, "confirm", ElicitResult) is None:
        question = _ask("Please confirm", {"ok": {"type": "boolean"}})
        return InputRequiredResult(input_requests={"confirm": question}, request_state="asked")
    if ctx.request_state != "asked":
        raise MCPError(INVALID_PARAMS, "That is not the state of this question.")
    return _text("state-ok")


async def input_required_result_multiple_inputs(ctx: Ctx) -> Asks:
    """Asks three things at once."""
    asked: dict[str, InputRequest] = {
        "user_name": _ask_name(),
        "greeting": _sample("Generate a greeting"),
        "client_roots": ListRootsRequest(),
    }
    if ctx.request_state is None or not asked.keys() <= (ctx.input_responses or {}).keys():
        return InputRequiredResult(input_requests=asked, request_state="asked")
    return _text("All three are answered.")


async def input_required_result_multi_round(ctx: Ctx) -> Asks:
    """Asks in two rounds."""
    if ctx.request_state == "two":
        return _text("Both rounds are answered.")
    if ctx.request_state == "one":
        colour = _ask("Step 2: What is your favorite color?", {"color": {"type": "string"}})
        return InputRequiredResult(input_requests={"step2": colour}, request_state="two")
    name = _ask("Step 1: What is your name?", {"name": {"type": "string"}})
    return InputRequiredResult(input_requests={"step1": name}, request_state="one")


def simple_prompt() -> str:
    """Without arguments."""
    return "This is a simple prompt for testing."


def prompt_with_arguments(arg1: str, arg2: str) -> str:
    """With two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the exam's
    """With a resource in it."""
    shown = _embedded(resourceUri, "Embedded resource content for testing.")
    return [UserMessage(shown), UserMessage("Please process the embedded resource above.")]


def prompt_with_image() -> list[UserMessage]:
    """With an image in it."""
    return [UserMessage(_image()), UserMessage("Please analyze the image above.")]


def input_required_result_prompt(ctx: Ctx) -> str | InputRequiredResult:
    """Asks before it answers."""
    answer = _answer(ctx, "user_context", ElicitResult)
    if answer is None:
        question = _ask("What context should it use?", {"context": {"type": "string"}})
        return InputRequiredResult(input_requests={"user_context": question})
    return f"The context is {(answer.content or {}).get('context')}."


def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PIXEL)


def template(id: str) -> str:  # noqa: A002 - the exam's own name
    """Anything with an id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


_DEFAULTS: dict[str, Any] = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
_TITLED = [{"const": "one", "title": "First"}, {"const": "two", "title": "Second"}]
_CHOICES: dict[str, Any] = {
    "untitledSingle": {"type": "string", "enum": ["one", "two"]},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {"type": "string", "enum": ["one", "two"], "enumNames": ["First", "Second"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["one", "two"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
}


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _image() -> ImageContent:
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    inner = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(type="resource", resource=inner)


async def _log(ctx: Ctx, line: str) -> None:
    await ctx.session.send_log_message("info", line, related_request_id=ctx.request_id)


def _schema(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


async def _form(ctx: Ctx, message: str, fields: dict[str, Any]) -> str:
    """A form of 2025-11-25, while the call waits."""
    result = await ctx.session.elicit_form(message, _schema(fields), ctx.request_id)
    return f"User response: action={result.action}, content={json.dumps(result.content)}"


def _ask(message: str, fields: dict[str, Any]) -> ElicitRequest:
    params = ElicitRequestFormParams(message=message, requested_schema=_schema(fields))
    return ElicitRequest(params=params)


def _ask_name() -> ElicitRequest:
    return _ask("What is your name?", {"name": {"type": "string"}})


def _sample(prompt: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=_text(prompt))
    params = CreateMessageRequestParams(messages=[message], max_tokens=100)
    return CreateMessageRequest(params=params)


def _said(result: CreateMessageResult) -> str:
    content = result.content
    return content.text if isinstance(content, TextContent) else "no text"


def _can(ctx: Ctx, capability: str) -> bool:
    return getattr(ctx.client_capabilities, capability, None) is not None


def _answer(ctx: Ctx, key: str, kind: type[Kind]) -> Kind | None:
    """The client's answer of this kind to the question with this key."""
    found = (ctx.input_responses or {}).get(key)
    return found if isinstance(found, kind) else None

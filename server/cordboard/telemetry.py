"""OpenTelemetry: what a span may say, and who it is sent to. A leaf: everybody may know it.

No phone number, token, reason or name of anybody's choosing stands in a span: attributes are ids
we made, words of a fixed list, hosts the operator set, and routes as they are declared. Without a
tracer provider, ours or one set up around us, all this costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, ProxyTracerProvider, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cordboard.errors import ConfigError, CordboardError

_tracer = trace.get_tracer("cordboard")
_FLUSH_MILLISECONDS = 3000
_parents = TraceContextTextMapPropagator()


def check() -> None:
    """Raises: ConfigError where the packages that send spans are not installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401 - both are looked for
    except ImportError:
        raise ConfigError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: the packages that send spans are not installed.",
            "Install cordboard[otel], or unset it.",
        ) from None


def start() -> None:
    """Send spans where the standard variables OTEL_EXPORTER_OTLP_… say, unless a tracer provider
    was set up around us."""
    if is_on():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = Resource.create({"service.name": "cordboard"})
    provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Send the spans that are kept back; waits for it, but not long. Not from the event loop."""
    force: Any = getattr(trace.get_tracer_provider(), "force_flush", None)
    if force is not None:
        force(_FLUSH_MILLISECONDS)


def is_on() -> bool:
    """Whether anybody takes spans."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


def note_plan(plan_id: str, action: str, status: str, level: str) -> None:
    """Tell the current span which plan this is about, how it stands, and the guard's level."""
    current = trace.get_current_span()
    if current.is_recording():
        said = {"plan_id": plan_id, "action": action, "status": status, "guard.level": level}
        current.set_attributes({f"cordboard.{name}": value for name, value in said.items()})


class VendorCall:
    """One request to a vendor, while its span is open."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def told(self, status: int | None) -> None:
        """The HTTP status of the vendor's answer; None where no usable one came."""
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if status is None or status >= 400:
            failed(self._span, "no_answer" if status is None else str(status))


@contextmanager
def vendor_call(platform: str, method: str, host: str) -> Iterator[VendorCall]:
    """A span for one request to a platform at a vendor. Its address stays out: it has numbers."""
    platform = platform.lower()
    said = {
        "http.request.method": method,
        "server.address": host,
        "cordboard.platform": platform,
    }
    with span(f"{method} {platform}", SpanKind.CLIENT, said) as opened:
        yield VendorCall(opened)


@contextmanager
def span(
    name: str, kind: SpanKind, said: Mapping[str, Any], parent: Context | None = None
) -> Iterator[Span]:
    """A span that is current. An exception marks it by our code or its type: texts have numbers."""
    if not is_on():
        yield INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        name,
        kind=kind,
        attributes=said,
        context=parent,
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except Exception as exc:
            failed(opened, exc.code if isinstance(exc, CordboardError) else type(exc).__qualname__)
            raise


def failed(opened: Span, kind: str) -> None:
    """Mark a span as failed, by a word of ours."""
    opened.set_attribute("error.type", kind)
    opened.set_status(StatusCode.ERROR)


def parent(traceparent: object) -> Context | None:
    """The caller's trace, where one is told. Only its ids: its `tracestate` is free text."""
    if not isinstance(traceparent, str):
        return None
    found = _parents.extract({"traceparent": traceparent})
    return found if trace.get_current_span(found).get_span_context().is_valid else None

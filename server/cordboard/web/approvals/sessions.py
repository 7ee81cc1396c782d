"""Who may look: signed cookies of the approvals page, and the tokens in its forms.

A session shows plans to an approver and lets them decline one. It approves nothing: that takes
the passphrase, every time.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from itsdangerous import BadData, Signer, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from cordboard.clock import Clock, later, stamp

SESSION_SECONDS = 8 * 3600
_LABEL = b"cordboard approvals page: "
"""Sets what is signed here apart from all else that is sealed with the same key."""
_NONCE_BYTES = 16
_NONCE = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which an approver signed in.

    `enrolment`: which enrolment of that name it was; removed or enrolled anew, the session is void.
    `nonce`: what the tokens in its forms are bound to. `until`: when it ends by itself.
    """

    account: str
    approver: str
    enrolment: str
    nonce: str
    until: str


class Sessions:
    """Makes and reads the cookies of one site. `secure`: it is reached by https only."""

    def __init__(self, keys: Sequence[bytes], clock: Clock, *, secure: bool) -> None:
        self._clock, self._secure = clock, secure
        ours = list(reversed(keys))  # theirs signs with the last, ours with the first
        how: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        self._seal = URLSafeSerializer(ours, salt=_LABEL + b"session", signer_kwargs=how)
        self._forms = Signer(ours, salt=_LABEL + b"form", **how)
        # A browser takes `__Host-` from this very host by https only: no sibling can plant one.
        prefix = "__Host-" if secure else ""
        self._signed_in, self._visiting = f"{prefix}cordboard", f"{prefix}cordboard-visit"

    def begin(self, response: Response, account: str, approver: str, enrolment: str) -> None:
        """Sign a browser in; a session or visit it had before is over."""
        nonce, until = secrets.token_urlsafe(_NONCE_BYTES), later(self._clock(), SESSION_SECONDS)
        session = Session(account, approver, enrolment, nonce, until)
        self._put(response, self._signed_in, str(self._seal.dumps(asdict(session))))
        self._drop(response, self._visiting)

    def end(self, response: Response) -> None:
        """Sign a browser out."""
        self._drop(response, self._signed_in)

    def of(self, request: Request) -> Session | None:
        """The session a request came with, as it was begun; None where there is none that counts."""
        try:
            found = Session(**self._seal.loads(request.cookies.get(self._signed_in, "")))
        except (BadData, TypeError):  # the second: sealed by another version of us
            return None
        return found if found.until > stamp(self._clock()) else None

    def visit(self, request: Request) -> str:
        """What the sign-in form of a browser is bound to; new where it has none."""
        kept = request.cookies.get(self._visiting, "")
        return kept if _NONCE.fullmatch(kept) else secrets.token_urlsafe(_NONCE_BYTES)

    def keep_visit(self, response: Response, nonce: str) -> None:
        """Have the browser remember it."""
        self._put(response, self._visiting, nonce)

    def token(self, nonce: str) -> str:
        """What a form carries to show that it was made for this session or visit."""
        return self._forms.get_signature(nonce).decode()

    def is_token(self, nonce: str, token: str) -> bool:
        """Whether a form that came back was."""
        return token.isascii() and self._forms.verify_signature(nonce, token)

    def _put(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(name, value, SESSION_SECONDS, **self._flags())

    def _drop(self, response: Response, name: str) -> None:
        response.delete_cookie(name, **self._flags())

    def _flags(self) -> dict[str, Any]:
        return {"path": "/", "secure": self._secure, "httponly": True, "samesite": "strict"}

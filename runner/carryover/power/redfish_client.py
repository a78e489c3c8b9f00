# SPDX-License-Identifier: GPL-2.0-only
"""A Redfish client, as far as power needs one: JSON over HTTPS, each request with a deadline."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Any

from carryover.errors import BadInput, Infrastructure
from carryover.power.secret import Secret

_LONGEST = 4 << 20  # of an answer, in bytes
_SHOWN = 300


class NotFound(Infrastructure):
    """The BMC has nothing of this name."""


@dataclass(frozen=True)
class RedfishClient:
    """Requests to one BMC. A connection is for one request: BMCs have few, and drop idle ones.

    Attributes:
        place: Which BMC, for messages.
        host: Its name or address; its certificate has to be for it.
        port: Of HTTPS.
        tls: Whom to trust.
        username: Sent with the secret in each request (HTTP Basic, which Redfish demands of BMCs).
        secret: The password.
        limit: Seconds to connect to an address, and again for the request itself.
    """

    place: str
    host: str
    port: int
    tls: ssl.SSLContext
    username: str
    secret: Secret
    limit: float

    def get(self, path: str) -> dict[str, Any]:
        """What is there.

        Raises:
            NotFound: Nothing.
            BadInput: The BMC does not let us in, or is not the one that its certificate names.
            Infrastructure: It does not answer in time, or not in Redfish.
        """
        return self._request("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Starts an action; raises as get()."""
        self._request("POST", path, body)

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        doing = f"{self.place}: {method} {path}"
        connection = http.client.HTTPSConnection(
            self.host, self.port, timeout=self.limit, context=self.tls
        )
        # The time-out above is that of each read; a BMC that sends a byte now and then is cut off.
        was_cut = threading.Event()
        cut = threading.Timer(self.limit, _cut, [connection, was_cut])
        cut.daemon = True
        try:
            connection.connect()
            cut.start()
            self._send(connection, method, path, body)
            answer = connection.getresponse()
            text = answer.read(_LONGEST)
            if was_cut.is_set():
                raise TimeoutError
        except Exception as error:
            # None: further up are frames that have the password.
            raise self._failure(doing, error, was_cut=was_cut.is_set()) from None
        finally:
            cut.cancel()
            connection.close()
        if not 200 <= answer.status < 300:
            raise self._refusal(doing, answer.status, answer.reason, text)
        return _parsed(doing, text)

    def _send(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        body: dict[str, Any] | None,
    ) -> None:
        connection.putrequest(method, path)
        connection.putheader("Accept", "application/json")
        connection.putheader("OData-Version", "4.0")
        connection.putheader("Authorization", self._authorization())
        if body is None:
            connection.endheaders()
            return
        data = json.dumps(body).encode()
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)

    def _authorization(self) -> str:
        pair = f"{self.username}:{self.secret.reveal()}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _failure(self, doing: str, error: Exception, *, was_cut: bool) -> Exception:
        if isinstance(error, ssl.SSLCertVerificationError):
            return BadInput(
                f"{doing}: its certificate is not accepted: {error.verify_message}; give the "
                "certificate that signed it as ca_file and the name that it is for as host, or, "
                "on a network that you trust, verify: false"
            )
        if isinstance(error, socket.gaierror):
            return Infrastructure(
                f"{doing}: host {self.host} has no address ({error.strerror}); check `host`"
            )
        if was_cut or isinstance(error, TimeoutError):
            return Infrastructure(
                f"{doing}: no whole answer within {self.limit:g} s; is the BMC reachable and well?"
            )
        if isinstance(error, ssl.SSLError):
            return Infrastructure(
                f"{doing}: TLS fails: {error.reason or error}; is this the port of HTTPS, and the "
                "BMC's firmware not too old?"
            )
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            return Infrastructure(f"{doing}: {why}; check `host` and `port`, and the BMC's network")
        return Infrastructure(f"{doing}: not an answer of HTTP ({type(error).__name__})")

    def _refusal(self, doing: str, status: int, reason: str, text: bytes) -> Exception:
        said = self.secret.hide_in(f"{status} {reason}{_message(text)}")
        if status == 401:
            return BadInput(
                f"{doing}: it does not let user {self.username!r} in ({said}); check username and "
                "password"
            )
        if status == 403:
            return BadInput(
                f"{doing}: user {self.username!r} may not do this ({said}); its role has to be "
                "Operator"
            )
        if status == 404:
            return NotFound(f"{doing}: {said}")
        return Infrastructure(f"{doing}: {said}")


def _cut(connection: http.client.HTTPSConnection, was_cut: threading.Event) -> None:
    was_cut.set()
    with contextlib.suppress(OSError, AttributeError):  # it has ended by itself
        connection.sock.shutdown(socket.SHUT_RDWR)


def _parsed(doing: str, text: bytes) -> dict[str, Any]:
    if not text.strip():
        return {}  # 204 No Content
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Infrastructure(f"{doing}: the answer is no JSON object; is this a Redfish service?")
    return answer


def _message(text: bytes) -> str:
    """What a BMC says of an error, where it says it in Redfish's form."""
    try:
        error = json.loads(text)["error"]
        details = [d["Message"] for d in error.get("@Message.ExtendedInfo", []) if "Message" in d]
        return f": {'; '.join(map(str, details or [error['message']]))[:_SHOWN]}"
    except (ValueError, KeyError, TypeError):
        return ""

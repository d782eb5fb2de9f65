"""How to reach the brokers, for every client: addresses, encryption, credentials; and in plain words why not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from aiokafka import errors
from aiokafka.client import collect_hosts
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from shared.bus import narration
from shared.bus.port import BusError
from shared.runtime.settings import KafkaSettings

# X509_V_ERR_… of OpenSSL, which the module ssl does not name.
_NOT_YET_VALID = 9
_EXPIRED = 10
_OTHER_NAME = (62, 64)  # by name, by address


def arguments(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Keyword arguments of aiokafka's clients. Raises ``BusError`` (permanent) where a certificate cannot be used."""
    narration.calm()
    out: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": client_id,
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings),
        # Metadata failures and a broker that is away come round this often; aiokafka's 100 ms fills the log.
        "retry_backoff_ms": 250,
        "metadata_max_age_ms": 60_000,
    }
    if settings.security_protocol.startswith("SASL"):
        username, password = credentials(settings)
        out["sasl_mechanism"] = settings.sasl_mechanism
        out["sasl_plain_username"] = username
        out["sasl_plain_password"] = password
    return out


def credentials(settings: KafkaSettings) -> tuple[str, str]:
    """User and password. Raises ``BusError`` (permanent) where one is missing."""
    if not settings.username or settings.password is None:
        raise BusError(
            f"LAPWING_KAFKA__SECURITY_PROTOCOL is {settings.security_protocol}: "
            "set LAPWING_KAFKA__USERNAME and LAPWING_KAFKA__PASSWORD",
            permanent=True,
        )
    return settings.username, settings.password.get_secret_value()


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """``None`` where the protocol is not encrypted. Raises ``BusError`` (permanent) where a file cannot be used."""
    if not settings.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=str(settings.ssl_cafile) if settings.ssl_cafile else None)
    except (OSError, ssl.SSLError) as error:
        raise BusError(
            f"LAPWING_KAFKA__SSL_CAFILE: cannot use {str(settings.ssl_cafile)!r}: {words(error)}", permanent=True
        ) from None
    if settings.ssl_certfile:
        try:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
        except (OSError, ssl.SSLError) as error:
            raise BusError(
                f"LAPWING_KAFKA__SSL_CERTFILE: cannot use {str(settings.ssl_certfile)!r}: {words(error)}",
                permanent=True,
            ) from None
    return context


async def why_not(settings: KafkaSettings, timeout: float = 3.0) -> str | None:
    """One sentence on why no broker can be reached, ``None`` when one can; aiokafka only says that it could not.

    ``timeout``: most seconds for each address.
    """
    reasons: list[str] = []
    for host, port, _ in collect_hosts(settings.bootstrap_servers):
        try:
            brokers = await _brokers_named_by(host, port, settings, timeout)
        except Exception as error:
            reasons.append(explain(error, f"{host}:{port}", settings))
        else:
            return await _why_not_as_named(brokers, host, port, settings, timeout)
    return "; ".join(dict.fromkeys(reasons)) or f"no broker at {settings.bootstrap_servers}"


async def _why_not_as_named(
    brokers: Sequence[tuple[str, int]], host: str, port: int, settings: KafkaSettings, timeout: float
) -> str | None:
    """A client leaves the address it was given for those the broker names itself by, and may then get no further."""
    if not brokers or (host, port) in brokers:
        return None
    reasons: list[str] = []
    for named in brokers:
        try:
            await _brokers_named_by(*named, settings, timeout)
            return None
        except Exception as error:
            reasons.append(explain(error, f"{named[0]}:{named[1]}", settings))
    return f"{host}:{port} sends its clients elsewhere (its advertised.listeners), and " + "; ".join(
        dict.fromkeys(reasons)
    )


async def _brokers_named_by(host: str, port: int, settings: KafkaSettings, timeout: float) -> list[tuple[str, int]]:
    """Logs in and asks a question that everybody may ask: some refusals come with the first answer only."""
    options = arguments(settings, "lapwing-probe")
    names = ("security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    async with asyncio.timeout(timeout):
        connection = await create_conn(
            host,
            port,
            request_timeout_ms=int(timeout * 1000),
            **{name: options[name] for name in names if name in options},
        )
        try:
            answer = await connection.send(MetadataRequest([]))
        finally:
            connection.close()
    return [(broker[1], broker[2]) for broker in answer.brokers]


async def unreachable(settings: KafkaSettings) -> str:
    """The sentence for a client that could not connect."""
    reason = await why_not(settings)
    return reason or (
        f"the broker at {settings.bootstrap_servers} accepts connections but does not answer as it should: "
        f"is LAPWING_KAFKA__SECURITY_PROTOCOL ({settings.security_protocol}) what it speaks there?"
    )


def explain(error: BaseException, where: str, settings: KafkaSettings) -> str:
    """``error``, met while connecting to ``where``, as one sentence that says what to look at."""
    if isinstance(error, errors.AuthenticationFailedError | errors.SaslAuthenticationFailed):
        return (
            f"the broker at {where} refused the user {settings.username!r}: no such user, or another password; "
            "see LAPWING_KAFKA__USERNAME and LAPWING_KAFKA__PASSWORD"
        )
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return f"the broker at {where} does not know {settings.sasl_mechanism}: see LAPWING_KAFKA__SASL_MECHANISM"
    if isinstance(error, errors.IllegalSaslStateError):
        return (
            f"the broker at {where} asks for no user: LAPWING_KAFKA__SECURITY_PROTOCOL is "
            f"{settings.security_protocol}, try {settings.security_protocol.replace('SASL_', '')}"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, where, settings)
    if isinstance(error, ssl.SSLError):
        return f"no encrypted connection to the broker at {where}: see LAPWING_KAFKA__SECURITY_PROTOCOL"
    if isinstance(error, socket.gaierror):
        return f"the broker's name {where} cannot be resolved: see LAPWING_KAFKA__BOOTSTRAP_SERVERS"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return f"nothing listens at {where}: is the broker up?"
    if isinstance(error, TimeoutError):
        return f"the broker at {where} does not answer"
    if isinstance(error, errors.KafkaConnectionError | ConnectionError | EOFError):
        return (
            f"the broker at {where} closed the connection: is LAPWING_KAFKA__SECURITY_PROTOCOL "
            f"({settings.security_protocol}) what it speaks there?"
        )
    return f"the broker at {where} cannot be used: {words(error)}"


def _certificate(error: ssl.SSLCertVerificationError, where: str, settings: KafkaSettings) -> str:
    its = f"the certificate of the broker at {where}"
    if error.verify_code == _EXPIRED:
        return f"{its} has expired: it must be renewed there (or is this machine's clock wrong?)"
    if error.verify_code == _NOT_YET_VALID:
        return f"{its} is not valid yet: is this machine's clock right?"
    if error.verify_code in _OTHER_NAME:
        return (
            f"{its} is for another name ({error.verify_message.rstrip('.')}): "
            "name the broker in LAPWING_KAFKA__BOOTSTRAP_SERVERS as its certificate does"
        )
    by = f"by {str(settings.ssl_cafile)!r}" if settings.ssl_cafile else "by the authorities this machine trusts"
    return f"{its} is not vouched for {by} ({error.verify_message}): see LAPWING_KAFKA__SSL_CAFILE"


def words(error: BaseException) -> str:
    """Never empty."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

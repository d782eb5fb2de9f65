"""Every setting, its default and one sentence; and where they are read from.

``LAPWING_<SECTION>__<NAME>`` in the environment wins over the YAML file that ``LAPWING_CONFIG`` names, which wins over
the defaults here. Every secret may also come from a file: ``…_FILE``. Unknown keys are refused by name; a key set to
nothing is not set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from shared.runtime import lean_pydantic  # noqa: F401 - before the first model
from shared.schemas.refusals import reason

PREFIX = "LAPWING_"
Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Days = Annotated[int, Field(ge=1, le=36_500)]


class SettingsError(ValueError):
    """Settings that cannot be used; the message is complete and fit for a person."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads ``on`` and ``yes`` as true, which pydantic would take for 1."""
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("must not be true or false")
        return value

    def __repr_args__(self) -> Any:
        """As pydantic shows itself, without the passwords in addresses."""
        for name, value in super().__repr_args__():
            yield name, without_passwords(value) if isinstance(value, str) else value


class ApiSettings(Section):
    host: str = Field("127.0.0.1", description="address the API and dashboard listen on")
    port: Port = Field(8000, description="port the API and dashboard listen on; 0 takes a free one")
    token_ttl: Seconds = Field(43_200, description="seconds a login lasts")
    login_attempts_per_minute: Annotated[int, Field(ge=1)] = Field(
        10,
        description="wrong passwords a minute, of one user from one address; five times as many of all users from one "
        "address, ten times as many of one user from addresses where it has not logged in before",
    )
    max_body_bytes: Annotated[int, Field(ge=1024)] = Field(1 << 20, description="largest request body accepted")
    ingest_max_bytes: Annotated[int, Field(ge=1024)] = Field(
        16 << 20, description="largest batch of events accepted by `/api/ingest/`, unpacked"
    )
    ingest_events_per_second: Annotated[int, Field(ge=1)] = Field(
        200, description="events a second one agent token may post in the long run; a minute's worth at once"
    )
    allowed_hosts: list[str] = Field(
        [],
        description="Host headers answered besides the listening address and localhost, comma separated; `*` for any",
    )
    proxies: list[str] = Field(
        [],
        description="addresses and networks of reverse proxies whose `X-Forwarded-For` is believed, comma separated",
    )

    @field_validator("proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        import ipaddress

        for proxy in value:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise ValueError(f"{proxy!r} is neither an address nor a network such as `10.0.0.0/8`") from None
        return value


class KafkaSettings(Section):
    bootstrap_servers: str = Field("embedded://", description="`embedded://`, `local://` or `host:port,…`")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to speak to the brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism"
    )
    username: str | None = Field(None, description="SASL user")
    password: SecretStr | None = Field(None, description="SASL password")
    ssl_cafile: Path | None = Field(None, description="CA certificates, PEM")
    ssl_certfile: Path | None = Field(None, description="client certificate, PEM")
    ssl_keyfile: Path | None = Field(None, description="client key, PEM")
    partitions: Annotated[int, Field(ge=1, le=1024)] = Field(4, description="partitions of a topic we create")
    replication_factor: Annotated[int, Field(ge=1, le=7)] = Field(1, description="replicas of a topic we create")
    retention_hours: Annotated[int, Field(ge=1)] = Field(
        24, description="how long the broker keeps metrics, logs and anomalies"
    )
    retention_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        1 << 30, description="how much the broker keeps of them, per partition"
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _address(cls, value: str) -> str:
        if value in ("embedded://", "local://"):
            return value
        addresses = [re.fullmatch(r"[\w.\-\[\]:]+:(\d{1,5})", part) for part in value.split(",")]
        if not all(address and 0 < int(address[1]) <= 65_535 for address in addresses):
            raise ValueError("must be `embedded://`, `local://` or `host:port[,host:port…]`")
        return value


class ClickhouseSettings(Section):
    dsn: str = Field(
        "chdb://",
        description="`chdb://` (embedded, under the data directory) or `http(s)://user:pass@host:port/lapwing`",
    )
    password: SecretStr | None = Field(None, description="password, when it is not in the DSN")
    ssl_cafile: Path | None = Field(None, description="CA certificates that vouch for an `https://` server, PEM")
    raw_days: Days = Field(14, description="days raw samples are kept")
    process_days: Days = Field(7, description="days process details are kept")
    minute_days: Days = Field(90, description="days minute rollups are kept")
    hour_days: Days = Field(730, description="days hour rollups are kept")
    event_days: Days = Field(365, description="days anomalies, alerts and scores are kept")
    log_days: Days = Field(30, description="days logs are kept")
    max_bytes: Annotated[int, Field(ge=0)] = Field(
        0, description="size cap: above it the oldest partitions are dropped first; 0 for none"
    )
    keep_free_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        128 << 20,
        description="room the embedded engine leaves on its disk: with less it takes nothing, and everything waits",
    )

    @field_validator("dsn")
    @classmethod
    def _dsn(cls, value: str) -> str:
        if not re.match(r"(chdb|https?)://", value):
            raise ValueError("must begin with `chdb://`, `http://` or `https://`")
        return value


class StoreSettings(Section):
    """Of the HTTP front over the embedded store; one who uses a ClickHouse server has no need of it."""

    host: str = Field("127.0.0.1", description="address `lapwing store serve` listens on")
    port: Port = Field(8123, description="port `lapwing store serve` listens on; 0 takes a free one")
    beside_up: bool = Field(False, description="serve the embedded store from `lapwing up` as well")
    writer_password: SecretStr | None = Field(
        None, description="password of the user `lapwing`, who may do everything; generated into the data directory"
    )
    reader_password: SecretStr | None = Field(
        None, description="password of the user `reader`, who may only read; generated into the data directory"
    )
    ssl_certfile: Path | None = Field(None, description="certificate, PEM; makes it `https://`")
    ssl_keyfile: Path | None = Field(None, description="its key, PEM")


class AgentSettings(Section):
    interval: Annotated[float, Field(ge=0.1, le=3600)] = Field(
        1.0, description="seconds between samples of cpu, memory, network, disk I/O, load and pressure"
    )
    processes_interval: Seconds = Field(5.0, description="seconds between process lists")
    disks_interval: Seconds = Field(15.0, description="seconds between looks at mounted filesystems")
    gpu_interval: Seconds = Field(5.0, description="seconds between GPU readings")
    temperatures_interval: Seconds = Field(15.0, description="seconds between temperature readings")
    system_interval: Seconds = Field(60.0, description="seconds between statements of what the host is")
    collector_timeout: Seconds = Field(5.0, description="seconds after which a collector counts as hanging")
    pack: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="events a message; more trades latency for server CPU"
    )
    host: str | None = Field(None, description="name of this host; the machine's own by default")
    host_id: str | None = Field(None, description="identity of this host; the machine id by default")
    labels: dict[str, str] = Field({}, description="labels of this host, `key=value,…`")
    top_processes: Annotated[int, Field(ge=0, le=1000)] = Field(
        20, description="processes reported: so many by cpu, by memory and of the newest each"
    )
    root: Path = Field(Path("/"), description="where the host's root is mounted, when the agent runs in a container")
    proc: Path | None = Field(None, description="where the host's /proc is mounted; `<root>/proc` by default")
    sys: Path | None = Field(None, description="where the host's /sys is mounted; `<root>/sys` by default")
    redact: list[str] = Field([], description="more regular expressions whose matches in command lines are redacted")
    url: str | None = Field(
        None, description="post events to this Lapwing (`https://…`) instead of a broker; needs `token`"
    )
    token: SecretStr | None = Field(None, description="agent token for `url`, made by `lapwing token create`")
    url_cafile: Path | None = Field(None, description="CA certificates that vouch for `url`, PEM")
    spool_max_bytes: Annotated[int, Field(ge=1 << 16)] = Field(
        256 << 20, description="most bytes kept on disk while the broker is away"
    )
    spool_max_age: Annotated[float, Field(gt=0)] = Field(
        86_400, description="seconds after which spooled events are dropped"
    )

    @field_validator("url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", value):
            raise ValueError("must begin with `http://` or `https://` and name a host, without user or query")
        return value

    @field_validator("redact")
    @classmethod
    def _patterns(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return value


class IngestSettings(Section):
    batch_events: Annotated[int, Field(ge=1, le=100_000)] = Field(2000, description="most messages an insert")
    batch_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        5.0, description="longest wait before an insert; the newest values are live whatever it is"
    )
    max_future_seconds: Annotated[float, Field(ge=0)] = Field(
        600, description="events further in the future go to the dead letters"
    )


class DetectorSettings(Section):
    threshold: Annotated[float, Field(gt=0)] = Field(
        1.0, description="score above which an event is anomalous; the scale puts normal at 0..1"
    )
    warmup_seconds: Annotated[float, Field(ge=0)] = Field(
        300, description="seconds of a host's data learned before it is judged"
    )
    open_after: Annotated[float, Field(ge=0)] = Field(
        5, description="seconds an anomaly must last before it is announced"
    )
    close_after: Annotated[float, Field(ge=0)] = Field(30, description="calm seconds before it is over")
    pages_per_week: Annotated[float, Field(gt=0, le=1000)] = Field(
        2.0, description="how often a host may be worth a page; what is more goes to the list as `info`"
    )
    max_hosts: Annotated[int, Field(ge=1)] = Field(
        10_000, description="hosts remembered; the longest silent is forgotten first"
    )
    forget_days: Annotated[float, Field(gt=0)] = Field(
        30.0, description="days of silence, by the events' own time, after which what was learned of a host is removed"
    )


class AlerterSettings(Section):
    webhook_url: str | None = Field(
        None, description="where everything that fires is posted, in Alertmanager's v4 form"
    )
    email_to: list[str] = Field([], description="who is mailed everything that fires, comma separated")
    rules: Path | None = Field(
        None, description="rule file or directory that adds to, patches or replaces the shipped rules"
    )
    routing: Path | None = Field(
        None, description="file that says who is told what: receivers, routes, inhibition, quiet hours"
    )
    webhook_secret: SecretStr | None = Field(None, description="signs what is posted to `webhook_url` (HMAC-SHA256)")
    alertmanager_url: str | None = Field(None, description="an Alertmanager that is kept told of everything that fires")
    heartbeat_url: str | None = Field(
        None, description="called every `heartbeat_seconds` while alerting works: a dead man's switch elsewhere"
    )
    heartbeat_seconds: Seconds = Field(60.0, description="seconds between two calls of `heartbeat_url`")
    link_secret: SecretStr | None = Field(
        None,
        description="signs the links in messages; the API needs the same; made in the data directory when unset",
    )
    allow_private_receivers: bool = Field(
        False, description="whether receivers entered through the API may be at private addresses"
    )
    host_silent_after: Seconds = Field(60.0, description="seconds without data before a host counts as silent")
    max_hosts: Annotated[int, Field(ge=1)] = Field(
        20_000, description="hosts one alerter watches; the longest silent makes room, and while all speak nobody does"
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(8, description="delivery attempts before giving up")
    timeout: Seconds = Field(10.0, description="seconds one delivery attempt may take")
    external_url: str | None = Field(None, description="address of the dashboard as receivers see it, for links")
    language: Literal["en", "zh"] = Field("en", description="language of alerts and mails: `en` or `zh`")

    @field_validator("webhook_url", "external_url", "alertmanager_url", "heartbeat_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s]+\S*", value):
            raise ValueError("must begin with `http://` or `https://` and name a host")
        return value

    @field_validator("email_to")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        for address in value:
            if not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
                raise ValueError(f"{address!r} is not an e-mail address")
        return value


class SmtpSettings(Section):
    host: str | None = Field(None, description="mail server")
    port: Port | None = Field(None, description="its port; 587, 465 or 25 by `security`")
    username: str | None = Field(None, description="user at the mail server")
    password: SecretStr | None = Field(None, description="password at the mail server")
    from_: str | None = Field(None, alias="from", description="sender address")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="`starttls`, `tls` or `none`")


class MetricsSettings(Section):
    host: str = Field("127.0.0.1", description="address of the port below")
    port: Annotated[int, Field(ge=0, le=65_533)] | None = Field(
        None,
        description="where a service that runs without the API serves its `/metrics`: ingest here, the detector one "
        "above, the alerter two above; 0 takes free ones, unset none",
    )


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least important line that is written"
    )
    format: Literal["auto", "text", "json"] = Field("auto", description="`auto`: text on a terminal, JSON otherwise")


class Settings(Section):
    data_dir: Path = Field(Path("./data"), description="where everything is kept")
    admin_password: SecretStr | None = Field(
        None, description="password of the user `admin`; generated at first start when unset"
    )
    api: ApiSettings = ApiSettings()
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickhouseSettings = ClickhouseSettings()
    store: StoreSettings = StoreSettings()
    agent: AgentSettings = AgentSettings()
    ingest: IngestSettings = IngestSettings()
    detector: DetectorSettings = DetectorSettings()
    alerter: AlerterSettings = AlerterSettings()
    smtp: SmtpSettings = SmtpSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check every setting. Raises ``SettingsError`` naming the setting, what is wrong and what is allowed."""
    tree = _from_file(environ)
    for variable, path in _variables():
        text = _text_of(variable, path, environ)
        if text is not None:
            _put(tree, path, text)
    _refuse_unknown(environ)
    try:
        return Settings.model_validate(_parsed(tree, Settings, ()))
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(e["loc"], reason(e)) for e in error.errors())) from None


def with_agent(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """``settings`` with these of the agent's replaced. Raises ``SettingsError`` as ``load``."""
    try:
        agent = AgentSettings.model_validate(settings.agent.model_dump() | dict(given))
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(("agent", *e["loc"]), reason(e)) for e in error.errors())) from None
    return settings.model_copy(update={"agent": agent})


def describe() -> Iterator[tuple[str, str, str]]:
    """``(environment variable, default, description)`` of every setting, for help and documentation."""
    for variable, path in _variables():
        field = _field(path)
        default = field.get_default(call_default_factory=True)
        yield variable, "" if default is None else _shown(default), field.description or ""


def masked(settings: Settings) -> Iterator[tuple[str, str]]:
    """``(environment variable, value)`` of every setting, secrets and passwords in addresses masked."""
    for variable, path in _variables():
        value: Any = settings
        for part in path:
            value = getattr(value, _attribute(type(value), part))
        shown = "" if value is None else without_passwords(_shown(value))
        yield variable, _without_path(shown) if path == ("alerter", "webhook_url") else shown


def without_passwords(text: str) -> str:
    """``text`` with the passwords of addresses masked: before an ``@``, and in the query."""
    text = re.sub(r"(://[^:/?#@\s]*:)[^\s]*@", r"\1***@", text)
    return re.sub(r"([?&][^=&\s]*(?:pass|secret|token|key)[^=&\s]*=)[^&#\s]*", r"\1***", text, flags=re.IGNORECASE)


def _without_path(url: str) -> str:
    """Whoever knows the path of a chat's webhook may post to it."""
    return re.sub(r"(://[^/?#]+)[/?#].+", r"\1/***", url)


def is_secret(variable: str) -> bool:
    """Whether the setting may also be read from a file, and is never shown."""
    return _is_secret(_field(dict(_variables())[variable]))


def _variables() -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, field in Settings.model_fields.items():
        if _is_section(field):
            section: type[Section] = field.annotation  # type: ignore[assignment]
            for inner, f in section.model_fields.items():
                key = f.alias or inner
                yield f"{PREFIX}{name}__{key}".upper(), (name, key)
        else:
            yield f"{PREFIX}{name}".upper(), (name,)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _attribute(model: type[BaseModel], key: str) -> str:
    return next(name for name, f in model.model_fields.items() if key in (name, f.alias))


def _field(path: tuple[str, ...]) -> FieldInfo:
    model: Any = Settings
    for part in path[:-1]:
        model = model.model_fields[part].annotation
    return model.model_fields[_attribute(model, path[-1])]  # type: ignore[no-any-return]


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _text_of(variable: str, path: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    file_variable = f"{variable}_FILE"
    file = environ.get(file_variable)
    if not file or not _is_secret(_field(path)):
        return environ.get(variable) or None
    if environ.get(variable):
        raise SettingsError(f"{variable} and {file_variable} are both set: keep one")
    return secret_from(file, file_variable)


def secret_from(file: str, who: str) -> str:
    """What the file holds, without its line end. Raises ``SettingsError`` naming ``who``."""
    try:
        secret = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{who}: cannot read {file!r}: {_why(error)}") from None
    if not secret:
        raise SettingsError(f"{who}: {file!r} is empty")
    return secret


def _where(error: Exception) -> str:
    """Without the lines themselves: there may be a secret in them."""
    mark = getattr(error, "problem_mark", None)
    line = f" in line {mark.line + 1}" if mark else ""
    return (getattr(error, "problem", None) or "it holds characters that are not allowed") + line


def _why(error: Exception) -> str:
    """Without what was read: it may be the secret."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8 text" if isinstance(error, UnicodeError) else str(error)


def _from_file(environ: Mapping[str, str]) -> dict[str, Any]:
    name = environ.get(f"{PREFIX}CONFIG")
    if not name:
        return {}
    import yaml  # a megabyte that an agent without a file need not carry

    try:
        tree = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{PREFIX}CONFIG: cannot read {name!r}: {_why(error)}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{PREFIX}CONFIG: {name!r} is not YAML: {_where(error)}") from None
    if not isinstance(tree, dict | None):
        raise SettingsError(f"{PREFIX}CONFIG: {name!r} must hold a mapping of settings, as in `api: {{port: 8000}}`")
    return _file_secrets(tree or {}, Settings, name)


def _file_secrets(tree: dict[str, Any], model: type[BaseModel], name: str) -> dict[str, Any]:
    """Checks the file's keys, and resolves ``password_file: …`` into ``password``."""
    known = {f.alias or n: f for n, f in model.model_fields.items()}
    out: dict[str, Any] = {}
    for key, value in tree.items():
        base = str(key).removesuffix("_file")
        if key in known and _is_section(known[key]):
            if not isinstance(value, dict | None):
                raise SettingsError(f"{name}: `{key}` must be a mapping")
            out[key] = _file_secrets(value or {}, known[key].annotation, name)  # type: ignore[arg-type]
        elif key in known:
            out[key] = value
        elif base in known and _is_secret(known[base]):
            if tree.get(base):
                raise SettingsError(f"{name}: `{base}` and `{key}` are both set: keep one")
            if value:
                out[base] = secret_from(str(value), f"{name}: `{key}`")
        else:
            raise SettingsError(f"{name}: unknown setting `{key}`{_nearest(str(key), list(known))}")
    return out


def _put(tree: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _parsed(tree: dict[str, Any], model: type[BaseModel], path: tuple[str, ...]) -> dict[str, Any]:
    """Turns the environment's ``a,b`` and ``k=v,…`` into lists and mappings where the setting is one."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        field = model.model_fields[_attribute(model, key)]
        if _is_section(field):
            out[key] = _parsed(value, field.annotation, (*path, key))  # type: ignore[arg-type]
        elif value is None or value == "":
            continue  # set to nothing means: the default
        elif isinstance(value, str) and str(field.annotation).startswith("list"):
            out[key] = [part.strip() for part in value.split(",") if part.strip()]
        elif isinstance(value, str) and str(field.annotation).startswith("dict"):
            pairs = [part.partition("=") for part in value.split(",") if part.strip()]
            if not all(sep and k.strip() for k, sep, _ in pairs):
                raise SettingsError(_sentence((*path, key), "must be written `key=value,key=value`"))
            out[key] = {k.strip(): v.strip() for k, _, v in pairs}
        else:
            out[key] = value
    return out


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {v for v, _ in _variables()} | {f"{PREFIX}CONFIG"}
    known |= {f"{v}_FILE" for v, path in _variables() if _is_secret(_field(path))}
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in known:
            raise SettingsError(f"unknown setting {variable}{_nearest(variable, sorted(known))}")


def _nearest(key: str, known: list[str]) -> str:
    import difflib  # for who made a mistake

    close = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"; did you mean {close[0]}?" if close else ""


def _sentence(loc: tuple[int | str, ...], message: str) -> str:
    depth = 2 if loc and _is_section(Settings.model_fields[str(loc[0])]) else 1
    name = "__".join(str(part) for part in loc[:depth]).upper()
    inside = "".join(f" {part}:" for part in loc[depth:] if isinstance(part, str))
    return f"{PREFIX}{name}:{inside} {message}"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(v) for v in value)
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items())
    return str(value)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on reaches this machine only."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""What a person may get wrong in a setting, and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.runtime.settings import Settings, SettingsError, describe, is_loopback, load, masked, without_passwords

SECRET = "hunter2"


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        load(environ)
    return str(refused.value)


def in_file(tmp_path: Path, text: str | bytes) -> dict[str, str]:
    path = tmp_path / "lapwing.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"LAPWING_CONFIG": str(path)}


class TestWhereTheyComeFrom:
    def test_nothing_set_is_the_small_mode(self) -> None:
        settings = load({})
        assert settings.kafka.bootstrap_servers == "embedded://"
        assert settings.clickhouse.dsn == "chdb://"
        assert (settings.api.host, settings.api.port, settings.agent.interval, settings.agent.pack) == (
            "127.0.0.1", 8000, 1.0, 1)  # fmt: skip

    def test_the_environment_beats_the_file_beats_the_default(self, tmp_path: Path) -> None:
        environ = in_file(tmp_path, "api: {host: 0.0.0.0, port: 81}\nagent: {pack: 5}")
        settings = load({**environ, "LAPWING_API__PORT": "82"})
        assert (settings.api.host, settings.api.port, settings.agent.pack) == ("0.0.0.0", 82, 5)

    @pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "api:\n", "api: {}\n", "api: {port: }\n"])
    def test_a_file_may_say_nothing(self, tmp_path: Path, text: str) -> None:
        assert load(in_file(tmp_path, text)) == load({})

    @pytest.mark.parametrize("variable", [v for v, _, _ in describe()])
    def test_a_variable_set_to_nothing_is_not_set(self, variable: str, tmp_path: Path) -> None:
        assert load({variable: ""}) == load({})

    def test_a_variable_set_to_nothing_leaves_the_file_in_force(self, tmp_path: Path) -> None:
        environ = in_file(tmp_path, "api: {port: 81}\nsmtp: {password: hunter2}")
        settings = load({**environ, "LAPWING_API__PORT": "", "LAPWING_SMTP__PASSWORD": ""})
        assert settings.api.port == 81
        assert settings.smtp.password and settings.smtp.password.get_secret_value() == SECRET

    def test_the_rest_of_the_environment_is_none_of_our_business(self) -> None:
        assert load({"PATH": "/bin", "LAPWINGX": "1", "KAFKA_OPTS": "x"}) == load({})

    def test_lists_and_mappings_are_written_with_commas(self) -> None:
        settings = load(
            {
                "LAPWING_ALERTER__EMAIL_TO": "ada@example.org, bob@example.org,",
                "LAPWING_AGENT__LABELS": "rack=b4, role = web ,empty=,eq=a=b",
            }
        )
        assert settings.alerter.email_to == ["ada@example.org", "bob@example.org"]
        assert settings.agent.labels == {"rack": "b4", "role": "web", "empty": "", "eq": "a=b"}

    def test_in_the_file_they_are_what_yaml_calls_them(self, tmp_path: Path) -> None:
        settings = load(
            in_file(
                tmp_path,
                "alerter: {email_to: [ada@example.org]}\n"
                "agent: {labels: {rack: b4}, interval: 0.5, redact: ['a{1,3}']}\n"
                "smtp: {from: lapwing@example.org, security: tls}\n"
                "data_dir: /srv/lapwing\n",
            )
        )
        assert settings.alerter.email_to == ["ada@example.org"]
        assert (settings.agent.labels, settings.agent.interval, settings.agent.redact) == (
            {"rack": "b4"},
            0.5,
            ["a{1,3}"],
        )
        assert settings.smtp.from_ == "lapwing@example.org"
        assert settings.data_dir == Path("/srv/lapwing")

    def test_every_variable_can_be_set(self) -> None:
        for variable, default, _ in describe():
            if default:
                assert load({variable: default}) == load({}), variable


class TestSecrets:
    def test_a_secret_may_come_from_a_file_without_its_line_end(self, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text(f"{SECRET}\r\n")
        settings = load({"LAPWING_SMTP__PASSWORD_FILE": str(path), "LAPWING_ADMIN_PASSWORD_FILE": str(path)})
        assert settings.smtp.password and settings.smtp.password.get_secret_value() == SECRET
        assert settings.admin_password and settings.admin_password.get_secret_value() == SECRET

    def test_from_the_yaml_file_too(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text(SECRET)
        settings = load(in_file(tmp_path, f"kafka: {{password_file: {tmp_path}/secret}}"))
        assert settings.kafka.password and settings.kafka.password.get_secret_value() == SECRET

    def test_said_twice_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("x")
        said = refusal({"LAPWING_SMTP__PASSWORD": SECRET, "LAPWING_SMTP__PASSWORD_FILE": str(tmp_path / "secret")})
        assert said == "LAPWING_SMTP__PASSWORD and LAPWING_SMTP__PASSWORD_FILE are both set: keep one"
        for order in ("password: hunter2, password_file: /x", "password_file: /x, password: hunter2"):
            said = refusal(in_file(tmp_path, f"smtp: {{{order}}}"))
            assert "`password` and `password_file` are both set: keep one" in said and SECRET not in said

    @pytest.mark.parametrize(
        ("content", "why"), [(None, "No such file or directory"), (b"", "is empty"), (b"\n", "is empty"),
                             (b"\xff\xfehunter2", "not UTF-8")],
    )  # fmt: skip
    def test_a_file_that_holds_none_is_refused(self, tmp_path: Path, content: bytes | None, why: str) -> None:
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        for said in (
            refusal({"LAPWING_SMTP__PASSWORD_FILE": str(path)}),
            refusal(in_file(tmp_path, f"smtp: {{password_file: {path}}}")),
        ):
            assert str(path) in said and why in said and SECRET not in said

    def test_only_secrets_come_from_files(self) -> None:
        assert "unknown setting LAPWING_API__HOST_FILE" in refusal({"LAPWING_API__HOST_FILE": "/x"})

    def test_nothing_shows_one(self) -> None:
        settings = load(
            {
                "LAPWING_ADMIN_PASSWORD": SECRET,
                "LAPWING_SMTP__PASSWORD": SECRET,
                "LAPWING_KAFKA__PASSWORD": SECRET,
                "LAPWING_CLICKHOUSE__PASSWORD": SECRET,
                "LAPWING_CLICKHOUSE__DSN": f"https://u:{SECRET}@h:8443/lapwing?password={SECRET}",
                "LAPWING_ALERTER__WEBHOOK_URL": f"https://chat.example.org/services/T1/{SECRET}",
                "LAPWING_ALERTER__EXTERNAL_URL": f"https://u:{SECRET}@mon.example.org/",
            }
        )
        shown = dict(masked(settings))
        assert SECRET not in str(shown)
        assert shown["LAPWING_ALERTER__WEBHOOK_URL"] == "https://chat.example.org/***"
        assert shown["LAPWING_CLICKHOUSE__DSN"] == "https://u:***@h:8443/lapwing?password=***"
        assert list(shown) == [variable for variable, _, _ in describe()]
        for text in (repr(settings.clickhouse), repr(settings.smtp), str(settings.kafka)):
            assert SECRET not in text

    @pytest.mark.parametrize(
        "address",
        [
            "http://u:hunter2@h/db",
            "http://:hunter2@h/db",
            "http://u:hun@hunter2@h/db",
            "http://u:hunter2/x:y@h/db",
            "http://u:hunter2?x#y@h/db",
            "http://h/db?user=u&password=hunter2",
            "http://h/db?Password=hunter2&x=1",
            "http://h/db?api_token=hunter2#x",
            "a http://u:hunter2@h and http://u:hunter2@h",
        ],
    )
    def test_an_address_is_shown_without_its_password(self, address: str) -> None:
        shown = without_passwords(address)
        assert SECRET not in shown and "***" in shown

    def test_an_address_without_one_is_shown_as_it_is(self) -> None:
        for plain in ("http://host:8123/lapwing?x=1", "chdb://", "kafka-1:9092,kafka-2:9092", "http://lapwing@h/db"):
            assert without_passwords(plain) == plain

    @pytest.mark.parametrize("variable", ["LAPWING_CLICKHOUSE__DSN", "LAPWING_ALERTER__WEBHOOK_URL"])
    def test_a_refusal_does_not_repeat_one(self, variable: str) -> None:
        assert SECRET not in refusal({variable: f"mysql://u:{SECRET}@h"})

    def test_not_even_a_broken_file_gives_one_away(self, tmp_path: Path) -> None:
        said = refusal(in_file(tmp_path, f"smtp:\n  password: {SECRET}: [\n"))
        assert SECRET not in said and "in line 2" in said


class TestRefusals:
    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("LAPWING_API__PROT", "LAPWING_API__PORT"),
            ("LAPWING_API_PORT", "LAPWING_API__PORT"),
            ("LAPWING_KAFKA__BOOTSTRAP_SERVER", "LAPWING_KAFKA__BOOTSTRAP_SERVERS"),
            ("LAPWING_DATADIR", "LAPWING_DATA_DIR"),
            ("LAPWING_SMTP__PASSWORD_FIL", "LAPWING_SMTP__PASSWORD_FILE"),
        ],
    )
    def test_an_unknown_variable_is_named_with_the_nearest(self, variable: str, meant: str) -> None:
        assert refusal({variable: "x"}) == f"unknown setting {variable}; did you mean {meant}?"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("api: {prot: 1}", "unknown setting `prot`; did you mean port?"),
            ("apo: {port: 1}", "unknown setting `apo`; did you mean api?"),
            ("api: 8000", "`api` must be a mapping"),
            ("api: [port]", "`api` must be a mapping"),
            ("- api", "must hold a mapping of settings"),
            ("just text", "must hold a mapping of settings"),
            ("api: {port: 1", "is not YAML"),
            ("api: !!python/object:os.system {}", "is not YAML"),
            ("a: &a [*a]", "unknown setting `a`"),
            ("1: x", "unknown setting `1`"),
            (b"\xff\xfe\x00", "not UTF-8"),
            ("\x00", "is not YAML"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_named(self, tmp_path: Path, text: str | bytes, said: str) -> None:
        environ = in_file(tmp_path, text)
        message = refusal(environ)
        assert said in message and environ["LAPWING_CONFIG"] in message
        assert "\n" not in message

    @pytest.mark.parametrize("name", ["/nowhere/lapwing.yaml", "/"])
    def test_a_file_that_is_not_there_is_named(self, name: str) -> None:
        assert f"LAPWING_CONFIG: cannot read '{name}'" in refusal({"LAPWING_CONFIG": name})

    @pytest.mark.parametrize(
        ("variable", "value", "allowed"),
        [
            ("LAPWING_API__PORT", "70000", "65535"),
            ("LAPWING_API__PORT", "-1", "greater than or equal to 0"),
            ("LAPWING_API__PORT", "8000.5", "integer"),
            ("LAPWING_API__PROXIES", "10.0.0.1/8", "a network such as"),
            ("LAPWING_API__PROXIES", "nginx", "neither an address nor"),
            ("LAPWING_AGENT__INTERVAL", "0", "0.1"),
            ("LAPWING_AGENT__INTERVAL", "nan", "finite"),
            ("LAPWING_AGENT__INTERVAL", "1s", "number"),
            ("LAPWING_DETECTOR__THRESHOLD", "inf", "finite"),
            ("LAPWING_AGENT__LABELS", "rack", "key=value"),
            ("LAPWING_AGENT__LABELS", "=b4", "key=value"),
            ("LAPWING_AGENT__REDACT", "(", "not a regular expression"),
            ("LAPWING_KAFKA__BOOTSTRAP_SERVERS", "kafka", "host:port"),
            ("LAPWING_KAFKA__BOOTSTRAP_SERVERS", "kafka:99999", "host:port"),
            ("LAPWING_KAFKA__BOOTSTRAP_SERVERS", "kafka:0", "host:port"),
            ("LAPWING_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092,", "host:port"),
            ("LAPWING_KAFKA__BOOTSTRAP_SERVERS", "embedded://x", "host:port"),
            ("LAPWING_KAFKA__SECURITY_PROTOCOL", "TLS", "SASL_SSL"),
            ("LAPWING_CLICKHOUSE__DSN", "lapwing", "chdb://"),
            ("LAPWING_CLICKHOUSE__RAW_DAYS", "0", "1"),
            ("LAPWING_ALERTER__WEBHOOK_URL", "https://", "http"),
            ("LAPWING_ALERTER__WEBHOOK_URL", "http://a b", "http"),
            ("LAPWING_ALERTER__EMAIL_TO", "ada", "e-mail address"),
            ("LAPWING_ALERTER__EMAIL_TO", "a@b\r\nBcc: c@d", "e-mail address"),
            ("LAPWING_SMTP__SECURITY", "ssl", "starttls"),
            ("LAPWING_LOG__LEVEL", "loud", "debug"),
        ],
    )
    def test_a_bad_value_is_refused_with_what_is_allowed(self, variable: str, value: str, allowed: str) -> None:
        message = refusal({variable: value})
        assert message.startswith(f"{variable}: ") and allowed in message

    def test_every_bad_value_is_told_at_once(self) -> None:
        message = refusal({"LAPWING_API__PORT": "x", "LAPWING_AGENT__PACK": "0"})
        assert [line.split(":")[0] for line in message.splitlines()] == ["LAPWING_API__PORT", "LAPWING_AGENT__PACK"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("api: {port: yes}", "LAPWING_API__PORT: must not be true or false"),
            ("agent: {interval: on}", "LAPWING_AGENT__INTERVAL: must not be true or false"),
            ("smtp: {password: 12345}", "LAPWING_SMTP__PASSWORD: Input should be a valid string"),
            ("agent: {labels: {rack: 4}}", "LAPWING_AGENT__LABELS: rack: Input should be a valid string"),
            ("agent: {labels: [a]}", "LAPWING_AGENT__LABELS: Input should be a valid dictionary"),
            ("alerter: {email_to: {a: b}}", "LAPWING_ALERTER__EMAIL_TO: Input should be a valid list"),
            ("data_dir: 7", "LAPWING_DATA_DIR: "),
        ],
    )
    def test_a_yaml_value_of_another_type_is_refused(self, tmp_path: Path, text: str, said: str) -> None:
        assert said in refusal(in_file(tmp_path, text))


def test_every_setting_has_a_sentence_and_a_variable_of_its_own() -> None:
    rows = list(describe())
    assert len({variable for variable, _, _ in rows}) == len(rows) > 50
    for variable, _, description in rows:
        assert description, variable


def test_settings_cannot_be_changed_in_passing() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().api.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.0.2.7", False), ("localhost.example.org", False), ("", False)],
)  # fmt: skip
def test_loopback_is_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback

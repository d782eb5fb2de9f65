"""Secrets in command lines. Every row of docs/redaction.md is here."""

from __future__ import annotations

import shlex
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.agent.redact import LONGEST, Redactor, is_secret

S = "s3cr3tVALUE"
redact = Redactor().arguments


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        # options whose name says it
        (f"app --password {S}", "app --password ***"),
        (f"app --password={S}", "app --password=***"),
        (f"app -password {S}", "app -password ***"),
        (f"app --db-password '{S} {S}'", "app --db-password ***"),
        (f"app --token {S} run", "app --token *** run"),
        (f"app --api-key={S}", "app --api-key=***"),
        (f"app --client_secret {S}", "app --client_secret ***"),
        (f"app --storePass {S}", "app --storePass ***"),
        (f"app --connection-string={S}", "app --connection-string=***"),
        (
            f"java -Djavax.net.ssl.keyStorePassword={S} -jar a.jar",
            "java -Djavax.net.ssl.keyStorePassword=*** -jar a.jar",
        ),
        (f"helm upgrade x --set db.password={S}", "helm upgrade x --set db.password=***"),
        (f"redis-server --requirepass {S}", "redis-server --requirepass ***"),
        (f"xfreerdp /u:bob /p:{S} /v:h", "xfreerdp /u:bob /p:*** /v:h"),
        # the environment's way
        (f"env DB_PASSWORD={S} app", "env DB_PASSWORD=*** app"),
        (f"docker run -e AWS_SECRET_ACCESS_KEY={S} -p 80:80 x", "docker run -e AWS_SECRET_ACCESS_KEY=*** -p 80:80 x"),
        (f"env PGPASSWORD={S} psql", "env PGPASSWORD=*** psql"),
        (f"env MYSQL_PWD={S} mysql", "env MYSQL_PWD=*** mysql"),
        # one-letter options of programs
        (f"mysql -uroot -p{S} db", "mysql -uroot -p*** db"),
        (f"/usr/bin/mysqldump -p{S} db", "/usr/bin/mysqldump -p*** db"),
        (f"sshpass -p {S} ssh h", "sshpass -p *** ssh h"),
        (f"sshpass -p{S} ssh h", "sshpass -p*** ssh h"),
        (f"redis-cli -a {S} ping", "redis-cli -a *** ping"),
        (f"curl -u bob:{S} https://h", "curl -u bob:*** https://h"),
        (f"curl -ubob:{S} https://h", "curl -ubob:*** https://h"),
        (f"curl --user=bob:{S} https://h", "curl --user=bob:*** https://h"),
        (f"smbclient -U bob%{S} //h/x", "smbclient -U bob%*** //h/x"),
        (f"ldapsearch -D cn=x -w {S}", "ldapsearch -D cn=x -w ***"),
        (f"docker login -u bob -p {S} r.example.org", "docker login -u bob -p *** r.example.org"),
        (f"openssl rsa -passin pass:{S} -in k", "openssl rsa -passin *** -in k"),
        (f"7z a -p{S} x.7z", "7z a -p*** x.7z"),
        (f"rar a -hp{S} x.rar", "rar a -hp*** x.rar"),
        (f"zip -P {S} x.zip y", "zip -P *** x.zip y"),
        (f"mongosh -u bob -p {S} h", "mongosh -u bob -p *** h"),
        (f"snmpget -A {S} -X {S} -c {S} h", "snmpget -A *** -X *** -c *** h"),
        (f"sqlcmd -U sa -P {S}", "sqlcmd -U sa -P ***"),
        (f"ipmitool -H h -P {S} power status", "ipmitool -H h -P *** power status"),
        (f"mosquitto_pub -u bob -P {S} -t x", "mosquitto_pub -u bob -P *** -t x"),
        (f"influx -t {S} query", "influx -t *** query"),
        (f"http -a bob:{S} h", "http -a bob:*** h"),
        (f"ab -A bob:{S} http://h/", "ab -A bob:*** http://h/"),
        (f"podman login -p {S} r", "podman login -p *** r"),
        (f"sudo -u bob mysql -p{S}", "sudo -u bob mysql -p***"),
        (f"curl -su bob:{S} https://h", "curl -su bob:*** https://h"),
        (f"curl -sSfLubob:{S} https://h", "curl -sSfLubob:*** https://h"),
        (f"curl -b session={S} https://h", "curl -b *** https://h"),
        (f"curl --cookie session={S} --cookie-jar jar h", "curl --cookie *** --cookie-jar jar h"),
        (f"curl -E cert.pem:{S} https://h", "curl -E cert.pem:*** https://h"),
        (f"ssh-keygen -t rsa -N {S} -f k", "ssh-keygen -t rsa -N *** -f k"),
        (f"consul agent -encrypt={S}", "consul agent -encrypt=***"),
        (f"kubectl create secret generic x --from-literal=k={S}", "kubectl create secret generic x --from-literal=***"),
        (f"sqlplus -s scott/{S}@db @x.sql", "sqlplus -s scott/***@db @x.sql"),
        # a name of its own before it
        (f"aws configure set aws_secret_access_key {S}", "aws configure set aws_secret_access_key ***"),
        (f"nmcli dev wifi connect x password {S}", "nmcli dev wifi connect x password ***"),
        # addresses
        (f"app bob:{S}@h:3306/db", "app bob:***@h:3306/db"),
        (f"app --dsn 'bob:{S}@tcp(h:3306)/db'", "app --dsn 'bob:***@tcp(h:3306)/db'"),
        (f"app https://bob:{S}@h/x", "app https://bob:***@h/x"),
        (f"app redis://:{S}@h:6379/0", "app redis://:***@h:6379/0"),
        (f"app --dsn=postgres://u:{S}@h1,h2/db", "app --dsn=postgres://u:***@h1,h2/db"),
        (f"app 'https://h/x?user=1&access_token={S}&y=2'", "app 'https://h/x?user=1&access_token=***&y=2'"),
        (f"app 'https://h/blob?sv=1&sig={S}'", "app 'https://h/blob?sv=1&sig=***'"),
        (f"app 'https://h/x?X-Amz-Signature={S}&z=1'", "app 'https://h/x?X-Amz-Signature=***&z=1'"),
        # headers
        (f"curl -H 'Authorization: Bearer {S}' h", "curl -H 'Authorization: ***' h"),
        (f"curl -H 'X-Api-Key: {S}' h", "curl -H 'X-Api-Key: ***' h"),
        (f"curl -H 'X-Vendor-Secret-Id: {S}' h", "curl -H 'X-Vendor-Secret-Id: ***' h"),
        (f"app header 'Basic {S}=='", "app header 'Basic ***'"),
        (f"curl -H 'Cookie: session={S}; a=b' h", "curl -H 'Cookie: ***' h"),
        # documents and connection strings
        (f"""app '{{"user": "bob", "password": "{S} x"}}'""", """app '{"user": "bob", "password": "***"}'"""),
        (f"app 'Server=h;User Id=u;Password={S} x;'", "app 'Server=h;User Id=u;Password=***;'"),
        (f"app 'AccountName=n;AccountKey={S}=='", "app 'AccountName=n;AccountKey=***'"),
        # a command in an argument
        (f"""sh -c "mysqldump -p{S} db | gzip" """, """sh -c 'mysqldump -p*** db | gzip'"""),
        (f"""sh -c "app --token '{S} x' run" """, "sh -c 'app --token *** run'"),
    ],
)
def test_secrets_are_hidden_and_the_rest_is_kept(line: str, shown: str) -> None:
    assert redact(shlex.split(line)) == shlex.split(shown)


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2" * 10,
        "glpat-" + "a1B2" * 5,
        "xoxb-1234567890-abcdefghij",
        "sk_live_" + "a1B2" * 6,
        "AIza" + "a1B2c" * 7,
        "npm_" + "a1B2" * 9,
        "sk-proj-" + "a1B2" * 8,
        "hvs." + "a1B2" * 8,
        "pypi-" + "a1B2" * 8,
        "dop_v1_" + "a1B2" * 8,
        "hf_" + "a1B2" * 8,
        "SG." + "a1B2" * 6 + "." + "a1B2" * 6,
        "https://hooks.slack.com/services/T00/B00/abcdefgh",
        "https://discord.com/api/webhooks/12345/aB3_cD4-eF5",
        "https://api.telegram.org/bot123456:AAbbCC-dd_ee/sendMessage",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\ncut off",
    ],
)
def test_secrets_that_show_by_themselves(secret: str) -> None:
    for arguments in (["app", secret], ["app", f"--thing={secret}"], ["app", f"do {secret} now"]):
        assert secret[8:] not in " ".join(redact(arguments))


@pytest.mark.parametrize(
    "line",
    [
        "python3 -m http.server 8000",
        "app --tokenizer fast --max-tokens 100 --author bob",
        "app --token-file /run/secrets/token --password-file=/x --secret-name n",
        "psql --no-password -h db",
        "docker run -p 80:80 nginx",
        "ssh -p 2222 git@example.org",
        "java -Xmx3g -cp a:b:c Main key=value",
        "postgres: checkpointer",
        "sshd: root@pts/0",
        "nginx: worker process",
        "/usr/lib/systemd/systemd --switched-root --system --deserialize 31",
        "kubelet --config=/var/lib/kubelet/config.yaml --node-ip=10.0.0.1",
        "app http://localhost:8000/path?page=2",
        "mysql -p db",
        "app --sort-key name --primary-key id",
        "containerd-shim nginx:1.25@sha256:0123abcd",
        "scp bob@h:/x/y . && git fetch git@example.org:a/b.git",
        "aws secretsmanager get-secret-value --region eu",
        "curl -sS --output u:x http://h/",
        "sqlplus -s / as sysdba",
        "rsync -a host:a/b@c /x/y",
    ],
)
def test_what_is_no_secret_is_left_alone(line: str) -> None:
    assert redact(line.split()) == line.split()


def test_an_option_at_the_end_and_nothing_at_all() -> None:
    assert redact(["mysql", "--password"]) == ["mysql", "--password"]
    assert redact([]) == []
    assert redact([""]) == [""]


def test_more_patterns_from_the_settings() -> None:
    assert Redactor([r"ACME-\d+"]).arguments(["app", "id=ACME-123", "ACME-9"]) == ["app", "id=***", "***"]


def test_what_is_too_long_to_look_at_is_cut_not_shown() -> None:
    shown = Redactor().text("x" * LONGEST + " --password " + S)
    assert S not in shown
    assert shown.endswith("***")


@pytest.mark.parametrize(
    "argument",
    [
        "a=" * 8000,
        "'" * 16000,
        "://" * 5000,
        "a:b@" * 4000,
        "eyJ" * 5000,
        "a://b:" * 5000,
        "x-" * 9000,
        '\\"' * 8000,
        "a:" * 9000,
        "a:b" * 6000,
    ],
)
def test_nothing_takes_the_patterns_for_ever(argument: str) -> None:
    began = time.process_time()
    redact(["app", argument])
    assert time.process_time() - began < 2


FLAGS = st.sampled_from(
    [
        f"{dashes}{name}"
        for dashes in ("-", "--")
        for name in (
            "password",
            "db-password",
            "token",
            "api-key",
            "secret",
            "client-secret",
            "passphrase",
            "requirepass",
        )
    ]
)
NAMES = st.sampled_from(["PASSWORD", "DB_PASSWORD", "API_KEY", "PGPASSWORD", "aws_secret_access_key", "GITHUB_TOKEN"])
SECRETS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=6, max_size=40).filter(
    lambda s: len(set(s) - set("*")) > 3
)


@given(FLAGS, SECRETS, st.lists(st.sampled_from(["run", "-v", "--fast", "x=1"]), max_size=3))
def test_a_secret_after_an_option_never_survives(flag: str, secret: str, others: list[str]) -> None:
    assume(secret not in flag)  # what stands in the option's own name is no secret
    for arguments in ([flag, secret], [f"{flag}={secret}"]):
        shown = redact(["app", *arguments, *others])
        assert all(secret not in word for word in shown)
        assert len(shown) == 1 + len(arguments) + len(others)
        assert shown[1 + len(arguments) :] == others


@given(NAMES, SECRETS)
def test_a_secret_in_an_environment_never_survives(name: str, secret: str) -> None:
    assert redact(["env", f"{name}={secret}", "app"]) == ["env", f"{name}=***", "app"]


@given(FLAGS, SECRETS.filter(lambda s: not set(s) & set("'\"\\;")))
def test_a_secret_quoted_in_a_shell_command_never_survives(flag: str, secret: str) -> None:
    assume(secret not in flag)
    for quote in "'\"":
        shown = redact(["sh", "-c", f"app {flag} {quote}{secret}{quote} run"])
        assert secret not in shown[2]


@given(st.lists(st.text(max_size=60), max_size=12))
def test_any_command_line_keeps_its_number_of_arguments(arguments: list[str]) -> None:
    assert len(redact(arguments)) == len(arguments)


def test_names() -> None:
    assert is_secret("AWS_SECRET_ACCESS_KEY")
    assert is_secret("keyStorePassword")
    assert not is_secret("PASSWORD_FILE")
    assert not is_secret("key")
    assert not is_secret("")

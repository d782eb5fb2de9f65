"""What every command says of itself when it is asked."""

from __future__ import annotations

import pytest

from services.__main__ import main


@pytest.mark.parametrize(
    "command",
    ["up", "agent", "ingest", "detector", "alerter", "api", "migrate", "topics", "config show", "config check",
     "alert test", "user add", "user passwd", "user list", "user disable", "token create", "token list",
     "token revoke", "dlq list", "dlq show", "dlq retry", "dlq drop"],
)  # fmt: skip
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert f"lapwing {command}" in capsys.readouterr().out.split("example")[1]

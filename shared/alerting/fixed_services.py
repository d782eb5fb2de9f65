"""Which of apprise's services a stranger may name."""

from __future__ import annotations

FIXED = frozenset(
    {
        *("dingtalk", "discord", "feishu", "gchat", "lark", "opsgenie", "pagerduty", "pbul", "pover", "schan"),
        *("slack", "tgram", "twilio", "victorops", "wecombot", "wxteams"),
    }
)
"""Schemes of those that are in one place on the internet, whatever their URL says."""

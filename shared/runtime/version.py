"""The version of everything: packages, agent and API say the same."""

VERSION = "0.1.0"

"""Catches mails on port 1025 and lists them on port 8025, in the words of Mailpit."""

from __future__ import annotations

import json
import signal
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

caught: list[dict[str, Any]] = []


class Catcher:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=default)
        caught.append({"Subject": message["subject"], "To": [{"Address": it} for it in envelope.rcpt_tos]})
        return "250 caught"


class Lister(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"total": len(caught), "messages": caught}).encode()
        self.send_response(200 if self.path == "/api/v1/messages" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: exit(0))
Controller(Catcher(), hostname="0.0.0.0", port=1025).start()
ThreadingHTTPServer(("0.0.0.0", 8025), Lister).serve_forever()

"""Renders other people's templates, in a process of its own that may be killed: a line of JSON in, a line out.

Run by its path and without the product: ``sandbox.py`` starts it. Jinja2's sandbox keeps a template from reaching
anything; only the end of a process keeps it from taking all time and memory.
"""

from __future__ import annotations

import json
import resource
import sys

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY_BYTES = 512 << 20
MOST_CHARACTERS = 262_144


def answer(line: str) -> dict[str, object]:
    asked = json.loads(line)
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    written, size = [], 0
    try:
        for piece in environment.from_string(asked["source"]).generate(asked["context"]):
            size += len(piece)
            if size > MOST_CHARACTERS:
                return {"error": f"it writes more than {MOST_CHARACTERS} characters"}
            written.append(piece)
    except MemoryError:
        return {"error": "it takes too much memory"}
    except RecursionError:
        return {"error": "it calls itself without an end"}
    except TemplateError as error:
        return {"error": error.message or type(error).__name__}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"text": "".join(written)}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(line)), flush=True)


if __name__ == "__main__":
    main()

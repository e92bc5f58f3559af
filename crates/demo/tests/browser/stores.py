"""The stores that the demo is tested on: where each is, what the demo says of it, and how to look
into it past the demo.

SESSILE_TEST_POSTGRES, _MYSQL, _REDIS, _REDIS_CLUSTER name the servers, as for the library's tests;
`cargo xtask test` starts them. Each run has tables and keys of its own, which go at its end.
"""

import os
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

OWN = f"demo-{os.getpid()}"
TABLE = OWN.replace("-", "_")


class Store:
    """One store; `look` gives the bytes that what the demo shows as its place leads to."""

    #: What the front page says behind the session's age.
    said = "in memory"
    #: Whether sessions are there when the process was killed.
    outlives = True
    #: The variable that names its server.
    variable = None

    def __init__(self, folder):
        self.folder = Path(folder)

    def server(self):
        return os.environ[self.variable]

    def clear(self):
        """Removes what the run left on a server."""


class Files(Store):
    said = " on disk"

    def url(self):
        return f"file://{self.folder}/sessions"

    def look(self, path):
        return (self.folder / "sessions" / path).read_bytes()


class Memory(Store):
    outlives = False

    def url(self):
        return "memory:"


class Sqlite(Store):
    said = "in SQLite"

    def url(self):
        return f"sqlite://{self.folder}/app.db"

    def look(self, question):
        with sqlite3.connect(self.folder / "app.db") as database:
            (row,) = database.execute(question).fetchall()
        return bytes.fromhex(row[-1])


class Postgres(Store):
    said = "in PostgreSQL"
    variable = "SESSILE_TEST_POSTGRES"

    def url(self):
        return f"{self.server()}?table={TABLE}"

    def look(self, question):
        return bytes.fromhex(self.ask(question).split("|")[-1].removeprefix("\\x"))

    def ask(self, sql):
        return run("psql", self.server(), "-qAtc", sql).decode().strip()

    def clear(self):
        self.ask(f"DROP TABLE IF EXISTS {TABLE}, {TABLE}_owners, {TABLE}_schema")


class MySql(Store):
    said = "in MySQL or MariaDB"
    variable = "SESSILE_TEST_MYSQL"

    def url(self):
        return f"{self.server()}?table={TABLE}"

    def look(self, question):
        return bytes.fromhex(self.ask(question).split("\t")[-1])

    def ask(self, sql):
        url = urlsplit(self.server())
        where = [f"--host={url.hostname}", f"--port={url.port or 3306}", f"--user={url.username}"]
        words = [f"--password={url.password or ''}", "-N", "-e", sql, url.path.strip("/")]
        return run("mariadb", *where, *words).decode().strip()

    def clear(self):
        self.ask(f"DROP TABLE IF EXISTS {TABLE}, {TABLE}_owners, {TABLE}_schema")


class Redis(Store):
    said = "in Redis or Valkey"
    variable = "SESSILE_TEST_REDIS"

    def url(self):
        return f"{self.server()}?prefix={OWN}"

    def look(self, question):
        return self.ask(*question.split())

    def ask(self, *words, node=None):
        return run("redis-cli", "-c", "-u", node or self.nodes()[0], *words)

    def nodes(self):
        return [self.server()]

    def clear(self):
        for node in self.nodes():
            keys = self.ask("--scan", "--pattern", f"*{OWN}*", node=node).decode().split()
            for key in keys:
                self.ask("UNLINK", key, node=node)


class Cluster(Redis):
    said = "in a Redis or Valkey Cluster"
    variable = "SESSILE_TEST_REDIS_CLUSTER"

    def url(self):
        return f"redis+cluster://{self.server()}?prefix={OWN}"

    def nodes(self):
        return [f"redis://{node}" for node in self.server().split(",")]


STORES = {
    "file": Files,
    "memory": Memory,
    "sqlite": Sqlite,
    "postgres": Postgres,
    "mysql": MySql,
    "redis": Redis,
    "redis-cluster": Cluster,
}


def run(*command):
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout

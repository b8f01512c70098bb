"""One RabbitMQ node in a Docker container, with its ports published on 127.0.0.1 only."""

from pathlib import Path

from warren.console.private_identity import Identity
from warren.console.private_install import Image, NoBrokerAvailable, last_line, run


class Container:
    """The container of a private broker; its data is in a volume of the same name."""

    def __init__(self, image: Image, folder: Path, identity: Identity) -> None:
        self._image, self._folder, self._identity = image, folder, identity

    @property
    def name(self) -> str:
        return self._identity.name

    @property
    def pid(self) -> int | None:
        """The pid of the container's first process; None when it does not run."""
        said = run("docker", "inspect", "--format", "{{.State.Pid}}", self.name).stdout.strip()
        return int(said) if said.isdigit() and said != "0" else None

    @property
    def log_file(self) -> Path:
        """What the container has said until now."""
        done = run("docker", "logs", self.name)
        file = self._folder / "node.log"
        file.write_text(done.stdout + done.stderr)
        return file

    def start(self) -> None:
        """Start the container, making it first if there is none."""
        if run("docker", "inspect", self.name).returncode:
            self._docker("create", *self._options(), self._image.name)
        self._docker("start", self.name)

    def stop(self) -> None:
        run("docker", "stop", "--time", "30", self.name)
        # The ports may be others next time, and the data is not in the container.
        run("docker", "rm", "--force", self.name)

    def end(self) -> None:
        run("docker", "rm", "--force", self.name)
        run("docker", "volume", "rm", self.name)

    def kill(self) -> None:
        run("docker", "kill", self.name)

    def pause(self) -> None:
        self._docker("pause", self.name)

    def resume(self) -> None:
        self._docker("unpause", self.name)

    def ctl(self, *arguments: str) -> str:
        return self._docker("exec", self.name, "rabbitmqctl", *arguments)

    def _options(self) -> tuple[str, ...]:
        ports = self._identity.ports
        published = {ports.amqp: 5672, ports.management: 15672, ports.prometheus: 15692}
        publish = (word for ours, its in published.items() for word in ("--publish", f"127.0.0.1:{ours}:{its}"))
        # The node is named after the host, and its data after the node.
        return ("--name", self.name, "--hostname", self.name, "--volume", f"{self.name}:/var/lib/rabbitmq", *publish)

    def _docker(self, *arguments: str) -> str:
        done = run("docker", *arguments)
        if done.returncode:
            raise NoBrokerAvailable(f"docker {arguments[0]} failed ({last_line(done)})")
        return done.stdout

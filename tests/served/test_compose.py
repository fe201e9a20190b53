"""The served shape as files: what a container engine would refuse, found without one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_two_api_processes_one_loader_and_three_stores() -> None:
    assert set(COMPOSE["services"]) == {"api-1", "api-2", "loader", "postgres", "clickhouse", "valkey"}
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) == len({port.split(":")[0] for port in ports}) == 2


def test_every_service_is_limited_and_checked() -> None:
    image_has_check = "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    for name, service in COMPOSE["services"].items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert "healthcheck" in service or (image_has_check and "build" in service), name


def test_no_secret_stands_in_a_file_of_the_repository(tmp_path: Path) -> None:
    for name, service in COMPOSE["services"].items():
        environment = service.get("environment", {})
        assert not [key for key in environment if "PASSWORD" in key and not key.endswith("_FILE")], name
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
    script = tmp_path / "deploy" / "secrets.sh"
    script.parent.mkdir()
    script.write_text((ROOT / "deploy" / "secrets.sh").read_text())
    for _ in range(2):
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "deploy" / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert len(made["edu_secret_key"]) >= 32
    assert made["postgres_password"] in made["database_url"]
    assert made["clickhouse_password"] in made["clickhouse_url"]


def test_the_image_copies_what_exists_and_what_the_context_lets_through() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    sources = {
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == allowed
    assert [source for source in sources if not (ROOT / source).exists()] == []

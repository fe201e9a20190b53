"""Settings come from the environment and from secret files, are documented, and never print a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from core.embedded import DataFolder, secret_key
from core.errors import StartupError
from core.settings import Settings


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "database_url").write_text("postgresql://u:hunter2@h/d")
    (tmp_path / "edu_secret_key").write_text("k" * 40)
    settings = Settings(_secrets_dir=tmp_path)
    assert settings.database_url and settings.database_url.get_secret_value().endswith("@h/d")
    assert settings.secret_key and len(settings.secret_key.get_secret_value()) == 40


def test_the_environment_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDU_PORT", "1234")
    monkeypatch.setenv("CLICKHOUSE_URL", "chdb:///somewhere")
    settings = Settings()
    assert settings.port == 1234
    assert settings.embedded_warehouse and settings.embedded_postgres


def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDU_PORT", "99999")
    with pytest.raises(ValidationError, match="port"):
        Settings()


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_short_signing_key_is_refused(tmp_path: Path) -> None:
    settings = Settings(secret_key=SecretStr("short"))
    with pytest.raises(StartupError, match="too short"):
        secret_key(settings, DataFolder(tmp_path))


def test_secrets_are_not_printed() -> None:
    settings = Settings(database_url=SecretStr("postgresql://u:hunter2@h/d"), secret_key=SecretStr("k" * 32))
    assert "hunter2" not in repr(settings)
    assert "kkkk" not in str(settings)

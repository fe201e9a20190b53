"""All settings, read once from the environment, from `.env` and from files in /run/secrets; nothing else reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Origin = Annotated[str, StringConstraints(pattern=r"^https?://[a-zA-Z0-9.\-\[\]:]+$")]
_SECRETS = Path("/run/secrets")
_HOME = Path(__file__).resolve().parent.parent


class OidcProvider(BaseModel):
    """An identity provider of one school (OpenID Connect), and whom it may bring in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    title: str = Field(min_length=1, max_length=100)
    issuer: str = Field(pattern=r"^(https://|http://(127\.0\.0\.1|localhost)(:|/|$))")
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    school_id: int = Field(ge=1)
    domains: list[str] = Field(default_factory=list)
    trust_email: bool = False
    default_role: Literal["student", "teacher"] | None = None
    role_claim: str | None = None
    roles: dict[str, Literal["student", "teacher"]] = Field(default_factory=dict)
    scopes: str = "openid email profile"


class Settings(BaseSettings):
    """Each field's environment variable is its name with `EDU_` before it, or the alias given here."""

    model_config = SettingsConfigDict(
        env_prefix="EDU_",
        env_file=".env",
        secrets_dir=_SECRETS if _SECRETS.is_dir() else None,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
    )

    data_dir: Path = Field(
        default_factory=lambda: user_data_path("eduanalytics"),
        description="The folder of the embedded stores, the generated secret and the server's address.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="A Postgres server (postgresql://…); without it we start one in the data folder.",
    )
    clickhouse_url: SecretStr | None = Field(
        None,
        validation_alias="CLICKHOUSE_URL",
        description="A ClickHouse server (http[s]://user:password@host:port/database) or a folder "
        "(chdb:///some/folder); without it ClickHouse runs in process over the data folder.",
    )
    valkey_url: SecretStr | None = Field(
        None,
        validation_alias="VALKEY_URL",
        description="Valkey or Redis: broker between live servers, and notices of ended log-ins; "
        "without it they meet in Postgres every second or two.",
    )
    models_dir: Path = Field(_HOME / "semantic_models", description="The folder with cubes/, views/ and reports/.")
    host: str = Field("127.0.0.1", description="The address that the server listens on.")
    port: int = Field(9090, ge=0, le=65535, description="The port that the server listens on; 0 takes a free one.")
    time_zone: str = Field("UTC", description="The time zone of a query or a report that names none.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["json", "console"] = Field("json", description="One JSON object a line, or text for people.")

    secret_key: SecretStr | None = Field(
        None,
        description="Signs tokens and seals the signing keys (32 bytes or more, the same for all servers); "
        "without it one is made and kept in the data folder.",
    )
    access_token_minutes: int = Field(5, ge=1, le=60, description="How long an access token is good.")
    refresh_token_minutes: int = Field(10, ge=1, le=60 * 24 * 30, description="How long a refresh token is good.")
    session_hours: int = Field(24, ge=1, le=24 * 90, description="How long a log-in can be refreshed.")
    refresh_grace_seconds: int = Field(
        10,
        ge=0,
        le=60,
        description="How long the refresh token before the newest gives the same successor again (a lost answer).",
    )
    self_export: bool = Field(
        True, description="Whether a person may export his own data himself; an admin of his school always may."
    )
    cors_origins: list[Origin] = Field(
        default_factory=list, description="Web origins (https://app.example.org) that may call the API; `*` is refused."
    )
    open_registration: bool = Field(
        False,
        description="Whether anybody may register without an invitation, and found a school; "
        "it also lets anybody find out whether an address has an account.",
    )
    unverified_login: bool = Field(
        True, description="Whether somebody may log in who gave an address himself and has not proved it yet."
    )
    password_min_length: int = Field(8, ge=8, le=64, description="How many characters a new password has at least.")
    public_url: str = Field(
        "http://127.0.0.1:9090",
        pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$",
        description="The address at which people reach this server: links in mails, the way back from OpenID Connect.",
    )
    smtp_host: str | None = Field(
        None, description="The mail server; without one mails are files in `outbox` of the data folder."
    )
    smtp_port: int = Field(587, ge=1, le=65535, description="The port of the mail server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the way to the mail server is kept secret; none only inside one machine."
    )
    smtp_user: str | None = Field(None, description="The log-in at the mail server.")
    smtp_password: SecretStr | None = Field(None, description="The password at the mail server.")
    smtp_ca_file: Path | None = Field(
        None, description="A PEM file with the authority of the mail server's certificate."
    )
    mail_from: str = Field("EduAnalytics <eduanalytics@localhost>", description="The sender of our mails.")
    mail_language: Literal["en", "de"] = Field("en", description="The language of mails to people who chose none.")
    oidc_providers: list[OidcProvider] = Field(
        default_factory=list, description="Schools' identity providers, as a JSON list; docs/how-to/accounts.md."
    )
    docs: bool = Field(True, description="Whether /docs and /openapi.json are served.")

    loader: bool | None = Field(
        None, description="Whether the server also runs the loader; by default only with the embedded ClickHouse."
    )
    loader_poll_ms: int = Field(250, ge=10, le=60_000, description="How often the loader looks for new rows unasked.")
    loader_takeover_seconds: float = Field(
        10, ge=3, le=600, description="After how long a loader that has fallen silent loses its office to another."
    )
    audit_days: int = Field(
        7, ge=1, le=400, description="How many days back the nightly audit compares Postgres with ClickHouse."
    )
    batch_rows: int = Field(50_000, ge=1, le=1_000_000, description="How many rows a batch holds at the most.")
    archive_url: str | None = Field(
        None,
        description="Where old months go as Parquet: a folder, s3://bucket/prefix, gs://, az://; without it they stay.",
    )
    archive_endpoint: str | None = Field(
        None, pattern=r"^https?://", description="The address of an S3-compatible store; without it Amazon's."
    )
    archive_region: str | None = Field(None, description="The region of the S3 store.")
    archive_access_key: str | None = Field(None, description="The access key of the S3 store.")
    archive_secret_key: SecretStr | None = Field(None, description="The secret key of the S3 store.")
    hot_months: int = Field(
        13,
        ge=3,
        le=1200,
        description="How many full months stay in Postgres; older ones are archived, then dropped.",
    )
    warm_months: int = Field(
        36, ge=3, le=1200, description="How many full months stay in ClickHouse; older ones are in the archive only."
    )
    archive_rest_hours: float = Field(
        24, ge=0, description="How long an old month that got rows (by an import, say) waits before it is archived."
    )
    accept_queue_mb: int = Field(32, ge=1, description="How much accepted input may wait for its commit, in MB.")
    postgres_pool: int = Field(10, ge=2, le=200, description="How many connections to Postgres one process keeps.")
    query_threads: int = Field(4, ge=1, le=64, description="How many ClickHouse queries one process runs at once.")
    query_seconds: int = Field(30, ge=1, le=3600, description="How long a ClickHouse query may run.")
    query_memory_mb: int = Field(4096, ge=16, description="How much memory a ClickHouse query may take.")
    continue_wait_seconds: float = Field(
        10, gt=0, le=90, description="After how long /load answers «Continue wait» and lets the client ask again."
    )
    limit_normal: int = Field(100, ge=1, description="Requests a minute of one person, for most routes.")
    limit_query: int = Field(600, ge=1, description="Questions (/cubejs-api) a minute of one person.")
    limit_reports: int = Field(10, ge=1, description="Reports a minute of one person.")
    limit_events: int = Field(
        1000, ge=1, description="Sendings of events or answers a minute of one person; one sending may hold many."
    )
    limit_services: int = Field(
        0, ge=0, description="Requests a minute, in each class, of an operator or a program's token; 0: no limit."
    )
    limit_address: int = Field(
        3000, ge=1, description="Requests a minute from one address without a good token, log-ins included."
    )
    trusted_proxies: int = Field(
        0, ge=0, le=10, description="How many proxies before us write X-Forwarded-For; 0: the header is ignored."
    )
    allowed_hosts: list[str] = Field(
        default_factory=list, description="Host names (`*.example.org` too) under which we answer; none named: all."
    )
    request_seconds: float = Field(
        120, gt=0, le=3600, description="How long a request may take until its answer begins."
    )
    body_seconds: float = Field(
        30, gt=0, le=3600, description="How long a request's head, and then its body, may take."
    )
    max_body_mb: float = Field(10, gt=0, le=1024, description="The largest request body, in MB.")
    max_stream_mb: float = Field(
        1024, gt=0, le=1_000_000, description="The largest stream of events or answers (NDJSON), in MB."
    )
    letter_days: int = Field(
        90, ge=1, le=3660, description="How many days dead letters are kept, whether settled or not."
    )

    @model_validator(mode="after")
    def _tiers(self) -> Settings:
        if self.warm_months < self.hot_months:
            raise ValueError("EDU_WARM_MONTHS is less than EDU_HOT_MONTHS: rows would leave ClickHouse first")
        return self

    @property
    def embedded_postgres(self) -> bool:
        """Whether Postgres is ours to start."""
        return self.database_url is None

    @property
    def embedded_warehouse(self) -> bool:
        """Whether ClickHouse runs in this process."""
        return self.clickhouse_url is None or self.clickhouse_url.get_secret_value().startswith("chdb:")

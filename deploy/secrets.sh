#!/bin/sh
# Makes the secret files that docker-compose.yml names, once; existing ones stay.
set -eu
umask 077
folder="$(dirname "$0")/secrets"
mkdir -p "$folder"
word() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "$folder/$1" ] || printf %s "$2" >"$folder/$1"; }
keep postgres_password "$(word)"
keep clickhouse_password "$(word)"
keep edu_secret_key "$(word)"
keep database_url "postgresql://eduanalytics:$(cat "$folder/postgres_password")@postgres:5432/eduanalytics"
keep clickhouse_url "http://eduanalytics:$(cat "$folder/clickhouse_password")@clickhouse:8123/eduanalytics"
chmod 644 "$folder"/*
echo "Secrets are in $folder; keep that folder out of backups that others can read."

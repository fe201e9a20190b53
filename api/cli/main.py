"""The commands of `eduanalytics`."""

from __future__ import annotations

import typer

from api.cli import access, archive, ask, data, demo, erase, event_types, keys, letters, people, pipeline, serve, users

app = typer.Typer(
    name="eduanalytics",
    help="Answers questions about learning: a semantic layer over ClickHouse, fed from Postgres.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    serve.serve,
    demo.demo,
    serve.load,
    ask.query,
    ask.report,
    ask.reports,
    access.token,
    data.status,
    data.settings,
    erase.erase,
):
    app.command()(command)
app.command("import")(data.import_folder)
app.add_typer(ask.models_app, name="models")
app.add_typer(users.users_app, name="users")
app.add_typer(keys.keys_app, name="keys")
app.add_typer(people.audit_app, name="audit")
app.add_typer(erase.holds_app, name="holds")
app.add_typer(archive.archive_app, name="archive")
app.add_typer(pipeline.pipeline_app, name="pipeline")
app.add_typer(letters.letters_app, name="dead-letters")
app.add_typer(event_types.types_app, name="event-types")


def _version(wanted: bool) -> None:
    if wanted:
        from api.health import product_version

        typer.echo(product_version())
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Answers questions about learning: a semantic layer over ClickHouse, fed from Postgres."""


def main() -> None:
    """The entry point."""
    app()

"""The options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.output import Format

Data = Annotated[Path | None, typer.Option("--data", help="The data folder; without it EDU_DATA_DIR.")]
Models = Annotated[Path | None, typer.Option("--models", help="The model folder; without it EDU_MODELS_DIR.")]
Output = Annotated[Format, typer.Option("--format", "-f", help="How rows are printed.")]

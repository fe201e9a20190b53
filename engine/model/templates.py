"""Jinja in model files: rendered in a process of its own, sandboxed, with little time and memory and no environment.

What the process may read of the environment is handed to it; a name that looks like a secret is not. Templates may
import each other within the model folder (`{% import "macros.jinja" as m %}`); Python of the folder is never run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from core.errors import ModelError

SECONDS = 2
"""How long all templates of a folder may take together."""
MEGABYTES = 400
"""How much memory rendering may take."""
_JINJA = re.compile(r"\{%|\{\{")
_SECRET = re.compile(
    r"SECRET|PASSW|TOKEN|CREDENTIAL|PRIVATE|_KEY$|_URL$|_DSN$|^EDU_|^AWS_|^PG[A-Z]|^LD_|^PYTHON", re.IGNORECASE
)
_WORKER = Path(__file__).with_name("template_worker.py")


def is_template(name: str, text: str) -> bool:
    """Whether a file must be rendered before it is read."""
    return name.endswith(".jinja") or _JINJA.search(text) is not None


def is_library(name: str) -> bool:
    """Whether a file only holds what templates import."""
    return name.endswith(".jinja") and not name.endswith((".yml.jinja", ".yaml.jinja"))


def render_all(files: Mapping[str, str]) -> tuple[dict[str, str], list[ModelError]]:
    """The texts with Jinja rendered, and what went wrong; files without Jinja stay as they are."""
    wanted = [name for name, text in files.items() if is_template(name, text) and not is_library(name)]
    texts = {name: text for name, text in files.items() if name not in wanted and not is_library(name)}
    if not wanted:
        return texts, []
    answers, reason = _worked(files, wanted)
    errors: list[ModelError] = []
    for name, answer in zip(wanted, answers, strict=False):
        if "text" in answer:
            texts[name] = answer["text"]
        else:
            errors.append(_error(name, answer["error"], int(answer.get("line") or 1)))
    if len(answers) < len(wanted):
        errors.append(_error(wanted[len(answers)], reason, 1))
    return {name: texts[name] for name in files if name in texts}, errors


def _worked(files: Mapping[str, str], wanted: list[str]) -> tuple[list[dict[str, str]], str]:
    """One answer a file, as far as the process came, and why it stopped if it did."""
    environment = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    task = json.dumps(
        {"files": dict(files), "wanted": wanted, "environment": environment, "megabytes": MEGABYTES, "seconds": SECONDS}
    )
    reason = f"rendering takes more than {MEGABYTES} MB or {SECONDS} seconds"
    command = [sys.executable, "-I", str(_WORKER)]
    try:
        done = subprocess.run(command, input=task.encode(), capture_output=True, timeout=5 * SECONDS, env={})  # noqa: S603
        output = done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    return [json.loads(line) for line in output.split(b"\n")[:-1]], reason


def _error(name: str, problem: str, line: int) -> ModelError:
    hint = None
    if "is undefined" in problem or "has no attribute" in problem:
        hint = "Python of the model folder is not run and COMPILE_CONTEXT is empty: one model serves every caller."
    problem = problem.rstrip(".")
    return ModelError(f"{name}:{line}: Jinja: {problem}.", hint=hint, file=name, line=line)

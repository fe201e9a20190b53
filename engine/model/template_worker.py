"""The process that renders templates: a task as JSON on stdin, one line of JSON a file on stdout.

It limits its own memory, time and writing before it looks at the first template.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from jinja2 import DictLoader, StrictUndefined
from jinja2.exceptions import SecurityError, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST = 5_000_000
"""Characters of a rendered file."""


def main() -> None:
    """Render every wanted file; a template that fails costs only its own answer."""
    task = json.load(sys.stdin)
    _limit(task["megabytes"], task["seconds"])
    environment = _environment(task["files"], task["environment"])
    for name in task["wanted"]:
        sys.stdout.write(json.dumps(_answer(environment, name)) + "\n")
        sys.stdout.flush()


def _limit(megabytes: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _environment(files: dict[str, str], variables: dict[str, str]) -> ImmutableSandboxedEnvironment:
    def env_var(name: str, default: str | None = None) -> str:
        value = variables.get(name, default)
        if value is None:
            raise SecurityError(f"the environment variable {name} is not set, or looks like a secret")
        return value

    environment = ImmutableSandboxedEnvironment(
        loader=DictLoader(files), undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.globals.pop("lipsum", None)
    environment.globals.update(env_var=env_var, COMPILE_CONTEXT={})
    return environment


def _answer(environment: ImmutableSandboxedEnvironment, name: str) -> dict[str, Any]:
    try:
        parts: list[str] = []
        size = 0
        for part in environment.get_template(name).generate():
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                return {"error": f"the rendered file has more than {LARGEST} characters"}
        return {"text": "".join(parts)}
    except MemoryError:
        return {"error": "rendering takes too much memory"}
    except RecursionError:
        return {"error": "macros call each other without end"}
    except TemplateNotFound as error:
        return {"error": f"there is no template '{error.name}' in the model folder", "line": _line(error, name)}
    except TemplateError as error:
        return {"error": str(error.message or error), "line": _line(error, name)}
    except Exception as error:  # whatever a template does wrong is the template's mistake
        return {"error": f"{type(error).__name__}: {error}", "line": _line(error, name)}


def _line(error: BaseException, name: str) -> int:
    """The template's line: the parser tells it, else the deepest frame within the template."""
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while line is None and trace is not None:
        if trace.tb_frame.f_code.co_filename in (name, "<template>"):
            return trace.tb_lineno
        trace = trace.tb_next
    return line or 1


if __name__ == "__main__":
    main()

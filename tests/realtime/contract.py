"""The contract as it is published: docs/reference/asyncapi.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

_PATH = Path(__file__).resolve().parents[2] / "docs" / "reference" / "asyncapi.yaml"
CONTRACT: dict[str, Any] = yaml.safe_load(_PATH.read_text())
MESSAGES: dict[str, Any] = CONTRACT["components"]["messages"]


def examples(side: str) -> dict[str, dict[str, Any]]:
    """The examples of what clients `say` or `hear`, by event."""
    named = {name: message["examples"][0]["payload"] for name, message in MESSAGES.items()}
    return {name.removeprefix(f"{side}."): payload for name, payload in named.items() if name.startswith(f"{side}.")}


def _validator(side: str, event: str) -> tuple[Draft202012Validator, set[str]]:
    name = MESSAGES[f"{side}.{event}"]["payload"]["$ref"].rpartition("/")[2]
    schema = {"$ref": f"#/components/schemas/{name}", "components": CONTRACT["components"]}
    return Draft202012Validator(schema), set(CONTRACT["components"]["schemas"][name]["properties"])


def faults(side: str, frame: dict[str, Any]) -> list[str]:
    """What is wrong with a frame: its types, and fields that the contract does not know."""
    event = frame["event"]
    if f"{side}.{event}" not in MESSAGES:
        return [f"{event} is in no contract"]
    validator, known = _validator(side, event)
    unknown = [f"{event} has {field}" for field in frame.keys() - known - {"event"}]
    return unknown + [f"{event}: {error.json_path} {error.message}" for error in validator.iter_errors(frame)]

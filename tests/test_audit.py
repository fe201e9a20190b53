"""The audit of dependencies tells the truth where the list of holes cannot be reached."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("option", "code"), [("--perhaps", 0), ("--surely", 1)])
def test_without_a_network_the_audit_says_so(option: str, code: int) -> None:
    nowhere = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit", option],
        cwd=_ROOT,
        env={**os.environ, **nowhere, "NO_PROXY": "", "no_proxy": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "cannot be reached" in done.stdout

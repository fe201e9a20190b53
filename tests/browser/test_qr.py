"""Another program reads in our QR codes what we wrote into them."""

from __future__ import annotations

import json
import random
import shutil
import string
import subprocess
from pathlib import Path

import pytest

_LONGEST = 213
_SIGNS = string.ascii_letters + string.digits + ":/#=?&.-_~%"


def test_codes_of_every_size_are_read(npm_folder: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    chance = random.Random(7)
    texts = ["".join(chance.choices(_SIGNS, k=length)) for length in range(1, _LONGEST + 1, 4)]
    texts += ["https://quiz.example.org/live/join#code=K7QM2XPA", "x" * _LONGEST]
    script = Path(__file__).with_name("read_qr.mjs")
    told = subprocess.run(
        [node, str(script)], input=json.dumps(texts), capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(told.stdout) == texts

"""The certificate of an erasure as a page that can be printed and signed."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse

from api.privacy.erasures import Erasure

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_STYLE = """
body {font: 15px/1.5 serif; max-width: 44em; margin: 3em auto}
td, th {padding: 2px 1.2em 2px 0; text-align: left}
td + td {text-align: right}
"""
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Certificate of erasure {id}</title>
<style>{style}</style><h1>Certificate of erasure / Löschbescheinigung {id}</h1>
<p>Person {person}, school {school}. Asked {asked_at} by {by}. State: {state}. Finished: {finished_at}.</p>
{tables}<p>SHA-256 of the certificate: <code>{hash}</code></p>
<p>Date, signature / Datum, Unterschrift: ______________________________</p></html>"""


def page(erasure: Erasure) -> HTMLResponse:
    """The page; before the erasure is done it says so and has no counts."""
    found = erasure.certificate or {}
    tables = "".join(_table(title, found[side]) for side, title in _SIDES if side in found)
    remains = "".join(f"<li>{escape(text)}</li>" for text in found.get("remains", []))
    by = "the command line" if erasure.asked_by is None else f"{erasure.asked_role} {erasure.asked_by}"
    body = _PAGE.format(
        id=erasure.id,
        style=_STYLE,
        person=erasure.person,
        school=erasure.school_id or "none",
        asked_at=erasure.asked_at.isoformat(),
        by=escape(by),
        state=escape(erasure.state),
        finished_at=erasure.finished_at.isoformat() if erasure.finished_at else "not yet",
        tables=tables + (f"<h2>What remains / Was bleibt</h2><ul>{remains}</ul>" if remains else ""),
        hash=escape(erasure.hash or "—"),
    )
    return HTMLResponse(body, headers={"Content-Security-Policy": _POLICY})


_SIDES = (("record", "Postgres"), ("warehouse", "ClickHouse"))


def _table(title: str, rows: dict[str, dict[str, int]]) -> str:
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td>{side['before']}</td><td>{side['after']}</td></tr>"
        for name, side in rows.items()
    )
    head = "<tr><th></th><th>before / vorher</th><th>after / nachher</th></tr>"
    return f"<h2>{title}</h2><table>{head}{lines}</table>"

"""The pages made here: the form that asks for the token, and the documentation of the API. No scripts."""

from __future__ import annotations

import html
import json
from typing import Any

HTML = "text/html; charset=utf-8"
STYLE_PATH = "/pages.css"
STYLE = """\
:root { color-scheme: light dark; --ground: #d9d9d9; --card: #f2f2f2; --ink: #1a1a1a; --soft: #555; --line: #bbb }
@media (prefers-color-scheme: dark) {
  :root { --ground: #1f1f1f; --card: #2b2b2b; --ink: #eee; --soft: #b5b5b5; --line: #4a4a4a }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 56rem; margin: 0 auto; padding: 2rem 1rem }
main.narrow { max-width: 24rem; padding-top: 18vh }
section, form { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.25rem }
section { margin: 1rem 0 }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin: 0 }
p { margin: .5rem 0; color: var(--soft) }
label { display: block; margin-bottom: .25rem }
input, button { width: 100%; min-height: 44px; padding: .5rem .75rem; border-radius: 6px; font: inherit }
input { border: 1px solid var(--line); background: var(--ground); color: inherit }
button { margin-top: 1rem; border: 0; background: #0b5cad; color: #fff }
:focus-visible { outline: 3px solid #4c9bf0; outline-offset: 2px }
.wrong { color: #b3261e } @media (prefers-color-scheme: dark) { .wrong { color: #ff9d96 } }
table { width: 100%; border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--line) }
code, pre { font: .85rem/1.45 ui-monospace, monospace } pre { overflow-x: auto }
"""


def _page(title: str, body: str, narrow: bool = False) -> str:
    kind = ' class="narrow"' if narrow else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title><link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="{STYLE_PATH}"></head>'
        f"<body><main{kind}>{body}</main></body></html>\n"
    )


def token_form(wrong: bool = False) -> str:
    """Asks for the token that `retouche start --token` was given."""
    message = '<p class="wrong" role="alert">This is not the token: try again.</p>' if wrong else ""
    return _page(
        "Retouche: token",
        '<h1>Retouche</h1><form method="post" action="/token">'
        f'<label for="token">Token</label>{message}'
        '<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>'
        "<p>The one that the server was started with.</p>"
        '<button type="submit">Open</button></form>',
        narrow=True,
    )


def docs(openapi: dict[str, Any]) -> str:
    """The API on one page, made from its OpenAPI description."""
    schemas = openapi.get("components", {}).get("schemas", {})
    parts = [
        f"<h1>{html.escape(openapi['info']['title'])} {html.escape(openapi['info']['version'])}</h1>",
        '<p>For programs: <a href="/openapi.json">openapi.json</a>. '
        'Errors are JSON: <code>{"error": "one line"}</code>.</p>',
    ]
    for path, methods in openapi["paths"].items():
        for method, about in methods.items():
            parts.append(_endpoint(method, path, about, schemas))
    return _page("Retouche: API", "".join(parts))


def _endpoint(method: str, path: str, about: dict[str, Any], schemas: dict[str, Any]) -> str:
    rows = [
        (parameter["name"], parameter["in"], parameter.get("required", False), parameter.get("schema", {}))
        for parameter in about.get("parameters", [])
    ]
    content = about.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    schema = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    rows += [
        (name, "body", name in schema.get("required", []), field)
        for name, field in schema.get("properties", {}).items()
    ]
    table = "".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{where}{', required' if required else ''}</td>"
        f"<td>{html.escape(_words(field))}</td></tr>"
        for name, where, required, field in rows
    )
    text = html.escape(about.get("description") or about.get("summary") or "")
    kinds = f"<p>Sent as {html.escape(' or '.join(content))}.</p>" if content else ""
    return (
        f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{text}</p>{kinds}"
        + (f"<table><tr><th>field</th><th>in</th><th>meaning</th></tr>{table}</table>" if table else "")
        + "</section>"
    )


def _words(field: dict[str, Any]) -> str:
    """Type, limits and meaning of a field."""
    kinds = [field, *field.get("anyOf", [])]
    of: dict[str, Any] = next((kind for kind in kinds if kind.get("type") not in {None, "null"}), {})
    limits = [
        f"{sign} {of[key]}"
        for key, sign in (("minimum", "from"), ("maximum", "to"), ("exclusiveMaximum", "below"))
        if key in of
    ]
    choices = [" | ".join(map(str, of["enum"]))] if "enum" in of else []
    default = [f"default {json.dumps(field['default'])}"] if field.get("default") is not None else []
    meaning = field.get("description") or of.get("description") or ""
    facts = ", ".join([*([of["type"]] if "type" in of else []), *choices, *limits, *default])
    return f"{meaning} ({facts})" if meaning and facts else meaning or facts

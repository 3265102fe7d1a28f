"""Open the editor in a browser, and the HTTP API beside it.

The server listens on this machine only, unless --host says otherwise; then it needs a --token.
The page asks for it; programs send it as `Authorization: Bearer TOKEN`. The API is described at /docs.

examples:
  retouche start --open-browser
  retouche start --input photos/ --output filled/
  retouche start --model aot-gan weights/my.safetensors --device cuda:0 cuda:1
  retouche start --models weights/
  retouche start --browser-model default.onnx --onnxruntime-web node_modules/onnxruntime-web
  retouche start --host 0.0.0.0 --token "$(openssl rand -hex 16)"
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from retouche.apps.batch.pairing import check_writable
from retouche.apps.cli import flags, terminal
from retouche.errors import InputError, RetoucheError
from retouche.pictures.formats import BY_SUFFIX

TOKEN_VARIABLE = "RETOUCHE_TOKEN"


@dataclass(frozen=True)
class Options:
    host: Annotated[str, tyro.conf.arg(metavar="H")] = "127.0.0.1"
    """The address to listen on; one that others can reach needs --token."""
    port: Annotated[int, tyro.conf.arg(metavar="N")] = 8080
    """0 takes a free one, and says which."""
    input: Annotated[str | None, terminal.without_default("DIR|FILE")] = None
    """A folder of pictures to go through in the editor; or one picture, for programs that ask for it."""
    output: Annotated[str | None, terminal.without_default("DIR")] = None
    """The folder that the editor saves to; made if missing."""
    token: Annotated[str | None, terminal.without_default("T")] = None
    """What everybody must show. Kept out of the process list when given as RETOUCHE_TOKEN in the environment."""
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="M [M ...]")] = ("default",)
    """Who fills, as for `run`; the first at once, further files are offered beside the installed models."""
    models: Annotated[str | None, terminal.without_default("DIR")] = None
    """A folder whose weight files the page offers by their names; each is loaded at its first fill."""
    device: Annotated[tuple[str, ...], tyro.conf.arg(metavar="D [D ...]")] = ("auto",)
    """auto, cpu, cuda, cuda:N or mps; several have a worker each, and a request, or the page, may name one of them."""
    engine: flags.EngineName = None
    precision: flags.Precision = "32"
    compile: flags.Compile = False
    browser_model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE.onnx [...]", help_behavior_hint="")] = ()
    """Exported files (`retouche export`) with which the page fills by itself, in the browser: no picture travels."""
    onnxruntime_web: Annotated[str | None, terminal.without_default("DIR")] = None
    """The npm package that runs them there (npm install onnxruntime-web); alone, users open .onnx files of their own.
    Default with --browser-model: node_modules/onnxruntime-web."""
    queue: Annotated[int, tyro.conf.arg(metavar="N")] = 16
    """Requests that may wait; more are told to try again (429)."""
    max_bytes: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "256MiB"
    """The largest request (413 beyond)."""
    max_megapixels: Annotated[float, tyro.conf.arg(metavar="N")] = 100.0
    """The largest picture (422 beyond)."""
    max_seconds: Annotated[float, tyro.conf.arg(metavar="N")] = 300.0
    """The longest fill (504 beyond)."""
    connections: Annotated[int, tyro.conf.arg(metavar="N")] = 256
    """Connections that one address may hold; more are told to try again (429)."""
    allow_origin: Annotated[tuple[str, ...], tyro.conf.arg(metavar="URL [URL ...]", help_behavior_hint="")] = ()
    """Other sites whose pages may call the API, e.g. https://example.org; none unless listed."""
    threads: flags.Threads = None
    open_browser: terminal.Switch = False
    """Open the page."""


def main(options: Options) -> int:
    """Check everything, then serve until Ctrl-C."""
    _check_numbers(options)
    token = options.token if options.token is not None else os.environ.get(TOKEN_VARIABLE)
    given = _input(options.input)
    weights = _weights(options.models)
    missing = [name for name in ("fastapi", "uvicorn", "python_multipart") if importlib.util.find_spec(name) is None]
    if missing:
        raise RetoucheError(f"the server needs {', '.join(missing)}: pip install 'retouche[serve]'")

    from retouche.apps.server.core import Settings
    from retouche.apps.server.in_browser import in_browser
    from retouche.apps.server.running import run
    from retouche.apps.server.safety import Access, is_loopback
    from retouche.arithmetic import Computing

    if token is not None and not token.strip():
        raise InputError("--token is empty: give a word that is hard to guess")
    if not is_loopback(options.host) and token is None:
        raise InputError(f"--host {options.host} lets others in: give --token too, a word that is hard to guess")
    page = in_browser(options.browser_model, options.onnxruntime_web)
    folder_out = _output(options.output)
    terminal.set_threads(options.threads)
    settings = Settings(
        access=Access(options.host, token, tuple(origin.rstrip("/") for origin in options.allow_origin)),
        models=options.model,
        weights=weights,
        devices=options.device,
        engine=options.engine,
        computing=Computing(options.precision, options.compile),
        input=given,
        output=folder_out,
        waiting=options.queue,
        max_bytes=terminal.parse_bytes(options.max_bytes),
        max_pixels=int(options.max_megapixels * 1e6),
        max_seconds=options.max_seconds,
        connections=options.connections,
        browser=page,
    )

    def ready(address: str) -> None:
        print(f"Retouche is at {address}   (Ctrl-C ends it)", flush=True)
        if options.open_browser:
            import webbrowser

            webbrowser.open(address)

    ended = run(settings, options.port, ready)
    print("Retouche has ended", flush=True)
    if not ended:
        sys.stderr.flush()
        os._exit(0)
    return 0


def _check_numbers(options: Options) -> None:
    if not 0 <= options.port <= 65535:
        raise InputError(f"--port is {options.port}: give 0 to 65535")
    if options.queue < 0:
        raise InputError(f"--queue is {options.queue}: give 0 or more")
    if options.connections < 1:
        raise InputError(f"--connections is {options.connections}: give 1 or more")
    for flag, value in (("--max-megapixels", options.max_megapixels), ("--max-seconds", options.max_seconds)):
        if not 0 < value < 1e9:
            raise InputError(f"{flag} is {value}: give a number above 0")
    if not options.model or not options.device:
        raise InputError("--model and --device need a name each")


def _input(given: str | None) -> Path | None:
    if given is None:
        return None
    path = Path(given)
    if not path.is_dir() and (path.suffix.lower() not in BY_SUFFIX or not path.is_file()):
        raise InputError(f"--input {given} is neither a folder nor a picture: give one")
    return path.resolve()


def _weights(given: str | None) -> Path | None:
    if given is not None and not Path(given).is_dir():
        raise InputError(f"--models {given} is no folder: give one with weight files, or a file by --model")
    return None if given is None else Path(given).resolve()


def _output(given: str | None) -> Path | None:
    if given is None:
        return None
    path = Path(given)
    path.mkdir(parents=True, exist_ok=True)
    check_writable(path)
    return path.resolve()

"""The models on offer, and what the server has."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from retouche import __version__
from retouche.apps.server import schema
from retouche.apps.server.bodies import BodyRoute
from retouche.apps.server.core import ERRORS, Here, Server
from retouche.apps.server.models import FillWorker
from retouche.progress import ProgressCallback

router = APIRouter(prefix="/api/v1", route_class=BodyRoute)


def _about(server: Server, name: str) -> dict[str, Any]:
    row = next((row for row in server.catalogue.rows() if row["name"] == name), None)
    # the names that archived clients read
    archived = {"path": name, "model_type": "inpaint", "need_prompt": False, "controlnets": []}
    return {"name": name, **archived, "conditioning": server.catalogue.conditioning(name), **(row or {})}


@router.get("/server-config", tags=["server"])
def server_config(server: Here) -> dict[str, Any]:
    """What this server has: models, devices, limits, folders."""
    settings, rows = server.settings, server.catalogue.rows()
    folder = settings.input is not None and settings.input.is_dir()
    return {
        "version": __version__,
        "model": server.catalogue.current,
        "models": rows,
        "devices": [{"name": name, "why": why} for name, why in server.offered.items()],
        "limits": {
            "bytes": settings.max_bytes,
            "pixels": settings.max_pixels,
            "seconds": settings.max_seconds,
            "waiting": settings.waiting,
        },
        "input": folder,
        "output": settings.output is not None,
        "token": settings.access.token is not None,
        "browser": None if settings.browser is None else settings.browser.row(),
        # the names that archived clients read
        "plugins": [],
        "modelInfos": [_about(server, row["name"]) for row in rows],
        "samplers": [],
        "enableFileManager": folder,
        "enableAutoSaving": settings.output is not None,
        "enableControlnet": False,
        "disableModelSwitch": False,
        "isDesktop": False,
    }


@router.get("/samplers", tags=["server"])
def samplers() -> list[str]:
    """The samplers of diffusion models, which archived clients ask for: none here."""
    return []


@router.get("/models", tags=["models"])
def models(server: Here) -> list[dict[str, Any]]:
    """The models on offer: name, title, conditioning inputs, which one is current."""
    return server.catalogue.rows()


@router.get("/model", tags=["models"])
def model(server: Here) -> dict[str, Any]:
    """The model that fills where a request names none."""
    return _about(server, server.catalogue.current)


@router.post("/model", tags=["models"], responses=ERRORS)
async def switch_model(request: Request, asked: schema.SwitchModel, server: Here) -> dict[str, Any]:
    """Make another model the one that fills where a request names none; it is loaded at once."""
    catalogue = server.catalogue

    def act(worker: FillWorker, report_progress: ProgressCallback) -> str:
        name = catalogue.resolve(asked.name)
        loaded, _ = worker.model(catalogue.source(name))
        catalogue.learn(name, loaded)
        return name

    catalogue.current = await server.do(request, server.fill_workers, act)
    return _about(server, catalogue.current)

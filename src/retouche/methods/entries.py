"""One line of the list of what there is by name, and where its files are; nothing here imports PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retouche.errors import WeightsError
from retouche.weights import store
from retouche.weights.store import Weights

FILL, NETWORK, BACKBONE = "fill without weights", "network", "backbone"


@dataclass(frozen=True)
class Entry:
    """One line of the list: the published files of one name and tag, or what has none.

    Attributes:
        owner: the method, fill or backbone: "aot-gan"
        kind: FILL, NETWORK or BACKBONE
        title, source: for people
        files: of one tag (a method in two networks has two); none of a fill, and where nothing is published
    """

    owner: str
    kind: str
    title: str
    source: str
    files: tuple[Weights, ...] = ()

    @property
    def name(self) -> str:
        """What a user types: NAME, or NAME:TAG where there are files."""
        return f"{self.owner}:{self.files[0].tag}" if self.files else self.owner

    def path_of(self, weights: Weights) -> Path:
        """Where a file is, or would be; its bare name says neither method nor data set."""
        return store.packaged(weights.file) if weights.packaged else store.weights_folder() / self._place(weights)

    def is_here(self, weights: Weights) -> bool:
        """Whether a file is where it would be, unchecked."""
        return weights.packaged or bool(store.entry_files(self.path_of(weights)))

    @property
    def here(self) -> bool:
        """Whether it can be used without a download: all of its files are here, unchecked, or it needs none."""
        return self.kind == FILL if not self.files else all(map(self.is_here, self.files))

    def checked(self) -> Path | None:
        """Its file, or the folder of several; each checked against its hash. None where one is missing.

        Raises: as `store.cached`
        """
        for weights in self.files:
            if not weights.packaged and store.cached(weights.sha256, self._place(weights)) is None:
                return None
        return self._path()

    def fetched(
        self, accept_unknown_hash: bool = False, progress: store.Progress | None = None, allow_http: bool = False
    ) -> Path:
        """Its file, or the folder of several, fetched where it is not here.

        Raises: WeightsError where no address is known, and as `store.fetch`
        """
        for weights in self.files:
            if weights.packaged:
                continue
            if weights.url is None and not self.is_here(weights):
                raise WeightsError(
                    f"no address is known for {weights.file} ({self.name}; {weights.remark or 'by hand'}): "
                    f"save it as {self.path_of(weights)}"
                )
            place, size = self._place(weights), weights.size_bytes
            store.fetch(weights.url or "", weights.sha256, place, accept_unknown_hash, progress, size, allow_http)
        return self._path()

    def _place(self, weights: Weights) -> str:
        return f"{self.owner}/{weights.tag}/{weights.file}"

    def _path(self) -> Path:
        paths = [self.path_of(weights) for weights in self.files]
        return paths[0] if len(paths) == 1 else paths[0].parent

"""Packing filled pictures into tar shards: each shard as it came, with the filled picture in the place of the given.

While a batch runs, the filled pictures of a shard lie beside it. It is written, whole or not at all, when all of them
have ended; a picture that failed has no sample in it, and comes in when `--resume` has filled it.
"""

from __future__ import annotations

import copy
import io
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retouche.folders.elsewhere import Far, field_of, upload
from retouche.runners.work import Job


class Shards:
    """The shards that a batch writes."""

    def __init__(self, jobs: Sequence[Job], undone: Sequence[Job]) -> None:
        """Shards of which nothing is left to do, but which a killed run has not packed, are packed now.

        Args:
            jobs: all of the plan
            undone: those that will end in this run
        """
        self._jobs: defaultdict[Far, list[Job]] = defaultdict(list)
        for job in jobs:
            if (shard := _shard(job)) is not None:
                self._jobs[shard].append(job)
        self._left = Counter(shard for job in undone if (shard := _shard(job)) is not None)
        for shard in self._jobs:
            if not self._left[shard] and staged(shard).names():
                self._pack(shard)

    def ended(self, job: Job) -> None:
        """One more picture is filled, or has failed."""
        shard = _shard(job)
        if shard is not None:
            self._left[shard] -= 1
            if not self._left[shard]:
                self._pack(shard)

    def _pack(self, shard: Far) -> None:
        jobs = self._jobs[shard]
        given = {_member(job.image)[1]: job.output for job in jobs}
        source = _member(jobs[0].image)[0]
        # what lies beside it, or, filled by an earlier run, in the shard that is there already
        filled = {name: output for name, output in given.items() if isinstance(output, Far) and output.is_file()}
        if not filled:
            return
        failed = {field_of(name)[0] for name in given} - {field_of(name)[0] for name in filled}
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "shard"
            with (
                source.stream() as stream,
                tarfile.open(fileobj=stream, mode="r:") as archive,
                tarfile.open(target, mode="w:") as result,
            ):
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isfile() and field_of(name)[0] not in failed:
                        own = filled[name].contents() if name in filled else archive.extractfile(member)
                        _add(result, member, own)
            upload(target, shard)
        staged(shard).remove()


def _add(archive: tarfile.TarFile, member: tarfile.TarInfo, content: Any) -> None:
    """A member with this content, bytes or a stream, and all else as it was."""
    header = copy.copy(member)
    if isinstance(content, bytes):
        header.size, content = len(content), io.BytesIO(content)
    archive.addfile(header, content)


def staged(shard: Far) -> Far:
    """The folder of what waits to be packed."""
    return (shard / "x").staged.parent


def _member(path: Path) -> tuple[Far, str]:
    """The shard that a picture comes from, and its name there: what is written into shards comes from some."""
    found = path.shard if isinstance(path, Far) else None
    assert found is not None
    return found


def _shard(job: Job) -> Far | None:
    found = job.output.shard if isinstance(job.output, Far) else None
    return None if found is None else found[0]

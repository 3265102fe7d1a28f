"""Work on files of unknown origin, in a process that can be killed in the middle of it.

A decoder that hangs, crashes or runs out of memory takes its own process along and not the server. This bounds time; it
is no sandbox: the process may do all that the server may.

Where the system can fork, the processes come from a fork server: a process that has imported what they need and does
nothing else, so that a new one is there in milliseconds. Nothing of this touches the disk.
"""

from __future__ import annotations

import atexit
import contextlib
import mmap
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection as PipeConnection
from multiprocessing.connection import wait
from typing import Any, TypeVar

from retouche.errors import InputError

ResultT = TypeVar("ResultT")

TICK = 0.05
"""Seconds between two looks whether a call is still wanted."""
CLOSING_SECONDS = 10.0
SHARED_BYTES = 64 << 10
"""Less goes through the socket itself."""
CRASHED = "reading this file ended its reader: the file is damaged, or too large for this machine's memory"
_WORD = struct.Struct("q")  # a process number to kill, or 0: a descriptor comes with it, on which a new process serves


class Helper:
    """A process that does calls, one after another; started at the first, and again after it has ended."""

    def __init__(self) -> None:
        self._wire: _Wire | _Pipe | None = None
        self._kill: Callable[[], None] = lambda: None

    def call(self, alive: Callable[[], object], function: Callable[..., ResultT], *args: Any) -> ResultT:
        """What a function of a module returns, called in the process; arguments and result travel as copies.

        Args:
            alive: called every moment; what it raises ends the call and the process
        Raises: what the function raises, or `alive`; InputError if the process ended in the middle
        """
        wire = self._send((function, args))
        try:
            while not wire.poll(TICK):
                alive()
            done, result = wire.receive()
        except (EOFError, OSError):
            self.end()
            raise InputError(CRASHED) from None
        except BaseException:
            self.end()
            raise
        if not done:
            raise result
        return result

    def end(self) -> None:
        """Kill the process."""
        if self._wire is not None:
            self._kill()
            self._wire.close()
            self._wire = None

    def _send(self, message: Any) -> _Wire | _Pipe:
        """Hand a call over; a process that has ended while it was idle is replaced."""
        if self._wire is not None:
            with contextlib.suppress(OSError):
                self._wire.send(message)
                return self._wire
            self.end()
        self._wire, self._kill = _process()
        self._wire.send(message)
        return self._wire


def _process() -> tuple[_Wire | _Pipe, Callable[[], None]]:
    """A process that serves: the wire to it, and what kills it."""
    if not hasattr(os, "fork"):
        return _spawned()
    try:
        return _fork_server().fork()
    except (OSError, struct.error):  # it has been ended, by whoever looks for memory
        _fork_server().close()
    try:
        return _fork_server().fork()
    except (OSError, struct.error):
        raise RuntimeError("no process to read files in: see the server's log") from None


def _spawned() -> tuple[_Pipe, Callable[[], None]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_pipe, args=(theirs,), daemon=True)
    process.start()
    theirs.close()

    def kill() -> None:
        process.kill()
        process.join()

    return _Pipe(ours), kill


# Messages -----------------------------------------------------------------------------------------------------------


class _Wire:
    """Messages over a socket: a pickle and the arrays beside it; large ones in memory that both processes map."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.close = sock.close

    def poll(self, seconds: float) -> bool:
        return bool(wait([self._socket], seconds))

    def send(self, message: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(message, 5, buffer_callback=buffers.append)
        parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
        sizes = [part.nbytes for part in parts]
        self._socket.sendall(struct.pack(f"{1 + len(sizes)}q", len(sizes), *sizes))
        for part in parts:
            if part.nbytes < SHARED_BYTES or not hasattr(os, "memfd_create"):
                self._socket.sendall(part)
                continue
            descriptor = os.memfd_create("retouche")
            try:
                while part.nbytes:
                    part = part[os.write(descriptor, part) :]
                socket.send_fds(self._socket, [b"m"], [descriptor])
            finally:
                os.close(descriptor)

    def receive(self) -> Any:
        (count,) = _WORD.unpack(self._read(_WORD.size))
        sizes = struct.unpack(f"{count}q", self._read(count * _WORD.size))
        body, *arrays = [self._part(size) for size in sizes]
        return pickle.loads(body, buffers=arrays)

    def _part(self, size: int) -> bytearray | mmap.mmap:
        if size < SHARED_BYTES or not hasattr(os, "memfd_create"):
            return self._read(size)
        _, descriptors, *_ = socket.recv_fds(self._socket, 1, 1)
        if not descriptors:
            raise EOFError
        try:
            return mmap.mmap(descriptors[0], size, access=mmap.ACCESS_COPY)
        finally:
            os.close(descriptors[0])

    def _read(self, size: int) -> bytearray:
        content = bytearray(size)
        view = memoryview(content)
        while view.nbytes:
            got = self._socket.recv_into(view)
            if not got:
                raise EOFError
            view = view[got:]
        return content


class _Pipe:
    """Messages where processes are spawned."""

    def __init__(self, connection: PipeConnection) -> None:
        self.send, self.receive = connection.send, connection.recv
        self.poll, self.close = connection.poll, connection.close


def _serve(wire: _Wire | _Pipe) -> None:
    """Do calls until nobody is there any more."""
    while True:
        try:
            function, args = wire.receive()
        except (EOFError, OSError):
            return
        try:
            answer = True, function(*args)
        except Exception as error:
            answer = False, error.with_traceback(None)
        try:
            wire.send(answer)
        except (AttributeError, TypeError, pickle.PicklingError):  # an error that cannot travel
            wire.send((False, RuntimeError(type(answer[1]).__name__)))
        del function, args, answer  # pictures are large


def _serve_pipe(connection: PipeConnection) -> None:
    _serve(_Pipe(connection))


# Fork server ----------------------------------------------------------------------------------------------------------


class _ForkServer:
    """This process's socket to the one that forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        begin = f"import sys; sys.path[:] = {sys.path!r}; from retouche.apps.server import foreign; "
        begin += "foreign.fork_on_request({})"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", begin.format(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # a fork keeps no threads
            )
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self) -> tuple[_Wire, Callable[[], None]]:
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                socket.send_fds(self._socket, [_WORD.pack(0)], [theirs.fileno()])
                (number,) = _WORD.unpack(self._socket.recv(_WORD.size, socket.MSG_WAITALL))
        except (OSError, struct.error):
            ours.close()
            raise

        def kill() -> None:
            with self._lock, contextlib.suppress(OSError):
                self._socket.sendall(_WORD.pack(number))

        return _Wire(ours), kill

    def close(self) -> None:
        atexit.unregister(self.close)
        self._socket.close()
        try:
            self._process.wait(CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_nurseries: list[_ForkServer] = []
_nurseries_lock = threading.Lock()


def _fork_server() -> _ForkServer:
    with _nurseries_lock:
        if _nurseries and not _nurseries[0].alive:
            _nurseries.pop().close()
        if not _nurseries:
            _nurseries.append(_ForkServer())
        return _nurseries[0]


def prepare() -> None:
    """Have the fork server import what it needs, beside whatever else is going on."""
    if hasattr(os, "fork"):
        _fork_server()


def fork_on_request(descriptor: int) -> None:
    """Fork a process for each descriptor that comes, kill those that are named, and end with the server."""
    for name in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which ends in order, and this with it
        signal.signal(name, signal.SIG_IGN)
    import retouche.apps.server.work
    import retouche.pictures.decoding
    import retouche.pictures.encoding  # noqa: F401

    connection = socket.socket(fileno=descriptor)
    children: set[int] = set()
    while True:
        word, descriptors, *_ = socket.recv_fds(connection, _WORD.size, 1)
        children -= {number for number in children if os.waitpid(number, os.WNOHANG)[0]}
        if not word:
            for number in children:
                os.kill(number, signal.SIGKILL)
            return
        (number,) = _WORD.unpack(word)
        if number in children:
            os.kill(number, signal.SIGKILL)
        if not descriptors:
            continue
        child = os.fork()
        if child == 0:
            connection.close()
            try:
                _serve(_Wire(socket.socket(fileno=descriptors[0])))
            finally:
                os._exit(0)
        os.close(descriptors[0])
        children.add(child)
        connection.sendall(_WORD.pack(child))

"""The lock of a partition in an object store: a lease object, taken by a put that succeeds only if
nobody else's did.

The lease names its owner and the moment at which it ends; the owner renews it while it works.
Whoever finds it ended takes it over with a put that succeeds only if the lease is still the one
that was read. Clocks that disagree, or an owner that was suspended and wakes up late, can make two
believe that they hold it: then the fence decides. The partition is published only over the very
object that was there when the lock was taken, so of two believers the second one fails, with
nothing lost.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harmony_pipeline.errors import DataError, Superseded
from harmony_pipeline.locks import described, this_process

LEASE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 1.0


@dataclass
class Lease:
    """A lease that was taken, and the e-tag of the partition at that moment (None: there was
    none).
    """

    store: Any
    name: str
    what: str
    tag: str
    ends: float
    """On this process's monotonic clock."""
    expected: str | None
    token: str
    lost: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Raise DataError when the lease ended or was taken over."""
        if self.lost or time.monotonic() >= self.ends:
            raise Superseded(
                f"{self.what}: the lock was lost, because this process did not renew it in time;"
                " nothing was published: run it again"
            )

    def renew(self, seconds: float) -> None:
        """Move the end of the lease, or note that it was lost."""
        with self._lock:
            began = time.monotonic()
            tag = _replace(self.store, self.name, _body(self.token, seconds), self.tag)
            if tag is None:
                self.lost = True
            else:
                self.tag, self.ends = tag, began + seconds


@contextmanager
def lease(
    store: Any, name: str, what: str, published: str, timeout_seconds: float
) -> Iterator[Lease]:
    """Hold the lease object `name` for the partition object `published`. Raises DataError naming
    the owner after the timeout.
    """
    lease_seconds = LEASE_SECONDS
    taken = _take(store, name, what, timeout_seconds, lease_seconds)
    done = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(taken, lease_seconds, done), daemon=True, name=f"lease {name}"
    )
    keeper.start()
    try:
        taken.expected = _tag(store, published)
        yield taken
    finally:
        done.set()
        keeper.join()
        if not taken.lost:
            # an ended lease, not a deletion: that could not be made conditional
            _replace(store, name, _body(taken.token, 0.0), taken.tag)


def _take(store: Any, name: str, what: str, timeout_seconds: float, lease_seconds: float) -> Lease:
    token = uuid.uuid4().hex
    deadline, pause = time.monotonic() + timeout_seconds, _FIRST_PAUSE_SECONDS
    while True:
        began = time.monotonic()
        body = _body(token, lease_seconds)
        found = _read(store, name)
        if found is None:
            tag = _create(store, name, body)
        else:
            lease_found, seen = found
            tag = _replace(store, name, body, seen) if lease_found["ends"] <= time.time() else None
        if tag is not None:
            return Lease(store, name, what, tag, began + lease_seconds, None, token)
        if time.monotonic() >= deadline:
            owner = described(found[0]["holder"]) if found else "another process"
            raise DataError(
                f"{what} is being written by {owner}; waited {timeout_seconds:g} s: try again when"
                " it is done"
            )
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _keep(taken: Lease, seconds: float, done: threading.Event) -> None:
    """Renew until the work is done. A store that does not answer is asked again; when it stays
    silent, the lease ends by itself.
    """
    while not done.wait(seconds / 3):
        try:
            taken.renew(seconds)
        except Exception:  # noqa: S112 - `check` sees the end of the lease
            continue
        if taken.lost:
            return


def _body(token: str, seconds: float) -> bytes:
    return json.dumps(
        {
            "token": token,
            "holder": this_process(),
            "ends": time.time() + seconds if seconds else 0.0,
        }
    ).encode()


def _read(store: Any, name: str) -> tuple[dict[str, Any], str] | None:
    import obstore

    try:
        answer = obstore.get(store, name)
    except FileNotFoundError:
        return None
    return json.loads(bytes(answer.bytes())), str(answer.meta["e_tag"])


def _tag(store: Any, name: str) -> str | None:
    import obstore

    try:
        return str(obstore.head(store, name)["e_tag"])
    except FileNotFoundError:
        return None


def _create(store: Any, name: str, body: bytes) -> str | None:
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        return str(obstore.put(store, name, body, mode="create", use_multipart=False)["e_tag"])
    except (AlreadyExistsError, PreconditionError):
        return _if_ours(store, name, body)


def _replace(store: Any, name: str, body: bytes, tag: str) -> str | None:
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        return str(
            obstore.put(store, name, body, mode={"e_tag": tag}, use_multipart=False)["e_tag"]
        )
    except (AlreadyExistsError, PreconditionError):
        return _if_ours(store, name, body)


def _if_ours(store: Any, name: str, body: bytes) -> str | None:
    """The e-tag when the refused put had in truth succeeded: the client asks again after a lost
    answer, and is then refused by its own success.
    """
    found = _read(store, name)
    return found[1] if found is not None and found[0] == json.loads(body) else None


def runs(store: Any, name: str) -> bool:
    """Whether somebody holds the lease `name`."""
    found = _read(store, name)
    return found is not None and bool(found[0]["ends"] > time.time())

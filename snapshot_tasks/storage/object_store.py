"""S3 and compatible stores, Google Cloud Storage and Azure, all through `obstore`.

Every object is written by one request, never as a multipart upload, because the parts of an
unfinished upload would stay in the bucket, hidden but paid for.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from snapshot_tasks.storage.base import TOO_LONG, AlreadyThere, Protected, Stored
from snapshot_tasks.storage.place import Place
from snapshot_tasks.system.errors import NotFound, Refused, StorageError
from snapshot_tasks.system.proxies import set_variables
from snapshot_tasks.system.untrusted import printable

if TYPE_CHECKING:
    from obstore import GetOptions, PutMode

READ_ATTEMPTS = 5
# How long an interrupted request may take to end, so that its thread ends before Python does.
PARTING_SECONDS = 2.0
CHUNK_BYTES = 1 << 20
# Objects beside the folders are listed too, and there can be millions.
FOLDERS_SECONDS = 5.0
MAX_REASON = 300
# Of S3, Google Cloud Storage and Azure alike.
MAX_NAME_BYTES = 1024
_T = TypeVar("_T")
Client = S3Store | GCSStore | AzureStore
_AGAIN = (
    "Check that the store is up and reachable, then run this again. Parts that have arrived are"
    " not sent again."
)
_UNCONDITIONAL = "Set AWS_CONDITIONAL_PUT=disabled for a store that does not support If-None-Match."
_NO_BUCKET = re.compile(
    "NoSuchBucket|ContainerNotFound|specified (bucket|container) does not exist", re.I
)
_LOCKED = re.compile("Immutab|ObjectLock|object lock|WORM|retention|RetentionPolicy", re.I)
_REFUSED = re.compile(
    "AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|AuthorizationFailure|ExpiredToken"
    "|InvalidToken|builder error|missing credentials|40[13] (Forbidden|Unauthorized)"
    r"|not initialized with credentials|instance metadata|169\.254\.169\.254"
)
_URL = re.compile(r"https?://\S+")
_SAID = re.compile(r"<Code>(?P<code>[^<]*)</Code>\s*<Message>(?P<message>[^<]*)</Message>")


class ObjectStore:
    """A bucket, or a prefix in it."""

    def __init__(
        self, place: Place, client: Client, *, prefix: str, secrets: tuple[str, ...] = ()
    ) -> None:
        self.url = place.url
        self._prefix = prefix
        self._place = place
        self._client = client
        self._secrets = secrets

    def check_name(self, name: str) -> None:
        """Check the length of a name."""
        whole = "/".join(filter(None, (self._place.prefix, name)))
        if len(whole.encode()) > MAX_NAME_BYTES:
            raise Refused(
                f"The names of the objects would be longer than {self.url} allows:"
                f" {len(whole.encode()):,} bytes, not {MAX_NAME_BYTES:,}.",
                hint=TOO_LONG,
            )

    def list(self, folder: str) -> Iterator[Stored]:
        """Yield the objects below a folder, in pages of a thousand."""
        pages = obstore.list(self._client, folder, chunk_size=1000)
        while True:
            with self._errors(folder):
                page = _run(lambda: next(pages, None))
            if page is None:
                return
            for meta in page:
                yield Stored(
                    name=meta["path"], size_bytes=meta["size"], modified_at=meta["last_modified"]
                )

    def folders(self) -> Iterator[str]:
        """Yield the names of the folders here; none if listing them takes long."""
        with self._errors(""):
            try:
                found = _run(
                    lambda: obstore.list_with_delimiter(self._client), seconds=FOLDERS_SECONDS
                )
            except Empty:
                return
        yield from (prefix.rpartition("/")[2] for prefix in found["common_prefixes"])

    def read(
        self, name: str, *, offset: int = 0, size: int | None = None, version: str | None = None
    ) -> Iterator[bytes]:
        """Yield an object's bytes; resume a broken download as long as it makes progress.

        `version` is an earlier one of a bucket that keeps them.
        """
        failures = 0
        end = None if size is None else offset + size
        while end is None or offset < end:
            try:
                for chunk in self._read_on(name, offset, end, version):
                    offset, failures = offset + len(chunk), 0
                    yield chunk
            except exceptions.GenericError as error:
                failures += 1
                if failures >= READ_ATTEMPTS:
                    self._fail(name, error)
            else:
                return

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write an object by one request; a store without conditional writes just overwrites."""
        try:
            self._put(name, data, new=new)
        except NotImplementedError:
            self._put(name, data, new=False)

    def delete(self, name: str) -> None:
        """Delete an object. A versioned bucket keeps its versions."""
        with self._errors(name, deleting=True):
            try:
                _run(lambda: obstore.delete(self._client, name))
            except FileNotFoundError as error:
                if _NO_BUCKET.search(str(error)):
                    raise

    def _put(self, name: str, data: bytes, *, new: bool) -> None:
        mode: PutMode = "create" if new else "overwrite"
        with self._errors(name):
            _run(lambda: obstore.put(self._client, name, data, mode=mode, use_multipart=False))

    def _read_on(
        self, name: str, offset: int, end: int | None, version: str | None
    ) -> Iterator[bytes]:
        with self._errors(name, generic=False):
            options: GetOptions = {"version": version} if version else {}
            if end is not None:
                options["range"] = (offset, end)
            elif offset:
                options["range"] = {"offset": offset}
            result = _run(lambda: obstore.get(self._client, name, options=options))
            stream = result.stream(min_chunk_size=CHUNK_BYTES)
        while True:
            with self._errors(name, generic=False):
                chunk = _run(lambda: next(stream, None))
            if chunk is None:
                return
            yield bytes(chunk)

    @contextmanager
    def _errors(self, name: str, *, deleting: bool = False, generic: bool = True) -> Iterator[None]:
        """Convert obstore's errors to ours; its general error only if nobody will retry."""
        try:
            yield
        except exceptions.GenericError as error:
            if not generic and not _REFUSED.search(str(error)):
                raise
            self._fail(name, error, deleting=deleting)
        except (exceptions.BaseError, OSError) as error:
            self._fail(name, error, deleting=deleting)

    def _fail(self, name: str, error: Exception, *, deleting: bool = False) -> NoReturn:
        raise self._translated(name, error, deleting=deleting) from None

    def _translated(self, name: str, error: Exception, *, deleting: bool) -> Exception:
        reason = self._reason(name, str(error))
        if _NO_BUCKET.search(reason):
            return StorageError(
                f"The bucket {self._place.bucket} does not exist ({self.url}).",
                hint="Create it, or correct the off-site URL, the account or the region.",
            )
        if isinstance(error, FileNotFoundError):
            return NotFound(
                f"{name} does not exist in {self.url}.", hint="See `inv snapshot.list --remote`."
            )
        refused = _REFUSED.search(reason) or isinstance(
            error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
        )
        if _LOCKED.search(reason) or (deleting and refused):
            return Protected(
                f"{self.url} does not allow deleting or replacing {name}: {reason}.",
                hint="It is protected, or these credentials cannot delete. Nothing else was"
                " affected. Run prune again after the protection expires.",
            )
        if isinstance(error, exceptions.AlreadyExistsError):
            return AlreadyThere(
                f"{name} already exists in {self.url}.", hint="Nothing was changed."
            )
        if refused:
            return StorageError(
                f"{self.url} refused the credentials: {reason}.",
                hint=f"Set the variables of the store ({self._prefix}…, see docs/offsite.md) in the"
                " environment or in .env.",
            )
        hint = _UNCONDITIONAL if "NotImplemented" in reason else _AGAIN
        if "sending request" in reason and (proxies := set_variables()):
            hint = f"Check the proxy in {' and '.join(proxies)}, or NO_PROXY. {hint}"
        return StorageError(f"{self.url}: {reason}.", hint=hint)

    def _reason(self, name: str, text: str) -> str:
        """Return a store's error in one line, without secrets.

        Names and URLs are removed too, because their text must not be matched as an error.
        """
        text = text.partition("\n\nDebug source")[0]
        if said := _SAID.search(text):
            text = f"{said['code']}, {said['message']}"
        for secret in self._secrets:
            text = text.replace(secret, "***")
        path = "/".join(filter(None, (self._place.prefix, name)))
        text = _URL.sub("", text).replace(f" {path}", "")
        return printable(" ".join(text.split()), limit=MAX_REASON).rstrip(". ")


def _run(ask: Callable[[], _T], *, seconds: float | None = None) -> _T:
    """Run a request to the store so that Ctrl-C can interrupt it, which only the main thread gets.

    The request runs in a separate thread, because nothing interrupts the library. Its asyncio
    interface would be interruptible too, but its threads touch Python after they have responded; a
    process that is just exiting then dies with SIGABRT.

    Raises:
        Empty: if it has not responded within so many seconds.
    """
    if threading.current_thread() is not threading.main_thread() and seconds is None:
        return _without_panic(ask)
    done: SimpleQueue[tuple[_T | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            done.put((_without_panic(ask), None))
        except BaseException as error:  # raised by the waiting thread
            done.put((None, error))

    thread = threading.Thread(target=work, name="store", daemon=True)
    thread.start()
    try:
        result, error = done.get(timeout=seconds)
    except BaseException:
        # Give the request a short time to end; one that hangs is left to its thread.
        thread.join(PARTING_SECONDS)
        raise
    if error is not None:
        raise error
    return cast("_T", result)


def _without_panic(ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except Exception:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        # A panic of the library is not an Exception, so nothing above would report it.
        raise StorageError(
            f"The storage library failed: {printable(str(error), limit=MAX_REASON)}.",
            hint="Check the variables of the store. AWS_ENDPOINT_URL and similar must be"
            " complete URLs with http:// or https://.",
        ) from None

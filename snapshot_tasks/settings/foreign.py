"""Names in `.env` that other tools read, or that are misspelt: named, and never used.

Applications read `QDRANT_HOST`, `QDRANT_COLLECTION` and the like. Using them silently would
be a guess about what they mean; ignoring them silently would act on another server.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from difflib import get_close_matches

_MEANT = {
    "QDRANT_URL": (
        "QDRANT_ADDRESS QDRANT_API_URL QDRANT_BASE_URL QDRANT_CLOUD_URL QDRANT_CLUSTER_ENDPOINT"
        " QDRANT_CLUSTER_URL QDRANT_DB_URL QDRANT_ENDPOINT QDRANT_HOST QDRANT_HOSTNAME"
        " QDRANT_HTTPS QDRANT_HTTP_URL QDRANT_LOCATION QDRANT_PORT QDRANT_REST_PORT QDRANT_REST_URL"
        " QDRANT_SERVER QDRANT_SERVER_URL QDRANT_URI"
    ),
    "QDRANT_COLLECTION_NAME": (
        "QDRANT_COLLECTION QDRANT_COLLECTIONS QDRANT_COLLECTION_ID QDRANT_DEFAULT_COLLECTION"
        " QDRANT_INDEX QDRANT_INDEX_NAME"
    ),
    "QDRANT_API_KEY": (
        "QDRANT_APIKEY QDRANT_API_TOKEN QDRANT_CLOUD_API_KEY QDRANT_CLUSTER_API_KEY QDRANT_KEY"
        " QDRANT_TOKEN"
    ),
    "QDRANT_ANSWER_TIMEOUT_SECONDS": (
        "QDRANT_CLIENT_TIMEOUT QDRANT_REQUEST_TIMEOUT QDRANT_TIMEOUT"
    ),
}
MEANT = {name: meant for meant, names in _MEANT.items() for name in names.split()}
# Qdrant's own settings, what Kubernetes sets in a pod for a service named qdrant, and what a hook
# of ours gets.
_OTHERS = ("QDRANT__", "QDRANT_SERVICE_", "QDRANT_PORT_", "QDRANT_SNAPSHOT_")
_KUBERNETES_PORT = "tcp://"
# As close as one or two wrong letters.
_CLOSE = 0.88


@dataclass(frozen=True, slots=True, kw_only=True)
class Misnamed:
    """A name that no setting has, and the setting that is probably meant."""

    name: str
    meant: str

    @property
    def message(self) -> str:
        """What is wrong; no value is shown, because it may be a secret."""
        return f"{self.name} is not a setting of this tool and was not used"

    @property
    def remedy(self) -> str:
        """What to do."""
        return f"Set {self.meant}; .env.example describes it."


def misnamed(values: Mapping[str, str], known: Set[str]) -> tuple[Misnamed, ...]:
    """Return the names that were probably meant for a setting that has no value.

    `known` are the names of all settings, including those without a value.
    """
    found = []
    for name, value in sorted(values.items()):
        if name in known or not value.strip() or value.startswith(_KUBERNETES_PORT):
            continue
        meant = MEANT.get(name) or _nearest(name, known)
        if meant and not _is_set(meant, values):
            found.append(Misnamed(name=name, meant=meant))
    return tuple(found)


def _nearest(name: str, known: Set[str]) -> str | None:
    if not name.startswith("QDRANT_") or name.startswith(_OTHERS):
        return None
    ours = sorted(setting for setting in known if setting.startswith("QDRANT_"))
    return next(iter(get_close_matches(name, ours, n=1, cutoff=_CLOSE)), None)


def _is_set(setting: str, values: Mapping[str, str]) -> bool:
    return any(values.get(name, "").strip() for name in (setting, f"{setting}_FILE"))

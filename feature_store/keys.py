"""Names of keys and fields in the store, version 1. FORMAT.md is the contract; this module is its only spelling."""

from __future__ import annotations

from feature_store.errors import InvalidIdError

FORMAT_VERSION = 1
MAX_ID_LENGTH = 128
"""Characters (Unicode code points) of an id, before escaping."""

PHOTO_FIELDS = ("text", "summary", "anchors", "histories", "category", "embedding")
"""Fields of a photo's hash. Each has its own time beside it, see `time_field`."""

USER_FIELDS = ("queries", "embeddings", "updated_at")
"""Fields of a user's hash."""

PUBLICATION_KEY = f"onebar:{FORMAT_VERSION}:publication"
"""Key of the hash that says what was published last, and which process publishes now."""

MARK_FIELD = "publication"
"""Field of a video's or user's hash: the token of the publisher that last wrote or confirmed it."""

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


def escape_id(identifier: str) -> str:
    """Return the id as it is written in a key: `%`, `{` and `}` as `%25`, `%7B` and `%7D`, all else as it is.

    Redis Cluster hashes only the text between braces, so an id with braces could otherwise choose its slot and
    crowd one node. The percent sign is escaped so that no two ids share a key.

    Raises:
        InvalidIdError: empty, longer than `MAX_ID_LENGTH`, or with a lone surrogate (which UTF-8 cannot write).
    """
    if not identifier:
        raise InvalidIdError("an id must not be empty")
    if len(identifier) > MAX_ID_LENGTH:
        raise InvalidIdError(f"an id has at most {MAX_ID_LENGTH} characters, this one has {len(identifier)}")
    if not identifier.isascii():
        try:
            identifier.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidIdError("an id must be valid Unicode; this one has a lone surrogate") from None
    return identifier.translate(_ESCAPES)


def photo_key(photo_id: str) -> str:
    """Return the key of a photo's hash. Raises InvalidIdError."""
    return f"onebar:{FORMAT_VERSION}:photo:{escape_id(photo_id)}"


def user_key(user_id: str) -> str:
    """Return the key of a user's hash. Raises InvalidIdError."""
    return f"onebar:{FORMAT_VERSION}:user:{escape_id(user_id)}"


def shown_key(user_id: str) -> str:
    """Return the key of the sorted set of queries lately shown to a user. Raises InvalidIdError."""
    return f"onebar:{FORMAT_VERSION}:shown:{escape_id(user_id)}"


def parse_user_key(key: str) -> tuple[str, str] | None:
    """Return the kind ("user" or "shown") and the id of a key; None for a key of another form."""
    for kind in ("user", "shown"):
        prefix = f"onebar:{FORMAT_VERSION}:{kind}:"
        if key.startswith(prefix):
            return kind, key.removeprefix(prefix).replace("%7D", "}").replace("%7B", "{").replace("%25", "%")
    return None


def time_field(field: str) -> str:
    """Return the name of the field that holds the unix milliseconds at which `field` was made."""
    return f"{field}_at"

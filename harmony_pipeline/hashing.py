"""Short hashes, which name models, trials, orders, feature sets, cached answers and code."""

import hashlib
from collections.abc import Iterable


def short_hash(content: str | bytes, size: int) -> str:
    """BLAKE2b of `content` as 2 * `size` hexadecimal digits. What is stored anywhere keeps its
    size.
    """
    return hash_of_parts([content], size)


def hash_of_parts(parts: Iterable[str | bytes | memoryview], size: int) -> str:
    """`short_hash` of the parts put together; they are read one at a time."""
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()

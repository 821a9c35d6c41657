"""How long and how often the client tries: one place, so that tests can make it short."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds, bytes and counts. The defaults suit a slow line."""

    attempts: int = 5
    """Tries of one idempotent request, or of one blob without a byte of progress."""
    cuts: int = 50
    """Times that one blob may be cut and resumed, with progress each time."""
    first_wait_s: float = 0.5
    """Pause before the second try; doubled for each that follows."""
    longest_wait_s: float = 30.0
    """The most that a pause may be, also when the registry asks for more (Retry-After)."""
    connect_s: float = 10.0
    silence_s: float = 30.0
    """The most that nothing may arrive on a connection."""
    min_rate_bytes_s: float = 1024.0
    rate_window_s: float = 30.0
    """A transfer slower than the minimum over a whole window is cut and tried again."""
    document_s: float = 120.0
    """The most that a manifest or an answer of a token service may take."""
    redirects: int = 5
    chunk_bytes: int = 32 << 20
    """Blobs larger than this are uploaded in chunks of it."""
    parallel: int = 4
    """Blobs under way at once."""

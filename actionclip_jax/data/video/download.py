"""Fetches a video from an address: http and https only, so much and so long, and nothing but its bytes."""

import time
import urllib.error
import urllib.request
from typing import BinaryIO

from actionclip_jax.data.video import errors, limits

CHUNK = 1 << 16  # bytes waited for at once
# no handlers of file:, ftp: and data:, so that no redirect leads there
HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)


def fetch(address: str, file: BinaryIO) -> None:
    """Writes what an http or https address gives, at most `limits.MAX_FETCHED` bytes. Raises VideoError."""
    opener = urllib.request.OpenerDirector()
    for handler in HANDLERS:
        opener.add_handler(handler())
    until = time.monotonic() + limits.FETCH_SECONDS
    try:
        with opener.open(address, timeout=limits.WAIT_SECONDS) as answer:
            if int(answer.headers.get("Content-Length") or 0) > limits.MAX_FETCHED:
                raise errors.VideoError(address, _too_large())
            size = 0
            while content := answer.read1(CHUNK):  # what has come, so that a slow server is noticed
                if (size := size + len(content)) > limits.MAX_FETCHED:
                    raise errors.VideoError(address, _too_large())
                if time.monotonic() > until:
                    raise errors.VideoError(address, f"is not there after {limits.FETCH_SECONDS} seconds: too slow")
                file.write(content)
    except urllib.error.HTTPError as error:
        raise errors.VideoError(address, f"was not given: {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise errors.VideoError(address, f"was not given: {error.reason}") from None
    except TimeoutError:
        raise errors.VideoError(address, f"sends nothing for {limits.WAIT_SECONDS} seconds") from None


def _too_large() -> str:
    return f"has more than {limits.MAX_FETCHED} bytes: fetch it, and give its path"

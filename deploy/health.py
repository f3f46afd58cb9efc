"""Whether the service in this container works: exit code 0. Which one it is says SERVICE.

Only the standard library, since it runs every half minute.
"""

import os
import socket
import sys
import time
import urllib.request

PORTS = {"code": 4000, "web": 3333, "monitor": 3334}
PATHS = {"web": "/server_info", "monitor": "/"}
OLDEST_BEAT = 60.0  # seconds; the heart of a worker, and of the daemon, beats every two


def works(service: str) -> bool:
    """Ask the service what it is there for."""
    port = int(os.environ.get("PORT", PORTS.get(service, 0)))
    if service in PATHS:
        address = f"http://127.0.0.1:{port}{PATHS[service]}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return bool(answer.status == 200)
    if service == "code":
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            return True
    if service in ("daemon", "worker", "session"):
        return time.time() - os.stat(os.environ["WORKER_BEAT"]).st_mtime < OLDEST_BEAT
    return True


if __name__ == "__main__":
    try:
        sys.exit(0 if works(os.environ.get("SERVICE", "")) else 1)
    except OSError as error:
        sys.exit(f"not healthy: {error}")

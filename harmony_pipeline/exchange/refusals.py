"""What the exchange answers to a request that it refuses: Alpaca's statuses, codes and sentences.

Sources: Alpaca's documentation of orders and errors, and bodies that public projects recorded.
Codes are reused for different sentences, as there.
"""

from typing import Any

NOT_FOUND, INVALID, NOT_UNIQUE, FORBIDDEN, MALFORMED = (
    40410000, 42210000, 40010001, 40310000, 40010000,
)  # fmt: skip


class Refused(Exception):
    """An answer that is no success: HTTP status and body."""

    def __init__(self, status: int, code: int | None, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {**({} if code is None else {"code": code}), "message": message, **fields}


def unauthorized() -> Refused:
    """Keys that are missing."""
    return Refused(401, None, "unauthorized.")


def malformed() -> Refused:
    """A body that is no JSON object."""
    return Refused(400, MALFORMED, "request body format is invalid")


def missing(message: str) -> Refused:
    """A field without which there is no order, or one that cannot be: 422 with 40010001."""
    return Refused(422, NOT_UNIQUE, message)


def invalid(message: str, **fields: Any) -> Refused:
    """An order that the rules do not allow: 422 with 42210000."""
    return Refused(422, INVALID, message, **fields)


def denied(message: str, **fields: Any) -> Refused:
    """An order that the account may not send: 403 with 40310000."""
    return Refused(403, FORBIDDEN, message, **fields)


def order_not_found(order_id: str) -> Refused:
    """404 of an order."""
    return Refused(404, NOT_FOUND, f"order not found for {order_id}")


def limited(limit: int, reset: float) -> tuple[Refused, dict[str, str]]:
    """429 and its headers."""
    return Refused(429, 42910000, "rate limit exceeded."), {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": f"{reset:.0f}",
    }

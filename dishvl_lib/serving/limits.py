"""What the service takes at most."""

from dataclasses import dataclass

MIB = 2**20
MAX_PHOTO_BYTES = 32 * MIB
MAX_PHOTO_BODY_BYTES = 48 * MIB  # a photo as base64 in JSON takes a third more
MAX_DISH_BODY_BYTES = 256 * MIB  # photos of a dish; those over 1 MiB wait on the disk
MAX_OTHER_BODY_BYTES = MIB
MAX_DISH_PHOTOS = 100
MAX_MENU_ENTRIES = 500
MAX_TRAY_DISHES = 64  # a detector with too low a threshold finds hundreds
# Of a menu's entry with numbering and price, and of a name: what reads names takes the square of
# their length.
MAX_NAME_CHARACTERS = 200
BODY_PATIENCE_S = 20.0  # between two parts of a body
BODY_S = 180.0  # until a body is complete
OPEN_PER_PLACE = 4  # requests that may be open, uploads too, for each place in the queue


@dataclass(frozen=True)
class Limits:
    """`max_batch`: photos in a pass of the model; `max_wait_ms`: how long a photo waits for others
    that are in flight; `queue`: photos that wait or are answered at once.
    """

    max_batch: int = 16
    max_wait_ms: float = 5.0
    queue: int = 64

    @property
    def max_open(self) -> int:
        """Requests that are open at once."""
        return OPEN_PER_PLACE * self.queue


def max_body_bytes(path: str) -> int:
    """How large the body of a request to this path may be."""
    if path.startswith("/v1/dishes/"):
        return MAX_DISH_BODY_BYTES
    if path in ("/v1/recognise", "/v1/corrections"):
        return MAX_PHOTO_BODY_BYTES
    return MAX_OTHER_BODY_BYTES

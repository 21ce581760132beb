"""Slices: cut received bytes for the parser, so that at most one request ends in a slice."""

END_OF_HEAD = b"\r\n\r\n"
# Where no end is in sight, this many bytes are one slice. The shortest header or chunk has 6 bytes and costs
# a callback of 0.5 us, so that the worst slice holds the loop for 0.35 ms.
MAX_SLICE_BYTES = 4 * 1024


class Slices:
    """Bytes that are received but not parsed.

    A head, and a body in chunks, end with an empty line and nowhere else, so a slice ends there. A body of
    known length is one slice, as far as it has come: set `body_left` once its head has been parsed.
    """

    __slots__ = ("_at", "_before", "body_left", "data")

    def __init__(self) -> None:
        self.data = b""  # empty if everything is taken
        self._at = 0  # how much of it has been taken
        self._before = b""  # the last bytes taken, where an empty line may have begun
        self.body_left = 0

    def add(self, data: bytes) -> None:
        """Append received bytes."""
        self.data = self.data[self._at :] + data if self.data else data
        self._at = 0

    def put_back(self, data: bytes) -> None:
        """Put `data` in front, as the beginning of a request."""
        self.data = data + self.data[self._at :]
        self._at, self._before = 0, b""

    def clear(self) -> None:
        """Drop all bytes."""
        self.data, self._at = b"", 0

    def take(self) -> bytes:
        """Return the next slice. There must be data."""
        data, start = self.data, self._at
        if self.body_left:
            end = min(start + self.body_left, len(data))
            self.body_left -= end - start
        else:
            end = self._find_end(data, start)
        whole = start == 0 and end == len(data)
        taken = data if whole else data[start:end]
        if end == len(data):
            self.clear()
        else:
            self._at = end
        self._before = taken[-3:] if end - start >= 3 else (self._before + taken)[-3:]
        return taken

    def _find_end(self, data: bytes, start: int) -> int:
        """Return where the next empty line ends, or the slice that is as long as one may be."""
        n_before = len(self._before)
        if n_before:
            begun = (self._before + data[start : start + 3]).find(END_OF_HEAD)
            if begun >= 0:
                return start + begun + len(END_OF_HEAD) - n_before
        limit = min(start + MAX_SLICE_BYTES, len(data))
        found = data.find(END_OF_HEAD, start, limit)
        return limit if found < 0 else found + len(END_OF_HEAD)

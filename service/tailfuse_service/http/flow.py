"""Flow control: when a connection's socket is read."""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class ReadControl(FlowControl):
    """Pauses reading for two independent reasons: uvicorn's (a long body), and held-back bytes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._wanted = True  # by uvicorn
        self._held = False

    def pause_reading(self) -> None:
        self._wanted = False
        super().pause_reading()

    def resume_reading(self) -> None:
        self._wanted = True
        if not self._held:
            super().resume_reading()

    def hold(self) -> None:
        """Stop reading until `release`."""
        self._held = True
        super().pause_reading()

    def release(self) -> None:
        """Continue reading, unless uvicorn has paused it."""
        if self._held:
            self._held = False
            if self._wanted:
                super().resume_reading()

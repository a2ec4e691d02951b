"""What ends the process that reads it; in a file of its own, since that process imports it and no more."""

import os


class Deadly:
    """Tests of a program that end the process which reads them."""

    def get(self, name: str) -> None:
        os._exit(1)

"""One attempt at a unit, in the process at hand: the input's faults become words, our own are raised."""

import os
import socket
import time
from typing import TypeVar

from miso.errors import MisoError, in_words
from miso.launch.units import Do, End, Ended, Unit
from miso.storage.claim import Busy

T = TypeVar("T")


def attempt(do: Do[T], unit: Unit[T]) -> Ended[T]:
    """Do a unit; bad input, a full disk, and a result that another process is making are told apart."""
    start = time.monotonic()
    end: End
    try:
        end, message = do(unit.task)
    except Busy as err:
        end, message = "busy", str(err)
    except MisoError as err:
        end, message = "failed", str(err)
    except OSError as err:
        if (words := in_words(err)) is None:
            raise
        end, message = "failed", words
    return Ended(unit=unit, end=end, message=message, seconds=time.monotonic() - start, where=here())


def here() -> str:
    """Name this host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"

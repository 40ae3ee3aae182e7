"""A job's kernel: this interpreter, over Unix sockets, dead as soon as the job is."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from recbench.priority import lower_own_session

__all__ = ["kernel_manager_class", "main"]

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def kernel_manager_class(
    *,
    sockets: Path,
    environment: Mapping[str, str],
    on_start: Callable[[subprocess.Popen[bytes]], None],
) -> type[AsyncKernelManager]:
    """A kernel manager that needs no installed kernel specification.

    Args:
        sockets: an empty private folder with a short path (the system allows about 100 characters).
        environment: added to this process's own.
        on_start: is given the kernel's process.
    """

    class JobKernelManager(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            connection = str(sockets / "kernel.json")
            super().__init__(transport="ipc", connection_file=connection, **options)

        @property
        def kernel_spec(self) -> KernelSpec:
            command = [sys.executable, "-m", __name__, str(os.getpid()), "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="recbench", language="python")

        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
            options["env"] = {**options["env"], **environment}
            await super()._async_launch_kernel(kernel_cmd, **options)
            on_start(self.provisioner.process)  # type: ignore[union-attr]  # it has begun

    return JobKernelManager


def main() -> None:
    """Be the kernel of the process named by the first argument, and die with it.

    A kernel lives in a session of its own, so signals to the job's process group never reach it:
    it asks the system to be killed when the thread that started it ends.
    """
    parent = int(sys.argv.pop(1))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        sys.exit(1)
    lower_own_session()
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


if __name__ == "__main__":
    main()

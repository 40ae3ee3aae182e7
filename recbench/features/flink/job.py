"""Run one Flink job to its end: ``python job.py JOB``, in an environment with PyFlink.

JOB is a JSON file: ``configuration`` (Flink's options) and ``statements`` of SQL, the last of them
the INSERT. Nothing of recbench is needed here.
"""

import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main(path: str) -> None:
    """Do the job at ``path`` and exit: with status 1 and Java's exception if it failed."""
    from py4j.protocol import Py4JError  # type: ignore[import-not-found]  # in Flink's environment only
    from pyflink.java_gateway import get_gateway  # type: ignore[import-not-found]  # in Flink's environment only

    status = 0
    try:
        _run(json.loads(Path(path).read_text(encoding="utf-8")))
    except Exception:
        logging.exception("The job failed")  # here, since its text comes from Java
        status = 1
    with suppress(Py4JError):  # what has ended gives no answer
        get_gateway().jvm.System.exit(0)
    os.wait()  # Java writes to the job's folder, which is removed next
    os._exit(status)  # on the usual way out every object of Java's would look for it


def _run(job: dict[str, Any]) -> None:
    from pyflink.common import Configuration  # type: ignore[import-not-found]  # in Flink's environment only
    from pyflink.table import (  # type: ignore[import-not-found]  # in Flink's environment only
        EnvironmentSettings,
        TableEnvironment,
    )

    configuration = Configuration()
    for option, value in job["configuration"].items():
        configuration.set_string(option, value)
    settings = EnvironmentSettings.new_instance().in_streaming_mode()
    environment = TableEnvironment.create(settings.with_configuration(configuration).build())
    *definitions, insert = job["statements"]
    for statement in definitions:
        environment.execute_sql(statement)
    environment.execute_sql(insert).wait()


if __name__ == "__main__":
    main(sys.argv[1])

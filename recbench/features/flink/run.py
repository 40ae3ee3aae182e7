"""The features of a log or a topic from a local Flink, started for this one job."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from recbench import columns as c
from recbench.errors import InputError, JobError
from recbench.features.definitions import Feature
from recbench.features.flink import job
from recbench.features.flink.log import written_log
from recbench.features.flink.query import flink_sql, result_dtypes
from recbench.features.flink.tables import ARRIVAL, TOO_FINE, JsonLines, KafkaTopic, place
from recbench.tables.instants import utc_instants

__all__ = ["run_flink"]

TOPIC_DTYPES: dict[str, pl.DataType] = {
    c.KAFKA_PARTITION: pl.Int32(),
    c.KAFKA_OFFSET: pl.Int64(),
    c.USER_ID: pl.Int64(),
    c.ITEM_ID: pl.Int64(),
    c.TS: pl.String(),
    "late": pl.Boolean(),
}
# Java compiles quickly rather than well: that halves the time of a small job, and costs one of more
# than a million rows a fifth.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
ENVIRONMENT = Path(__file__).resolve().parents[3] / ".venv-flink"


def run_flink(
    source: pl.DataFrame | KafkaTopic,
    features: Sequence[Feature],
    *,
    parallelism: int = 1,
    heap_mb: int = 1024,
    environment: Path = ENVIRONMENT,
) -> pl.DataFrame:
    """The features as a streaming job of Flink computes them, a row for each of the source's.

    Args:
        source: a canonical log, its rows in the order in which they came; or a topic, read from
            its beginning up to its ``ends``.
        features: what to compute.
        parallelism: how many threads share the work of each step.
        heap_mb: memory of the Java process, which holds the rows of the longest window.
        environment: with PyFlink; what ``make env-flink`` builds.

    Returns:
        The log with one more column a feature; as in every engine, rows are late by the log's
        ``watermark``. Of a topic, by partition and offset: ``kafka_partition``, ``kafka_offset``,
        ``user_id``, ``item_id``, ``ts``, ``late`` and the features, which are null where ``late``.

    Raises:
        InputError: environment or Java are missing, an instant is finer than a millisecond, the
            topic has no ``ends``, or what ``flink_sql`` refuses.
        SchemaError: a column is missing, or of a type that cannot be aggregated so.
        JobError: the job failed.
    """
    _refuse_missing(environment)
    with tempfile.TemporaryDirectory(prefix="recbench-flink-") as name:
        folder = Path(name)
        if isinstance(source, KafkaTopic):
            if source.ends is None:
                raise InputError(
                    f"A read of `{source.topic}` without `ends` never stops: name them, or submit "
                    "the statements of `flink_sql` to a cluster"
                )
            lines: KafkaTopic | JsonLines = source
        else:
            lines = written_log(source, features, path=folder / "log.json")
        statements = flink_sql(lines, features, sink=folder / "features")
        configuration = _configuration(folder, environment, parallelism=parallelism)
        description = {"configuration": configuration, "statements": statements}
        (folder / "job.json").write_text(json.dumps(description), encoding="utf-8")
        _run(folder, environment, heap_mb=heap_mb)
        found = _answers(folder / "features", features, lines)
    if isinstance(source, KafkaTopic):
        return found.with_columns(utc_instants(found[c.TS]))
    if len(found) != len(source):
        raise JobError(f"Flink answered {len(found)} of {len(source)} rows")
    return source.hstack(found.drop(ARRIVAL))


def _refuse_missing(environment: Path) -> None:
    if not (environment / ".complete").exists():
        raise InputError(f"{environment} holds no PyFlink: run `make env-flink`")
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    if shutil.which(java) is None:
        raise InputError(
            f"Flink needs Java 17, and there is no `{java}`: install it (Debian: apt-get install "
            "openjdk-17-jre-headless), or name its folder in JAVA_HOME"
        )


def _configuration(folder: Path, environment: Path, *, parallelism: int) -> dict[str, str]:
    """Options of a small cluster inside one process, which leaves nothing outside ``folder``."""
    connectors = sorted((environment / "connectors").glob("*.jar"))
    return {
        "parallelism.default": str(parallelism),
        "table.local-time-zone": "UTC",
        "restart-strategy.type": "none",
        # Files are finished by a checkpoint, and the one at the end is enough.
        "execution.checkpointing.interval": "1 d",
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
        "io.tmp.dirs": str(folder),
        "pipeline.jars": ";".join(jar.as_uri() for jar in connectors),
        "jobmanager.bind-host": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.bind-port": "0",
        "taskmanager.memory.network.min": f"{64 * parallelism} mb",
        "taskmanager.memory.network.max": f"{64 * parallelism} mb",
    }


def _run(folder: Path, environment: Path, *, heap_mb: int) -> None:
    """Run ``folder/job.json``; Python, Java and what they start have ended afterwards."""
    variables = {
        **os.environ,
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "JVM_ARGS": f"{JAVA} -Xmx{heap_mb}m -Djava.io.tmpdir={folder}",
        "FLINK_LOG_DIR": str(folder),
        "TMPDIR": str(folder),
        # We have no Python functions; by default PyFlink waits for them on every network interface.
        "_python_worker_execution_mode": "process",
    }
    command = [str(environment / "bin" / "python"), "-I", job.__file__, str(folder / "job.json")]
    with (folder / "stderr").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, env=variables, stdout=errors, stderr=errors, start_new_session=True
        )
        try:
            status = process.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        errors.seek(0)
        if status != 0:
            raise _failure(errors.read())


def _failure(errors: str) -> Exception:
    """The innermost cause of a job's failure."""
    if TOO_FINE in errors:
        ts = errors.partition(TOO_FINE)[2].partition("'")[0]
        return InputError(f"{TOO_FINE}{ts}; have them truncated, or compute the features in batch")
    causes = re.findall(r"^(?:Caused by)?: (.*)$", errors, re.MULTILINE)
    return JobError(f"The Flink job failed: {causes[-1] if causes else errors[-2000:]}")


def _answers(
    folder: Path, features: Sequence[Feature], source: JsonLines | KafkaTopic
) -> pl.DataFrame:
    """What the job wrote, by the place of the rows in the source."""
    columns = {ARRIVAL: pl.Int64()} if isinstance(source, JsonLines) else TOPIC_DTYPES
    schema = columns | result_dtypes(features, source.dtypes)
    parts = [pl.read_ndjson(part, schema=schema) for part in folder.glob("part-*")]
    found = pl.concat([pl.DataFrame(schema=schema), *parts])
    return found.sort(list(place(source)))

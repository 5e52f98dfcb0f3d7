"""Kafka's jars and the Java to run them: from a distribution that the user has (KAFKA_HOME), or from Maven Central by Maven, cached."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from kafkasim.cluster.errors import ClusterError

KAFKA_VERSION = "4.1.1"
_OLDEST_JAVA = 17
_COMPILER = ("-m", "jdk.compiler/com.sun.tools.javac.Main")  # a JRE lacks this module
_NO_JAVA = (
    "Java 17 or newer (a JDK) is needed to run real brokers{found}; install it, for example "
    "`apt install openjdk-17-jdk-headless` or `brew install openjdk@17`, so that `java` is on the PATH"
)
_POM = """<project><modelVersion>4.0.0</modelVersion><groupId>kafkasim</groupId><artifactId>jars</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """What Kafka's programs are started with. `javac` is a command to which arguments are added; `version` is Kafka's."""

    java: Path
    javac: list[str]
    libs: Path
    version: str

    @property
    def classpath(self) -> str:
        """All jars, in Java's own notation."""
        return f"{self.libs}/*"

    def logging(self, kafka_level: str = "warn") -> list[str]:
        """JVM flags: warnings, and Kafka's server at `kafka_level`, to standard error, with whichever logger lies among the jars."""
        modern, older = (self.libs.parent / "config" / name for name in ("tools-log4j2.yaml", "tools-log4j.properties"))
        if modern.is_file():
            return [f"-Dlog4j2.configurationFile={modern}"]
        if older.is_file():
            return [f"-Dlog4j.configuration={older.as_uri()}"]
        settings = {"defaultLogLevel": "warn", "log.kafka": kafka_level, "showDateTime": "true", "dateTimeFormat": "HH:mm:ss.SSS"}
        return [f"-Dorg.slf4j.simpleLogger.{key}={value}" for key, value in settings.items()]


def find_java() -> Path:
    """The `java` on the PATH, if it is 17 or newer and can compile. Raises ClusterError."""
    found = shutil.which("java")
    if found is None:
        raise ClusterError(_NO_JAVA.format(found=""))
    answer = _run([found, *_COMPILER, "-version"])
    version = re.search(r"javac (\d+)", answer.stdout)
    if answer.returncode != 0 or version is None:
        raise ClusterError(_NO_JAVA.format(found=f" ({found} is too old, or a JRE without a compiler)"))
    if int(version[1]) < _OLDEST_JAVA:
        raise ClusterError(_NO_JAVA.format(found=f" ({found} is Java {version[1]})"))
    return Path(found)


def distribution(kafka_home: Path | None, say: Callable[[str], None]) -> Distribution:
    """The jars of the distribution at `kafka_home`, or Kafka 4.1.1 from the user's cache, resolved by Maven at first. Raises ClusterError.

    `say` is told, in a sentence, what takes long.
    """
    java = find_java()
    libs = cached_jars(cache_folder(), say) if kafka_home is None else kafka_home.expanduser().resolve() / "libs"
    clients = sorted(libs.glob("kafka-clients-*.jar"))
    if not clients:
        raise ClusterError(f"{kafka_home} is no Kafka distribution: there is no kafka-clients-*.jar in {libs}")
    version = clients[0].stem.removeprefix("kafka-clients-")
    return Distribution(java, [str(java), *_COMPILER], libs, version)


def compile_drivers(distribution: Distribution, into: Path) -> Path:
    """Compiles the Java clients of kafkasim/cluster/drivers, in one go; returns the folder of classes, which is `into`.

    Raises ClusterError where this Kafka's library has not what they call.
    """
    into.mkdir(parents=True, exist_ok=True)
    with resources.as_file(resources.files("kafkasim.cluster") / "drivers") as drivers:
        sources = [str(path) for path in sorted(drivers.glob("*.java"))]
        classpath = ":".join(str(jar) for jar in sorted(distribution.libs.glob("*.jar")))  # started as a module, javac knows no wildcard
        options = ["-proc:none", "-nowarn", "-encoding", "UTF-8", "-cp", classpath, "-d", str(into)]
        answer = _run([*distribution.javac, *options, *sources])
    if answer.returncode != 0:
        why = _compile_error(answer.stdout + answer.stderr)
        raise ClusterError(f"Kafka {distribution.version} in {distribution.libs} is too old or too new for our Java clients: {why}")
    return into


def _compile_error(output: str) -> str:
    """javac's first error, with the name of the file and without its folder."""
    errors = re.findall(r"^(?:.*/)?([^/\n]*error: .*)$", output, re.MULTILINE)
    return next(iter(errors or output.splitlines()), "javac said nothing")


def driver_command(distribution: Distribution, classes: Path, main: str) -> list[str]:
    """Runs the class `main` of `classes`; arguments may be added."""
    flags = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
    return [str(distribution.java), *flags, *distribution.logging(), "-cp", f"{classes}:{distribution.classpath}", main]


# ---------------------------------------------------------------------------------------------------- from Maven Central, once


def cache_folder() -> Path:
    """Where the platform keeps what can be had again."""
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "kafkasim"


def cached_jars(cache: Path, say: Callable[[str], None]) -> Path:
    """The folder of jars in `cache`, which is there completely or not at all: they are resolved beside it, and then it is renamed."""
    jars = cache / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise ClusterError(
            f"Maven (`mvn`) is needed to fetch Kafka {KAFKA_VERSION} once; install it, for example `apt install maven` or "
            "`brew install maven`, or name a Kafka distribution with --kafka-home"
        )
    say(f"fetching Kafka {KAFKA_VERSION} from Maven Central (43 MB, once)")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="resolving-", ignore_cleanup_errors=True) as beside:
            resolved = _resolve(maven, Path(beside))
            with contextlib.suppress(OSError):  # somebody else was faster, and theirs are the same
                resolved.rename(jars)
    except OSError as error:
        raise ClusterError(f"Kafka's jars cannot be kept in {cache}: {error.strerror}") from error
    return jars


def _resolve(maven: str, folder: Path) -> Path:
    pom, jars = folder / "pom.xml", folder / "libs"
    pom.write_text(_POM.format(version=KAFKA_VERSION), encoding="utf-8")
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
    answer = _run([maven, "-q", "-B", "-f", str(pom), *goal])
    if answer.returncode != 0 or not any(jars.glob("kafka-clients-*.jar")):
        raise ClusterError(f"Maven could not fetch Kafka {KAFKA_VERSION}: {_reason(answer.stdout + answer.stderr)}")
    return jars


def _reason(output: str) -> str:
    """Maven's first line of error; the last ones are advice on how to read its manual."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines() if line.strip()]
    errors = [line.removeprefix("[ERROR]").strip() for line in lines if line.startswith("[ERROR]")]
    return next(iter(errors or lines[-1:]), "it said nothing").split(" -> [Help")[0]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)

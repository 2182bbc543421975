"""A cohort on a Ray cluster of separate hosts that share no folder, only a store, while one host dies.

Each host is a network namespace of this machine with an address of its own and folders that no other sees,
all joined by a bridge: a head, two nodes of one core, and a store that speaks S3 (moto). The words that begin
them are those of docs/clusters.md. Slides are processed from the store to the store and then mapped; in the
first stage a host dies with all its processes, in the second another loses its network for a while and comes
back. Results are compared bit for bit with an undisturbed walk from disk to disk. Needs Linux and root.

    sudo .venv/bin/python benchmarks/hosts.py --work work --slides 24
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from s3fs import S3FileSystem

from cluster_road import GENES, KINDS, SMALL, Road, became, compare, draw, keep

RESULTS = Path(__file__).parent / "results" / "hosts.json"
BRIDGE, NETWORK, DRIVER = "miso-br", "10.77.0", 254
HEAD, STORE, NODES = ("miso-head", 1), ("miso-store", 9), (("miso-node-a", 2), ("miso-node-b", 3))
BUCKET, RAY_PORT, S3_PORT = "cohort", 6379, 5000
FETCHED = ("tile and patch features", "tables of Samples", "maps")
UNITS_BEFORE = 3
"""Results that are there before something happens."""
CUT_S = 75
"""For how long a host is without its network: longer than a lease lasts."""
TOKEN = secrets.token_hex(32)
"""What hosts of one Ray cluster know each other by."""
SECRET = "anything"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for cohort, runs and maps")
    parser.add_argument("--slides", type=int, default=24)
    args = parser.parse_args()
    if sys.platform != "linux" or os.geteuid():
        sys.exit("network namespaces need Linux and root; run this as root")
    told = environment()
    os.environ.clear()
    os.environ |= told
    work = args.work.absolute()
    quiet = Road(at=work / "undisturbed", vendor=draw(work / "vendor", args.slides))
    quiet.walk(("--workers", "2"), ("workers=2",))
    with network(work) as hosts:
        stages = disturbed(hosts, quiet, work)
        compared = compare(quiet.at, work / "fetched", {kind: KINDS[kind] for kind in FETCHED})
    keep("on hosts that share a store alone", RESULTS, args.slides, stages, compared)


@dataclass(kw_only=True)
class Host:
    """A network namespace, and a folder that it alone sees at `here`."""

    name: str
    number: int
    own: Path
    here: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its IP address."""
        return f"{NETWORK}.{self.number}"

    def open(self) -> None:
        """Join it to the bridge."""
        self.own.mkdir(parents=True, exist_ok=True)
        cable = f"miso-v{self.number}"
        ip("netns", "add", self.name)
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", cable, "master", BRIDGE, "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", self.name, "link", "set", device, "up")

    def plug(self, how: str) -> None:
        """Set its cable "up" or "down"."""
        ip("link", "set", f"miso-v{self.number}", how)

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Begin a command on it."""
        with (self.own.parent / f"{self.name}.log").open("ab") as log:
            process = subprocess.Popen(self._apart(*words), stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def ask(self, *words: str | Path) -> str:
        """Run a command on it, and return what it says."""
        asked = subprocess.run(self._apart(*words), capture_output=True, text=True, check=False)
        return asked.stdout

    def _apart(self, *words: str | Path) -> list[str]:
        script = f'hostname {self.name}; mount --bind "{self.own}" "{self.here}"; cd "{self.here}"; exec "$@"'
        apart = ("ip", "netns", "exec", self.name, "unshare", "--mount", "--uts", "sh", "-ec", script, "sh")
        return [*apart, *map(str, words)]

    def die(self) -> None:
        """End every process on it at once."""
        there = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        for process in map(int, there.stdout.split()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for begun in self.processes:
            begun.wait()
        self.processes.clear()


@dataclass(kw_only=True)
class Hosts:
    """All of them, by name."""

    by_name: dict[str, Host]

    @property
    def nodes(self) -> list[Host]:
        """Those that do work."""
        return [self.by_name[name] for name, _ in NODES]

    @property
    def head(self) -> Host:
        """That which others ask for work, and where commands begin."""
        return self.by_name[HEAD[0]]

    def begin(self) -> None:
        """Start the store, the head and the nodes."""
        self.by_name[STORE[0]].start(tool("moto_server"), "-H", "0.0.0.0", "-p", str(S3_PORT))
        wait_for(bucket_is_there, 60, "the store")
        ray = (tool("ray"), "start", "--block", "--disable-usage-stats", "--object-store-memory", "100000000")
        place = ("--temp-dir", self.head.here / "ray", "--include-dashboard=false")
        self.head.start(*ray, "--head", "--port", str(RAY_PORT), "--num-cpus", "0",
                        "--node-ip-address", self.head.address, *place)  # fmt: skip
        for node in self.nodes:
            self.join(node)
        wait_for(lambda: self.nodes_alive() == 3, 180, "three nodes")

    def join(self, node: Host) -> None:
        """Let a node join the cluster."""
        time.sleep(3)
        address = f"{self.head.address}:{RAY_PORT}"
        node.start(
            tool("ray"), "start", "--block", "--disable-usage-stats", "--address", address,
            "--num-cpus", "1", "--node-ip-address", node.address, "--object-store-memory", "100000000",
        )  # fmt: skip

    def nodes_alive(self) -> int:
        """Count the nodes that the head knows of."""
        code = (
            f"import ray; ray.init('{self.head.address}:{RAY_PORT}', logging_level=50, log_to_driver=False); "
            "print('alive', sum(node['Alive'] for node in ray.nodes()))"
        )
        said = self.head.ask(sys.executable, "-c", code).partition("alive ")[2].split()
        return int(said[0]) if said else 0


@contextmanager
def network(work: Path) -> Iterator[Hosts]:
    """Make the hosts, and leave nothing of them behind."""
    (here := work / "here").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "hosts", ignore_errors=True)
    named = (HEAD, STORE, *NODES)
    hosts = Hosts(
        by_name={
            name: Host(name=name, number=number, own=work / "hosts" / name, here=here)
            for name, number in named
        }
    )
    sweep(hosts)
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("address", "add", f"{NETWORK}.{DRIVER}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for host in hosts.by_name.values():
            host.open()
        hosts.begin()
        yield hosts
    finally:
        for host in hosts.by_name.values():
            with suppress(subprocess.CalledProcessError):
                host.die()
        sweep(hosts)


def sweep(hosts: Hosts) -> None:
    """Remove the network, of an earlier run too."""
    for words in (*(("netns", "del", name) for name in hosts.by_name), ("link", "del", BRIDGE)):
        subprocess.run(["ip", *words], capture_output=True, check=False)


def disturbed(hosts: Hosts, quiet: Road, work: Path) -> list[dict[str, object]]:
    """Process and map from the store to the store, while a host dies and another is cut off."""
    put(quiet.vendor, "vendor")
    put(quiet.at / "students", "students")
    tables = {name: table_of(quiet.vendor / name, work / name) for name in ("sections.csv", "slides.csv")}
    where = ("--launch", "ray", "--address", f"{hosts.head.address}:{RAY_PORT}",
             "--cache", str(hosts.head.here / "cache"))  # fmt: skip
    process = ("process-cohort", tables["sections.csv"], "--out", url("samples"), *SMALL, *where)
    first, second = hosts.nodes
    stages = [
        stage("process", "a host dies", hosts, process, "samples", lambda: die_and_return(hosts, first))
    ]
    maps = ("super-resolve", url("students"), "--slides", tables["slides.csv"], "--out", url("maps"),
            "--genes", GENES, "--no-report", *where)  # fmt: skip
    stages.append(
        stage("super-resolve", f"a host is cut off for {CUT_S} s", hosts, maps, "maps", lambda: cut(second))
    )
    for folder in ("samples", "maps"):
        store().get(f"{BUCKET}/{folder}", str(work / "fetched" / folder), recursive=True)
    return stages


def stage(
    name: str, accident: str, hosts: Hosts, words: Sequence[str | Path], out: str, strike: Callable[[], None]
) -> dict[str, object]:
    """Run a command on the head, let the accident happen once some results are there, and read its report."""
    begun = time.monotonic()
    running = hosts.head.start(sys.executable, "-m", "miso", *words)
    over = threading.Event()

    def happen() -> None:
        while not over.wait(1):
            if len(store().glob(f"{BUCKET}/{out}/*/.miso.json")) >= UNITS_BEFORE:
                strike()
                return

    accidents = threading.Thread(target=happen)
    accidents.start()
    code = running.wait()
    over.set()
    accidents.join()
    reports = sorted(hosts.head.own.glob("*run_report.json"), key=lambda file: file.stat().st_mtime_ns)
    units = json.loads(reports[-1].read_text())["units"]
    return {
        "stage": name,
        "accident": accident,
        **became(units),
        "hosts": len({unit["where"].partition(":")[0] for unit in units}),
        "leases left": len(store().glob(f"{BUCKET}/{out}/*.lease")),
        "exit code": code,
        "seconds": round(time.monotonic() - begun, 1),
    }


def die_and_return(hosts: Hosts, node: Host) -> None:
    """Let a host die, and join again as it was, with an empty folder."""
    node.die()
    shutil.rmtree(node.own)
    node.own.mkdir()
    hosts.join(node)


def cut(node: Host) -> None:
    """Pull a host's cable, and plug it in again."""
    node.plug("down")
    time.sleep(CUT_S)
    node.plug("up")


def table_of(table: Path, out: Path) -> Path:
    """Write a table whose paths lead into the store."""
    lines = [line.split(",") for line in table.read_text().splitlines()]
    at = [column for column, head in enumerate(lines[0]) if head in ("path", "slide")]
    for line in lines[1:]:
        for column in at:
            line[column] = url("vendor", line[column])
    out.write_text("\n".join(",".join(line) for line in lines) + "\n")
    return out


def url(*parts: str) -> str:
    return "/".join([f"s3://{BUCKET}", *parts])


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    return kept | {
        "AWS_ENDPOINT_URL": f"http://{NETWORK}.{STORE[1]}:{S3_PORT}",
        "AWS_ACCESS_KEY_ID": SECRET,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def store() -> S3FileSystem:
    """Reach the store from here."""
    return S3FileSystem(use_listings_cache=False)


def bucket_is_there() -> bool:
    """Make the bucket, if the store answers."""
    try:
        store().mkdir(BUCKET)
    except OSError:
        return False
    return True


def put(folder: Path, name: str) -> None:
    store().put(str(folder), f"{BUCKET}/{name}", recursive=True)


def wait_for(there: Callable[[], bool], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not there():
        if time.monotonic() > until:
            sys.exit(f"{what} did not come up in {seconds:g} s; see the logs in hosts/")
        time.sleep(1)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def tool(name: str) -> Path:
    return Path(sys.executable).parent / name


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""CPU time of berth's gateway beside nginx's, per request and per streamed chunk, and memory of server and worker.

    .venv/bin/python bench/gateway_bench.py [--berth build/release/berth] [--rounds 6] [--relayed]

A real `berth server` and `berth worker`, as two processes, place and probe a stand-in for llama-server and route to it
with a real key; nginx proxies to the same port. One client sends the same load to both in turn: berth, nginx, and both
once more, so that each is compared with itself too; the order turns round each time. What counts is the CPU time of
the proxies' processes: user and system, all threads, in nanoseconds by the kernel's clock of the process.

--relayed (root only) adds berth with its worker on another machine, as far as the server can see: requests pass through
both processes, and the CPU time of both counts. Plain HTTP there too, as nginx has it. It needs an address that is not
loopback, so the whole bench then runs in a network namespace of its own.

nginx is Debian's nginx-light: tools/deps --bench installs it.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from statistics import median

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(ROOT, "tests/e2e")]

import gateway_bench_client as client  # noqa: E402
import gateway_bench_engine as engine  # noqa: E402
import harness  # noqa: E402

ENGINE_PORTS = 46000
FAR_ADDRESS = "10.77.9.1"  # of the namespace of --relayed
IDLE_SECONDS = 5
CONNECTIONS = 8


class Lane:
    """One way to the engine and the processes whose time it costs. Without a place for streams it gets none."""

    def __init__(self, name, whole, stream, pids):
        self.name, self.places, self.pids = name, {False: whole, True: stream}, pids

    def takes(self, load):
        return self.places[load.stream] is not None

    def cpu_ns(self):
        """Linux makes the clock id of another process of its number, inverted, and the kind: 2 is user and system."""
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids)


class Load:
    """What is sent in one turn. Short turns come several times a round, so that the lanes meet the same machine."""

    def __init__(self, name, stream, count, connections, times):
        self.name, self.stream, self.count, self.connections, self.times = name, stream, count, connections, times
        self.units = count * (engine.EVENTS if stream else 1)
        self.expected = None

    def run(self, lane, count=None):
        place = lane.places[self.stream]
        return client.Load(place, self.stream, count or self.count, self.connections, self.expected).run()


LOADS = [
    Load("request, 1 connection", False, 1000, 1, 4),
    Load(f"request, {CONNECTIONS} connections", False, 2000, CONNECTIONS, 4),
    Load(f"streamed chunk, {CONNECTIONS} streams", True, 64, CONNECTIONS, 1),
]


# berth.


def start_berth(address, more_flags):
    """(harness.Place, server, worker): a model deployed and ready, through the real probe."""
    place = harness.Place()
    place.url = f"http://{address}:{place.port}"
    os.makedirs(place.path("bin"), mode=0o755)
    shutil.copyfile(os.path.join(HERE, "gateway_bench_engine.py"), place.path("bin/llama-server"))
    os.chmod(place.path("bin/llama-server"), 0o755)
    place.env["PATH"] = place.path("bin") + ":" + place.env["PATH"]
    try:
        flags = place.server_flags()
        flags[1] = f"{address}:{place.port}"
        server = place.start("server", "server", *flags, *more_flags)
        place.wait_server(server, "server")
        token = place.path("join.token")
        with open(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(place.cli("worker", "token").out)
        flags = ["--server", place.url, "--token-file", token, "--name", "bench", "--state-dir", place.path("worker")]
        flags += ["--model-root", harness.MODELS, "--engine-port", str(ENGINE_PORTS)]
        worker = place.start("worker", "worker", *flags)
        harness.wait_for("the worker", lambda: place.worker_state("bench") == "ready")
        place.cli("run", harness.model(), "--name", "bench")
        return place, server, worker
    except BaseException:
        for name in ("server", "worker"):
            if os.path.exists(place.path(name + ".log")):
                print(f"{name}:\n{place.log(name)[-2000:]}", file=sys.stderr)
        place.close()
        raise


def log_in(place):
    """The way of a person: the admin password, printed once, for a key."""
    line = next(line for line in place.log("server").splitlines() if "admin password" in line)
    status, body = place.call("POST", "/api/v1/login", {"password": line.split()[2]}, key="")
    if status not in (200, 201):
        raise RuntimeError(f"login: {status} {body}")
    return body["key"]


def memory(title, processes):
    """Resident megabytes, and of them those that are not pages of files."""
    cells = []
    for name, process in processes.items():
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            kib = {line.split(":")[0]: line.split()[1] for line in file if line.startswith(("VmRSS", "RssAnon"))}
        mb = {key: int(value) * 1024 / 1e6 for key, value in kib.items()}
        cells.append(f"{name} {mb['VmRSS']:.1f} MB resident ({mb['RssAnon']:.1f} anonymous)")
    print(f"memory {title}: " + ", ".join(cells), flush=True)


# nginx.

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  access_log off;
  keepalive_requests 1000000;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 64; keepalive_requests 1000000; }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  server {{ listen 127.0.0.1:{whole}; location / {{ proxy_pass http://engine; }} }}
  server {{ listen 127.0.0.1:{stream}; location / {{ proxy_pass http://engine; proxy_buffering off; }} }}
  server {{ listen 127.0.0.1:{logged}; access_log {folder}/access.log; location / {{ proxy_pass http://engine; }} }}
}}
"""


def find_nginx():
    path = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not path:
        sys.exit("gateway_bench: nginx is not here: tools/deps --bench installs it")
    return path


def start_nginx(program, place, engine_port, key):
    """Two lanes, without and with an access log. The process is the place's to end."""
    folder = place.path("nginx")
    os.makedirs(folder, mode=0o755)
    ports = {name: harness.free_port() for name in ("whole", "stream", "logged")}
    with open(folder + "/nginx.conf", "w", encoding="ascii") as file:
        file.write(NGINX.format(folder=folder, engine=engine_port, **ports))
    process = subprocess.Popen([program, "-p", folder, "-c", folder + "/nginx.conf", "-e", folder + "/nginx.log"])
    place.processes.append(process)
    children = f"/proc/{process.pid}/task/{process.pid}/children"

    def workers():
        with open(children, encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    harness.wait_for("nginx", lambda: process.poll() is not None or workers())
    if process.poll() is not None:
        raise RuntimeError(f"nginx ended with {process.returncode}, see above")
    pids = [process.pid, *workers()]
    at = {name: client.Place(f"http://127.0.0.1:{port}", key) for name, port in ports.items()}
    return [
        Lane("nginx", at["whole"], at["stream"], pids),
        Lane("nginx, access log", at["logged"], None, pids),
    ]


# Rounds and what they gave.


class Figures:
    """Samples by load and column; a column is a lane, or a lane's second turn in each round."""

    def __init__(self):
        self.cpu, self.latency, self.reads = {}, {}, {}

    def take(self, load, column, lane, result, cpu_ns):
        at = (load.name, column)
        if lane.pids:
            self.cpu.setdefault(at, []).append(cpu_ns / 1e3 / load.units)
        self.latency.setdefault(at, []).append(result.p50_us)
        self.reads.setdefault(at, []).append(result.reads / load.units)


def orders(turns, number, times):
    """All turns, `times` over; every second time backwards, as it matters what ran just before."""
    return [turn for i in range(times) for turn in (turns if (number + i) % 2 else reversed(turns))]


def run_rounds(turns, rounds):
    figures = Figures()
    for load in LOADS:
        direct = next(lane for _, lane in turns if not lane.pids)
        answer = client.Load(direct.places[load.stream], load.stream, 1, 1)
        answer.run()
        load.expected = answer.expected
        for _, lane in turns:  # connections, caches
            if lane.takes(load):
                load.run(lane, 2 * CONNECTIONS)
    for number in range(1, rounds + 1):
        for load in LOADS:
            for column, lane in orders(turns, number, load.times):
                if lane.takes(load):
                    before = lane.cpu_ns()
                    result = load.run(lane)
                    figures.take(load, column, lane, result, lane.cpu_ns() - before)
        print(f"round {number} of {rounds}, load average {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return figures


def idle(lanes):
    before = [lane.cpu_ns() for lane in lanes]
    time.sleep(IDLE_SECONDS)
    spent = [f"{lane.name} {(lane.cpu_ns() - was) / 1e6 / IDLE_SECONDS:.2f}" for lane, was in zip(lanes, before)]
    print("idle, ms of CPU a second: " + ", ".join(spent), flush=True)


def report(figures, columns):
    print("\nCPU time, µs, user and system:\n")
    print("| per | lane | min / median | again: min / median | again to first | reads at the client |")
    print("|---|---|---|---|---|---|")
    rows = [(load, column) for load in LOADS for column in columns if (load.name, column) in figures.cpu]
    for load, column in rows:
        first, again = figures.cpu[load.name, column], figures.cpu[load.name, column + "'"]
        sides = [f"{min(side):.1f} / {median(side):.1f}" for side in (first, again)]
        reads = median(figures.reads[load.name, column] + figures.reads[load.name, column + "'"])
        cells = [load.name, column, *sides, f"{median(again) / median(first):.2f}", f"{reads:.2f}"]
        print("| " + " | ".join(cells) + " |")
    print("\nTo nginx in the same round, median (lowest … highest):\n")
    for load, column in rows:
        if column != "nginx":
            ratios = []
            for turn in ("", "'"):
                over, under = figures.cpu[load.name, column + turn], figures.cpu[load.name, "nginx" + turn]
                ratios += [a / b for a, b in zip(over, under)]
            print(f"  {load.name}: {column} {median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})")
    alone = LOADS[0].name
    direct = median(figures.latency[alone, "direct"])
    added = [median(figures.latency[alone, name] + figures.latency[alone, name + "'"]) - direct for name in columns]
    print(f"\nLatency, {alone}, µs, p50 (median of rounds): direct {direct:.0f}, ", end="")
    print(", ".join(f"{name} {more:+.0f}" for name, more in zip(columns, added)))


def bench(args):
    nginx = find_nginx()
    places = []
    try:
        place, server, worker = start_berth("127.0.0.1", [])
        places.append(place)
        processes = {"server": server, "worker": worker}
        memory("after the start", processes)
        key = log_in(place)
        here = client.Place(place.url, key)
        client.Load(here, False, 1, 1).run()
        memory("after a login and a chat", processes)
        port = place.instance("bench")["status"]["port"]
        straight = client.Place(f"http://127.0.0.1:{port}", key)
        lanes = [Lane("berth", here, here, [server.pid, worker.pid])]
        lanes += start_nginx(nginx, place, port, key)
        if args.relayed:
            far, *pair = start_berth(FAR_ADDRESS, ["--insecure-http"])
            places.append(far)
            there = client.Place(far.url, log_in(far))
            lanes.append(Lane("berth, relayed", there, there, [process.pid for process in pair]))
        columns = [lane.name for lane in lanes]
        turns = [("direct", Lane("direct", straight, straight, []))]
        turns += [(lane.name + mark, lane) for mark in ("", "'") for lane in lanes]
        idle(lanes)
        print("processes: " + ", ".join(f"{lane.name} {lane.pids}" for lane in lanes), file=sys.stderr)
        figures = run_rounds(turns, args.rounds)
        memory("after all rounds", processes)
        report(figures, columns)
        if args.relayed:
            server_ns, worker_ns = (Lane("", None, None, [pid]).cpu_ns() for pid in lanes[-1].pids)
            print(f"\nRelayed: {worker_ns / (server_ns + worker_ns):.0%} of the CPU time was the worker's")
    finally:
        for one in places:
            one.close()


def enter_namespace():
    """Runs this program again in a network namespace of its own, which ends with it."""
    setup = f'ip link set lo up && ip addr add {FAR_ADDRESS}/32 dev lo && exec "$@"'
    command = ["unshare", "--net", "--", "sh", "-c", setup, "sh", sys.executable, *sys.argv, "--inside"]
    os.execvp(command[0], command)


def main():
    parser = argparse.ArgumentParser(description="CPU time of berth's gateway beside nginx's")
    parser.add_argument("--berth", default=harness.BERTH, help="the program")
    parser.add_argument("--rounds", type=int, default=6, help="how many; odd and even ones differ in order (6)")
    parser.add_argument("--relayed", action="store_true", help="in addition with the worker on another host; root only")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not 1 <= args.rounds <= 100:
        parser.error("--rounds must be from 1 to 100")
    harness.BERTH = os.path.abspath(args.berth)
    if not os.access(harness.BERTH, os.X_OK):
        sys.exit(f"gateway_bench: {args.berth} is not there: cmake --workflow --preset release builds it")
    if args.relayed and not args.inside:
        if os.geteuid() != 0:
            sys.exit("gateway_bench: --relayed makes a network namespace: run it as root")
        enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    bench(args)


if __name__ == "__main__":
    main()

"""A berth of its own for each group of tests: real processes on loopback, free ports, its own folders, every wait with
a deadline. Only processes that carry the folder's name in their command line are ever ended here."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import openai

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.realpath(os.path.join(ROOT, ".venv"))
MODELS = os.path.join(VENV, "models")
SEED = os.path.join(ROOT, "examples/seed")
BERTH = os.environ.get("BERTH_E2E_PROGRAM", os.path.join(ROOT, "build/release/berth"))
ENGINE_PORTS = 42000  # away from the default, so that a berth in use on this machine is left alone
READY_SECONDS = 60
STOP_SECONDS = 30


def model():
    files = sorted(glob.glob(MODELS + "/*.gguf"))
    if not files:
        raise RuntimeError(f"no model in {MODELS}: run tools/deps")
    return files[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, seconds=READY_SECONDS):
    """The first true value of condition(); fails with the last false one."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what} (last: {value!r})")
        time.sleep(0.05)


def alive(pid):
    """A zombie is not alive."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


class Ended:
    """What a command left."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.text = f"exit {self.code}\n{self.out}{self.err}"


class Place:
    """One server with its folder, its client file and the processes that belong to it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="berth-e2e-")
        os.chmod(self.folder, 0o755)  # engines run as another user and pass through
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes = []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("BERTH_", "XDG_", "OPENAI_"))}
        self.env |= {"HOME": self.folder, "BERTH_CONFIG": self.path("client.json")}

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    # Processes.

    def start(self, name, *args):
        """A long-running berth; its output goes to NAME.log."""
        with open(self.path(name + ".log"), "ab") as log:
            process = subprocess.Popen(
                [BERTH, *args], env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        self.processes.append(process)
        return process

    def server_flags(self):
        flags = ["--listen", f"127.0.0.1:{self.port}", "--data-dir", self.path("server")]
        return flags + ["--secret-file", self.path("secret.key")]

    def roots(self):
        """Where models may lie; `berth up` takes them for server and worker."""
        os.makedirs(self.path("models"), exist_ok=True)  # a root that is not there is refused
        return ["--model-root", MODELS, "--model-root", self.path("models")]

    def worker_flags(self, state="worker"):
        flags = ["--state-dir", self.path(state), "--launcher-dir", VENV + "/bin"]
        return flags + self.roots() + ["--engine-port", str(ENGINE_PORTS)]

    def up(self, *more):
        process = self.start("up", "up", *self.server_flags(), *self.worker_flags(), "--name", "box", *more)
        self.wait_server(process, "up")
        wait_for("worker box ready", lambda: self.worker_state("box") == "ready")
        return process

    def server(self, *more):
        process = self.start("server", "server", *self.server_flags(), *self.roots(), *more)
        self.wait_server(process, "server")
        return process

    def worker(self, name, *more):
        """A worker apart from its server, joined by a token."""
        token = self.path(name + ".token")
        with open(token, "w", encoding="utf-8") as file:
            file.write(self.new_key("join-" + name, "join"))
        flags = ["--server", self.url, "--token-file", token, "--name", name]
        process = self.start(name, "worker", *flags, *self.worker_flags(), *more)
        wait_for(f"worker {name} ready", lambda: self.worker_state(name) == "ready")
        return process

    def wait_server(self, process, name):
        def answers():
            if process.poll() is not None:
                raise AssertionError(f"berth {name} ended with {process.returncode}:\n{self.log(name)}")
            return self.status_of("/readyz") == 200

        wait_for(f"{self.url}/readyz", answers)

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        return process.wait(STOP_SECONDS)

    def log(self, name):
        with open(self.path(name + ".log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def cli(self, *args, code=0, seconds=READY_SECONDS, stdin=""):
        done = Ended(
            subprocess.run(
                [BERTH, *args],
                env=self.env,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=seconds,
                cwd=self.folder,
            )
        )
        if code is not None and done.code != code:
            raise AssertionError(f"berth {' '.join(args)}: expected exit {code}, got {done.text}")
        return done

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        # Engines outlive berth on purpose; those of this folder end here.
        for pid in self.own_pids():
            os.kill(pid, signal.SIGKILL)
        wait_for("engines gone", lambda: not self.own_pids(), STOP_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def own_pids(self):
        mark = (self.folder + "/").encode()
        pids = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if entry.isdigit() and mark in file.read() and alive(int(entry)):
                        pids.append(int(entry))
            except OSError:
                continue
        return pids

    # The management API, with the key that the server left for this machine.

    def key(self):
        with open(self.path("client.json"), encoding="utf-8") as file:
            return json.load(file)["key"]

    def call(self, method, path, body=None, key=None, raw=None):
        """Status and decoded body."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", "Bearer " + (self.key() if key is None else key))
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text) if text else None
        except ValueError:
            return status, text.decode(errors="replace")

    def get(self, path):
        status, body = self.call("GET", path)
        if status != 200:
            raise AssertionError(f"GET {path}: {status} {body}")
        return body

    def status_of(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def worker_state(self, name):
        for worker in self.get("/api/v1/workers")["items"]:
            if worker["name"] == name:
                return worker["status"]["worker"]["state"]
        return None

    def instances(self, deployment):
        return self.get(f"/api/v1/instances?deployment={deployment}")["items"]

    def instance(self, deployment):
        items = self.instances(deployment)
        if len(items) != 1:
            raise AssertionError(f"{deployment} has {len(items)} instances")
        return items[0]

    def new_key(self, name, *scopes):
        flags = [flag for scope in scopes for flag in ("--scope", scope)]
        return self.cli("key", "create", name, *flags).out.strip()

    def client(self, key=None):
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key or self.key(), max_retries=0, timeout=READY_SECONDS)

    # One engine, asked directly.

    def engine(self, instance, path):
        with open(self.path("worker/secrets", instance["id"]), encoding="utf-8") as file:
            secret = [line for line in file.read().splitlines() if not line.startswith("#")][0]
        request = urllib.request.Request(f"http://127.0.0.1:{instance['status']['port']}{path}")
        request.add_header("Authorization", "Bearer " + secret)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

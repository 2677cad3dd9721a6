"""A worker behind NAT, in network namespaces that this test makes: the server cannot dial it, TLS is pinned.

    server 10.77.1.1 ── br ── 10.77.1.2 router (MASQUERADE) 10.77.2.1 ── 10.77.2.2 worker
"""
import concurrent.futures
import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import openai

from harness import alive

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BERTH = os.environ.get("BERTH_BINARY", os.path.join(ROOT, "build/release/berth"))
TAG = f"b{os.getpid() % 100000}"
SERVER, ROUTER, WORKER = f"{TAG}s", f"{TAG}r", f"{TAG}w"
DEADLINE_S = 90
CLONE_NEWNET = 0x40000000
LONG = [{"role": "user", "content": "Tell a very long story."}]
SHORT = [{"role": "user", "content": "Say hi."}]


def sh(*args, check=True):
    return subprocess.run(args, check=check, capture_output=True, text=True)


def inside(namespace, *args):
    # Not `ip netns exec`: that remounts /sys as well, which fails where the root is no mount point (chroot).
    return ["nsenter", f"--net=/run/netns/{namespace}", *args]


@contextlib.contextmanager
def entered(namespace):
    """This thread's new sockets belong to the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{namespace}", "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")


def model_path():
    path = os.path.join(ROOT, ".venv/models/SmolLM2-135M-Instruct.Q4_1.gguf")
    return os.path.realpath(path)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
class BehindNat(unittest.TestCase):
    """One server and one worker for all tests; a model with two instances, and one for embeddings."""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="berth-nat-", dir="/var/tmp")
        os.chmod(cls.dir, 0o755)
        cls.processes = []
        cls.addClassCleanup(cls.clean)
        for namespace in (SERVER, ROUTER, WORKER):
            sh("ip", "netns", "add", namespace)
            sh(*inside(namespace, "ip", "link", "set", "lo", "up"))
        links = ((SERVER, ROUTER, f"{TAG}a", f"{TAG}b", "10.77.1"), (ROUTER, WORKER, f"{TAG}c", f"{TAG}d", "10.77.2"))
        for left, right, a, b, net in links:
            sh("ip", "link", "add", a, "netns", left, "type", "veth", "peer", "name", b, "netns", right)
            sh(*inside(left, "ip", "addr", "add", f"{net}.1/24", "dev", a))
            sh(*inside(right, "ip", "addr", "add", f"{net}.2/24", "dev", b))
            sh(*inside(left, "ip", "link", "set", a, "up"))
            sh(*inside(right, "ip", "link", "set", b, "up"))
        sh(*inside(WORKER, "ip", "route", "add", "default", "via", "10.77.2.1"))
        sh(*inside(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        sh(*inside(ROUTER, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", f"{TAG}b", "-j", "MASQUERADE"))
        cls.start_server()
        cls.start_worker()
        path = os.path.join(cls.dir, "models/smollm2.gguf")
        cls.must("run", path, "--name", "nat", "--replicas", "2", "--context", "4096")
        cls.must("run", path, "--name", "embedder", "--task", "embed", "--context", "512")
        cls.wait("three instances are ready", lambda: len(cls.instances()) == 3)

    @classmethod
    def clean(cls):
        for process in reversed(cls.processes):
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        for pid in cls.own_pids():  # engines outlive their worker
            os.kill(pid, signal.SIGKILL)
        for namespace in (SERVER, ROUTER, WORKER):
            sh("ip", "netns", "del", namespace, check=False)
        shutil.rmtree(cls.dir, ignore_errors=True)

    @classmethod
    def start(cls, namespace, name, *args):
        out = open(os.path.join(cls.dir, name + ".log"), "w+", encoding="utf-8")
        cls.addClassCleanup(out.close)
        env = {"PATH": os.environ["PATH"], "HOME": cls.dir, "BERTH_CONFIG": os.path.join(cls.dir, "client.json")}
        process = subprocess.Popen(inside(namespace, BERTH, *args), stdout=out, stderr=subprocess.STDOUT, env=env)
        cls.processes.append(process)
        return process, lambda: read(out.name)

    @classmethod
    def wait(cls, what, condition):
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"{what}: not within {DEADLINE_S} s\n" + "\n".join(
            read(os.path.join(cls.dir, f)) for f in os.listdir(cls.dir) if f.endswith(".log")))

    @classmethod
    def cli(cls, *args, **kwargs):
        env = {"PATH": os.environ["PATH"], "HOME": cls.dir, "BERTH_CONFIG": os.path.join(cls.dir, "client.json")}
        return subprocess.run(
            inside(SERVER, BERTH, *args), capture_output=True, text=True, env=env, timeout=DEADLINE_S, **kwargs)

    @classmethod
    def must(cls, *args):
        done = cls.cli(*args)
        if done.returncode:
            raise AssertionError(f"berth {args}: {done.stdout}{done.stderr}")
        return done.stdout

    @classmethod
    def start_server(cls):
        cls.server, log = cls.start(
            SERVER, "server", "server", "--listen", "10.77.1.1:8443", "--data-dir", f"{cls.dir}/server",
            "--secret-file", f"{cls.dir}/secret/secret.key")
        cls.server_log = staticmethod(log)
        cls.wait("server listens", lambda: "client" in log())

    @classmethod
    def start_worker(cls):
        text = cls.server_log()
        fingerprint = re.search(r"sha256:[0-9a-f]{64}", text).group(0)
        token = os.path.join(cls.dir, "join.token")
        with open(token, "w", encoding="utf-8") as file:
            file.write(re.search(r"bk_[A-Za-z0-9_-]{40,}", cls.must("key", "create", "join-nat", "--scope", "join"))[0])
        os.chmod(token, 0o600)
        models = os.path.join(cls.dir, "models")
        os.mkdir(models, 0o755)
        shutil.copy(model_path(), os.path.join(models, "smollm2.gguf"))
        cls.worker, _ = cls.start(
            WORKER, "worker", "worker", "--server", "https://10.77.1.1:8443", "--fingerprint", fingerprint,
            "--token-file", token, "--name", "behind-nat", "--state-dir", f"{cls.dir}/worker",
            "--model-root", models, "--engine-port", "42000",
            "--launcher-dir", os.path.realpath(os.path.join(ROOT, ".venv/bin")))
        cls.wait("worker is ready", lambda: "behind-nat  ready" in cls.cli("get", "workers").stdout)

    @classmethod
    def own_pids(cls):
        pids = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError, ValueError):
                if cls.dir + "/" in read(f"/proc/{entry}/cmdline") and alive(int(entry)):
                    pids.append(int(entry))
        return pids

    @classmethod
    def instances(cls, deployment=None):
        """What is ready."""
        found = json.loads(cls.cli("get", "instances", "-o", "json").stdout or '{"items": []}')["items"]
        return [i for i in found if i["status"]["state"] == "ready" and i["name"].startswith(deployment or "")]

    def client(self):
        with open(os.path.join(self.dir, "client.json"), encoding="utf-8") as file:
            key = json.load(file)["key"]
        http = openai.DefaultHttpxClient(verify=False)  # the pin is the worker's and the client file's to check
        self.addCleanup(http.close)
        return openai.OpenAI(base_url="https://10.77.1.1:8443/v1", api_key=key, max_retries=0, timeout=DEADLINE_S,
                             http_client=http)

    def chat(self, **more):
        with entered(SERVER):
            answer = self.client().chat.completions.create(model="nat", messages=SHORT, max_tokens=4, **more)
        self.assertTrue(answer.choices[0].message.content.strip())

    def long_stream(self, tokens):
        return self.client().chat.completions.create(
            model="nat", messages=LONG, max_tokens=tokens, stream=True, extra_body={"ignore_eos": True})

    def busy(self):
        """Slots that compute, asked of the engines themselves."""
        count = 0
        for instance in self.instances("nat"):
            lines = read(f"{self.dir}/worker/secrets/{instance['id']}").splitlines()
            request = urllib.request.Request(f"http://127.0.0.1:{instance['status']['port']}/slots")
            request.add_header("Authorization", "Bearer " + [line for line in lines if not line.startswith("#")][0])
            with entered(WORKER), urllib.request.urlopen(request, timeout=10) as answer:
                slots = json.load(answer)
            count += sum(slot["is_processing"] for slot in slots)
        return count

    def test_chat_through_a_connection_that_the_worker_dialled(self):
        self.assertIn("https://10.77.1.1:8443", self.server_log())
        # Nothing can be dialled from the server's side: the worker's network is behind the router.
        dial = "import socket, sys; s = socket.socket(); s.settimeout(2); sys.exit(s.connect_ex(('10.77.2.2', 9)))"
        dialled = sh(*inside(SERVER, sys.executable, "-c", dial), check=False)
        self.assertEqual(dialled.returncode, errno.ENETUNREACH, dialled.stderr)
        answer = self.must("run", os.path.join(self.dir, "models/smollm2.gguf"), "Say hi.", "--name", "once")
        self.assertTrue(answer.strip())
        self.must("delete", "deployment", "once", "--wait")

    def test_a_stream_comes_in_many_pieces(self):
        times = []
        with entered(SERVER):
            for chunk in self.long_stream(50):
                if chunk.choices and chunk.choices[0].delta.content:
                    times.append(time.monotonic())
        self.assertGreater(len(times), 25)
        self.assertGreater(sum(b - a > 0.001 for a, b in zip(times, times[1:])), 10)  # not in one lump

    def test_a_client_that_leaves_stops_the_engine(self):
        self.wait("idle engines", lambda: not self.busy())
        with entered(SERVER):
            stream = self.long_stream(3000)
            for _, _ in zip(range(3), stream):
                pass
        self.assertEqual(self.busy(), 1)
        begun = time.monotonic()
        stream.close()
        self.wait("the engine stops", lambda: not self.busy())
        self.assertLess(time.monotonic() - begun, 3)  # 3,000 tokens would take this machine far longer

    def test_embeddings(self):
        with entered(SERVER):
            answer = self.client().embeddings.create(model="embedder", input=["a", "b"], encoding_format="float")
        self.assertEqual([len(row.embedding) for row in answer.data], [576] * 2)

    def test_an_engine_that_is_killed_costs_no_request(self):
        self.wait("two instances", lambda: len(self.instances("nat")) == 2)
        victim = self.instances("nat")[0]["status"]["pid"]

        def ask(until):
            """How often until then, and once more."""
            count, more = 0, True
            with entered(SERVER):
                client = self.client()
                while more:
                    more = time.monotonic() < until
                    client.chat.completions.create(model="nat", messages=SHORT, max_tokens=1)  # raises what is not 200
                    count += 1
            return count

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            until = time.monotonic() + 3
            clients = [pool.submit(ask, until) for _ in range(4)]
            time.sleep(1)
            os.kill(victim, signal.SIGKILL)
            counts = [client.result() for client in clients]
        self.assertGreater(min(counts), 1)
        self.assertFalse(alive(victim))

    def test_a_restart_of_the_server_leaves_the_engines_alone(self):
        self.wait("two instances", lambda: len(self.instances("nat")) == 2)
        pids = sorted(i["status"]["pid"] for i in self.instances())
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(20), 0)
        self.assertTrue(all(alive(pid) for pid in pids))
        self.start_server()
        self.wait("adopted", lambda: sorted(i["status"]["pid"] for i in self.instances()) == pids)
        self.chat()

    def test_silence_of_a_worker_ends_what_waits_for_it(self):
        """The one slow test here: a worker is given half a minute (kWorkerSilenceMax, worker_silence_max)."""
        self.wait("two instances", lambda: len(self.instances("nat")) == 2)
        with entered(SERVER):
            stream = iter(self.long_stream(3000))
            next(stream)
            begun = time.monotonic()
            self.worker.send_signal(signal.SIGSTOP)
            self.addCleanup(self.worker.send_signal, signal.SIGCONT)
            with self.assertRaises(openai.APIError) as broken:
                for _ in stream:
                    pass
        self.assertIn("is not connected and sent nothing for", str(broken.exception))
        self.assertLess(time.monotonic() - begun, 40)
        self.worker.send_signal(signal.SIGCONT)
        self.wait("worker is back", lambda: "behind-nat  ready" in self.cli("get", "workers").stdout)
        self.chat()


if __name__ == "__main__":
    unittest.main()

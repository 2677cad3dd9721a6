"""A worker behind NAT, in network namespaces that this test makes: the server cannot dial it, TLS is pinned.

    server 10.77.1.1 ── br ── 10.77.1.2 router (MASQUERADE) 10.77.2.1 ── 10.77.2.2 worker
"""
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BERTH = os.environ.get("BERTH_BINARY", os.path.join(ROOT, "build/release/berth"))
TAG = f"b{os.getpid() % 100000}"
SERVER, ROUTER, WORKER = f"{TAG}s", f"{TAG}r", f"{TAG}w"
DEADLINE_S = 90


def sh(*args, check=True):
    return subprocess.run(args, check=check, capture_output=True, text=True)


def inside(namespace, *args):
    # Not `ip netns exec`: that remounts /sys as well, which fails where the root is no mount point (chroot).
    return ["nsenter", f"--net=/run/netns/{namespace}", *args]


def model_path():
    path = os.path.join(ROOT, ".venv/models/SmolLM2-135M-Instruct.Q4_1.gguf")
    return os.path.realpath(path)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
class BehindNat(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="berth-nat-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        self.processes = []
        self.addCleanup(self.clean)
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

    def clean(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        for namespace in (SERVER, ROUTER, WORKER):
            sh("ip", "netns", "del", namespace, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, namespace, name, *args):
        out = open(os.path.join(self.dir, name + ".log"), "w+", encoding="utf-8")
        self.addCleanup(out.close)
        env = {"PATH": os.environ["PATH"], "HOME": self.dir, "BERTH_CONFIG": os.path.join(self.dir, "client.json")}
        process = subprocess.Popen(inside(namespace, BERTH, *args), stdout=out, stderr=subprocess.STDOUT, env=env)
        self.processes.append(process)
        return lambda: read(out.name)

    def wait(self, what, condition):
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        self.fail(f"{what}: not within {DEADLINE_S} s\n" + "\n".join(
            read(os.path.join(self.dir, f)) for f in os.listdir(self.dir) if f.endswith(".log")))

    def cli(self, *args, **kwargs):
        env = {"PATH": os.environ["PATH"], "HOME": self.dir, "BERTH_CONFIG": os.path.join(self.dir, "client.json")}
        return subprocess.run(
            inside(SERVER, BERTH, *args), capture_output=True, text=True, env=env, timeout=DEADLINE_S, **kwargs)

    def test_chat_through_a_connection_that_the_worker_dialled(self):
        log = self.start(SERVER, "server", "server", "--listen", "10.77.1.1:8443", "--data-dir", f"{self.dir}/server",
                         "--secret-file", f"{self.dir}/secret/secret.key")
        self.wait("server listens", lambda: "client" in log())
        text = log()
        self.assertIn("https://10.77.1.1:8443", text)
        fingerprint = re.search(r"sha256:[0-9a-f]{64}", text).group(0)
        made = self.cli("key", "create", "join-nat", "--scope", "join")
        self.assertEqual(made.returncode, 0, made.stderr)
        token = os.path.join(self.dir, "join.token")
        with open(token, "w", encoding="utf-8") as file:
            file.write(re.search(r"bk_[A-Za-z0-9_-]{40,}", made.stdout).group(0))
        os.chmod(token, 0o600)
        # Nothing can be dialled from the server's side: the worker's network is behind the router.
        dial = "import socket, sys; s = socket.socket(); s.settimeout(2); sys.exit(s.connect_ex(('10.77.2.2', 9)))"
        dialled = sh(*inside(SERVER, sys.executable, "-c", dial), check=False)
        self.assertEqual(dialled.returncode, errno.ENETUNREACH, dialled.stderr)
        models = os.path.join(self.dir, "models")
        os.mkdir(models, 0o755)
        shutil.copy(model_path(), os.path.join(models, "smollm2.gguf"))
        worker_log = self.start(WORKER, "worker", "worker", "--server", "https://10.77.1.1:8443",
                                "--fingerprint", fingerprint, "--token-file", token, "--name", "behind-nat",
                                "--state-dir", f"{self.dir}/worker",
                                "--model-root", models, "--engine-port", "42000",
                                "--launcher-dir", os.path.realpath(os.path.join(ROOT, ".venv/bin")))
        self.wait("worker is ready", lambda: "behind-nat  ready" in self.cli("get", "workers").stdout)
        answer = self.cli("run", os.path.join(models, "smollm2.gguf"), "Say hi.", "--name", "nat")
        self.assertEqual(answer.returncode, 0, answer.stderr + log() + worker_log())
        self.assertTrue(answer.stdout.strip())
        gone = self.cli("delete", "deployment", "nat", "--wait")
        self.assertEqual(gone.returncode, 0, gone.stderr)


if __name__ == "__main__":
    unittest.main()

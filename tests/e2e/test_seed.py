"""A Mac that is ready and a Linux machine that stops: two real workers with simulated devices, and one answer."""

import json
import os
import unittest

from harness import SEED, Place, wait_for

MAC, LINUX = "mac-studio-m2-ultra", "linux-gpu-01"
DOES_NOT_FIT = 8
NOT_READY_SECONDS = 40  # a heartbeat is late after 15 s, a closed connection after 5


def block(worker, text):
    """The lines of `check` about one worker: its headline and what is indented below."""
    lines, taken = text.splitlines(), []
    for line in lines:
        if line.startswith(worker + " ("):
            taken.append(line)
        elif taken and line.startswith("  "):
            taken.append(line.strip())
        elif taken:
            break
    return taken


class Seed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        cls.addClassCleanup(cls.place.close)
        cls.place.server()
        cls.token = cls.place.path("join.token")
        with open(cls.token, "w", encoding="utf-8") as file:
            file.write(cls.place.new_key("seed-join", "join") + "\n")
        os.chmod(cls.token, 0o600)
        cls.mac = cls.join(MAC)
        cls.linux = cls.join(LINUX)
        for name in (MAC, LINUX):
            wait_for(f"{name} ready", lambda name=name: cls.place.worker_state(name) == "ready")

    @classmethod
    def join(cls, name):
        flags = ["--server", cls.place.url, "--token-file", cls.token, "--profile", os.path.join(SEED, name + ".yaml")]
        return cls.place.start(name, "worker", *flags, *cls.place.worker_flags(name))

    def check(self, deployment, code, *flags):
        return self.place.cli("check", "--deployment", os.path.join(SEED, deployment), *flags, code=code)

    def decision(self, deployment, code):
        return json.loads(self.check(deployment, code, "-o", "json").out)["decision"]

    def test_1_both_ready(self):
        devices = self.place.get("/api/v1/devices")["items"]
        self.assertEqual(len(devices), 3)
        self.assertTrue(all(d["simulated"] for d in devices))
        for command in (("get", "workers"), ("get", "devices"), ("describe", "worker", MAC)):
            self.assertIn("simulated", self.place.cli(*command).out.lower(), command)
        decision = self.decision("deployment.yaml", 0)
        self.assertEqual(decision["verdict"], "fits")
        self.assertEqual([w["worker_name"] for w in decision["plans"][0]["workers"]], [LINUX])
        self.assertEqual(self.decision("deployment-on-mac.yaml", DOES_NOT_FIT)["verdict"], "does_not_fit")

    def test_2_the_server_finds_a_stopped_worker_by_itself(self):
        self.assertEqual(self.place.stop(self.linux), 0)
        wait_for("the Linux worker not ready", lambda: self.place.worker_state(LINUX) == "not_ready", NOT_READY_SECONDS)
        self.assertEqual(self.place.worker_state(MAC), "ready")
        worker = next(w for w in self.place.get("/api/v1/workers")["items"] if w["name"] == LINUX)
        self.assertFalse(worker["status"]["connected"])
        self.assertTrue(worker["status"]["reason"])

    def test_3_automatic(self):
        done = self.check("deployment.yaml", DOES_NOT_FIT)
        mac, linux = " ".join(block(MAC, done.out)), " ".join(block(LINUX, done.out))
        self.assertIn("engine_os: vLLM needs Linux; this worker runs macOS", mac)
        for rule in ("engine_vendor", "layout", "memory", "ram"):
            self.assertIn(rule, mac.split("after that not evaluated")[1])
        self.assertIn("worker_ready: worker is not ready, last report at 20", linux)
        self.assertIn("by that report it would fit", linux)
        fixes = done.out[done.out.index("Fixes:") :]
        self.assertLess(fixes.index("1. use the GGUF variant Q4_K_M"), fixes.index(f"2. bring worker {LINUX} back"))
        self.assertIn("shared pool:", fixes)
        self.assertIn("working-set cap", fixes)
        decision = self.decision("deployment.yaml", DOES_NOT_FIT)
        self.assertEqual((decision["verdict"], decision["fit_count"], decision["plans"]), ("does_not_fit", 0, []))

    def test_4_by_hand_on_the_mac_says_the_same_about_it(self):
        automatic = self.check("deployment.yaml", DOES_NOT_FIT)
        manual = self.check("deployment-on-mac.yaml", DOES_NOT_FIT)
        self.assertGreater(len(block(MAC, automatic.out)), 2, automatic.text)
        self.assertEqual(block(MAC, automatic.out), block(MAC, manual.out))
        self.assertIn("not selected", " ".join(block(LINUX, manual.out)))
        fixes = manual.out[manual.out.index("Fixes:") :]
        self.assertLess(fixes.index("1. use the GGUF variant Q4_K_M"), fixes.index("2. "))
        answer = json.loads(self.check("deployment-on-mac.yaml", DOES_NOT_FIT, "-o", "json").out)
        self.assertEqual([len(fix["changes"]) for fix in answer["fixes"]], [1, 2])
        decision = self.decision("deployment-on-mac.yaml", DOES_NOT_FIT)
        self.assertEqual((decision["verdict"], decision["fit_count"], decision["plans"]), ("does_not_fit", 0, []))

    def test_5_the_same_answer_offline(self):
        """The file of the fleet says what the server found out: verdict, counts and fixes are the same."""

        def answer(*flags):
            done = json.loads(self.check("deployment.yaml", DOES_NOT_FIT, "-o", "json", *flags).out)
            return done["decision"]["verdict"], [sorted(c["kind"] for c in f["changes"]) for f in done["fixes"]]

        live = answer()
        self.assertEqual(live, answer("--fleet", os.path.join(SEED, "fleet.yaml")))
        self.assertEqual(len(live[1]), 2)

    def test_6_the_quantized_file_stays_simulated(self):
        self.assertEqual(self.decision("deployment-gguf.yaml", 0)["verdict"], "fits")
        self.place.cli("deploy", "-f", os.path.join(SEED, "deployment-gguf.yaml"))
        name = "qwen3-32b-gguf"
        wait_for(
            "a simulated instance",
            lambda: [i for i in self.place.instances(name) if i["status"]["state"] == "simulated"],
        )
        instance = self.place.instance(name)
        self.assertEqual(instance["spec"]["plan"]["workers"][0]["worker_name"], MAC)
        self.assertFalse(instance["status"].get("pid"))
        self.assertEqual(self.place.get(f"/api/v1/deployments/{name}")["status"]["ready_replicas"], 0)
        # Two more heartbeats change nothing, and nothing is routed there.

        def reported():
            return self.place.get("/api/v1/workers/" + MAC)["status"]["worker"].get("last_report_at")

        before = reported()
        wait_for("a later report", lambda: reported() != before, 15)
        self.assertEqual(self.place.instance(name)["status"]["state"], "simulated")
        self.assertEqual([m.id for m in self.place.client().models.list()], [])
        status, body = self.place.call(
            "POST", "/v1/chat/completions", {"model": "qwen3-32b", "messages": [{"role": "user", "content": "Hi"}]}
        )
        self.assertIn(status, (404, 503), body)
        self.assertEqual(len(self.place.own_pids()), 2)  # the server and the Mac's worker
        claimed = self.place.get("/api/v1/workers/" + MAC)["status"]["capacity"]["memory"]["claimed"]
        self.assertGreater(claimed, 19_756_174_336)
        self.place.cli("delete", "deployment", name, "--wait")

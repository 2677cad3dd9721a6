"""What goes wrong gets a message that says what to do."""

import http.client
import json
import os
import shutil
import socket
import unittest

from harness import READY_SECONDS, Place, free_port, model, wait_for

NOT_FOUND, UNAVAILABLE = 3, 7


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        cls.addClassCleanup(cls.place.close)
        cls.place.up()

    def test_wrong_token(self):
        token = self.place.path("wrong.token")
        with open(token, "w", encoding="utf-8") as file:
            file.write("bk_wrong\n")
        flags = ["--server", self.place.url, "--token-file", token, "--name", "stranger"]
        done = self.place.cli("worker", *flags, *self.place.worker_flags("stranger"), code=None)
        self.assertNotEqual(done.code, 0, done.text)
        self.assertIn("token", done.err)
        self.assertIsNone(self.place.worker_state("stranger"))

    def test_port_in_use(self):
        other = Place()
        self.addCleanup(other.close)
        other.port = self.place.port
        done = other.cli("up", *other.server_flags(), *other.worker_flags(), code=None)
        self.assertNotEqual(done.code, 0, done.text)
        self.assertIn(f"127.0.0.1:{self.place.port}", done.err)
        self.assertIn("in use", done.err)
        self.assertIn("--listen", done.err)
        # The start that failed told no password, so the first that succeeds does.
        other.port = free_port()
        other.url = f"http://127.0.0.1:{other.port}"
        server = other.server()
        self.assertIn("admin password", other.log("server"))
        other.stop(server)

    def test_no_address(self):
        done = self.place.cli("server", "--listen", "nonsense", "--data-dir", self.place.path("other"), code=None)
        self.assertNotEqual(done.code, 0)
        self.assertIn("nonsense", done.err)

    def test_no_model_there(self):
        done = self.place.cli("run", "/nowhere/model.gguf", code=NOT_FOUND)
        self.assertIn("/nowhere/model.gguf", done.err)

    def test_unknown_deployment(self):
        done = self.place.cli("run", "gpt-7", "Hello", code=NOT_FOUND)
        self.assertIn("neither a file nor a deployment", done.err)

    def test_truncated_model(self):
        cut = self.place.path("models", "cut.gguf")
        with open(model(), "rb") as whole, open(cut, "wb") as file:
            file.write(whole.read(40 * 1024 * 1024))
        done = self.place.cli("run", cut, "Hello", code=None)
        self.assertNotEqual(done.code, 0, done.text)
        self.assertIn("cut.gguf", done.err)
        self.assertRegex(done.err, "truncated|incomplete|shorter|ends")
        self.place.cli("get", "deployments", "cut", code=NOT_FOUND)

    def test_no_model_at_all(self):
        path = self.place.path("models", "text.gguf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("not a model")
        done = self.place.cli("check", path, code=None)
        self.assertNotEqual(done.code, 0)
        self.assertIn("GGUF", done.err)

    def test_a_model_outside_the_roots(self):
        outside = self.place.path("outside.gguf")
        shutil.copyfile(model(), outside)
        request = {"deployment": "outside", "source": {"kind": "local", "path": outside}}
        body = {"name": "outside", "spec": {"request": request, "route": "outside"}}
        status, answer = self.place.call("POST", "/api/v1/deployments", body)
        self.assertEqual(status, 400, answer)
        self.assertIn("--model-root", answer["detail"])
        # Who brings the facts along needs no file on the server; the worker must not start an engine with it.
        inside = {"name": "inside", "spec": {"request": {"source": {"kind": "local", "path": model()}}}}
        status, answer = self.place.call("POST", "/api/v1/deployments", inside)
        self.assertEqual(status, 201, answer)
        request["facts"] = self.place.get("/api/v1/deployments/inside")["spec"]["request"]["facts"]
        self.place.cli("delete", "deployment", "inside", "--wait")
        status, answer = self.place.call("POST", "/api/v1/deployments", body)
        self.assertEqual(status, 201, answer)
        self.addCleanup(lambda: self.place.cli("delete", "deployment", "outside", "--wait"))

        def refusal():
            for instance in self.place.instances("outside"):
                if instance["status"]["state"] == "failed":
                    return instance["status"]["message"]
            return None

        message = wait_for("the refusal", refusal, 30)
        self.assertIn(outside, message)
        self.assertIn("not under a model root", message)
        self.assertEqual([m.id for m in self.place.client().models.list()], [])

    def test_no_server(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        done = self.place.cli("get", "workers", "--server", address, code=UNAVAILABLE)
        self.assertIn("berth up", done.err)

    def test_a_flag_that_berth_owns(self):
        file = self.place.path("owned.yaml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(f"name: owned\nsource: {{kind: local, path: {model()}}}\n")
            out.write("settings: {flags: ['--port=1']}\nrestriction: {engine: llama.cpp}\n")
        done = self.place.cli("deploy", "-f", file, code=None)
        self.assertNotEqual(done.code, 0, done.text)
        self.assertIn("--port", done.err)

    def test_unknown_field(self):
        status, body = self.place.call("POST", "/api/v1/deployments", {"name": "x", "spec": {"reqest": {}}})
        self.assertEqual(status, 400, body)
        self.assertIn("reqest", str(body))

    def test_foreign_host_and_origin(self):
        for header, value in (("Host", "evil.example"), ("Origin", "http://evil.example")):
            for path in ("/api/v1/version", "/v1/models"):
                connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=READY_SECONDS)
                connection.request("GET", path, headers={header: value})
                answer = connection.getresponse()
                body = json.loads(answer.read())
                connection.close()
                self.assertEqual(answer.status, 403, header)
                # Each surface refuses in the shape that its clients read.
                self.assertIn("evil.example", body["detail"] if "/api/" in path else body["error"]["message"])
                self.assertTrue(answer.headers["x-request-id"])

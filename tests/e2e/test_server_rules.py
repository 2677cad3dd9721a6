"""What the server takes, refuses and shows: documents, queries, hosts, files, events, its own start."""

import http.client
import json
import os
import re
import socket
import time
import unittest

from harness import SEED, Place, model, wait_for

USAGE = 2


def spec(path, **more):
    return {"request": {"deployment": "x", "source": {"kind": "local", "path": path}, **more}}


class Rules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        cls.addClassCleanup(cls.place.close)
        cls.place.up("--profile", SEED)

    def refused(self, method, path, body, *parts, status=400):
        got, answer = self.place.call(method, path, body)
        self.assertEqual(got, status, answer)
        for part in parts:
            self.assertIn(part, answer["detail"])
        return answer

    def test_a_document_without_its_spec(self):
        self.refused("POST", "/api/v1/deployments", {"name": "nospec"}, "spec is missing")
        self.refused("PUT", "/api/v1/deployments/nospec", {}, "spec is missing")
        self.refused("POST", "/api/v1/deployments", {"name": "n", "spec": {"request": {}}}, "source is missing")

    def test_queries_are_checked(self):
        body = {"name": "dry", "spec": spec(model())}
        self.refused("POST", "/api/v1/deployments?dry_run=1", body, "dry_run", '"1"')
        self.refused("POST", "/api/v1/deployments?dryrun=true", body, "dryrun")
        self.refused("GET", "/api/v1/workers?x=y", None, "takes none")
        status, answer = self.place.call("POST", "/api/v1/deployments?dry_run=true", body)
        self.assertEqual((status, answer["decision"]["verdict"]), (200, "fits"), answer)
        names = [item["name"] for item in self.place.get("/api/v1/deployments")["items"]]
        self.assertNotIn("dry", names)  # another test's may be on their way out still
        self.refused("PUT", "/api/v1/deployments/dry?dry_run=true", body | {"name": None}, status=400)
        self.refused("PUT", "/api/v1/deployments/dry?dry_run=true", {"spec": body["spec"]}, "dry", status=404)

    def test_a_path_without_a_model_is_named(self):
        for path in ("/nowhere/model.gguf", "", self.place.folder):
            status, answer = self.place.call("POST", "/api/v1/deployments", {"name": "none", "spec": spec(path)})
            self.assertIn(status, (400, 404), answer)
            self.assertIn(path or "path is missing", answer["detail"])

    def test_only_model_roots_are_read(self):
        there, absent = "/etc/passwd", "/etc/no-such-file"
        told = {}
        for path in (there, absent):
            for route in ("/api/v1/decisions", "/api/v1/deployments?dry_run=true"):
                body = {"source": {"kind": "local", "path": path}}
                body = body if "decisions" in route else {"name": "peek", "spec": {"request": body}}
                status, answer = self.place.call("POST", route, body)
                self.assertEqual(status, 400, answer)
                told.setdefault(route, []).append(answer["detail"].replace(path, "PATH"))
                self.assertIn("--model-root", answer["detail"])
        for answers in told.values():
            self.assertEqual(answers[0], answers[1])

    def test_a_model_of_the_catalog_is_decided_by_name(self):
        path = "/api/v1/decisions"
        named = [
            {"model": "Qwen3-32B"},
            {"source": {"kind": "catalog", "repo": "qwen3:32b"}},
            {"source": {"kind": "catalog"}, "model": "qwen3-32b"},
            {"source": {"kind": "huggingface", "repo": "Qwen/Qwen3-32B"}},
        ]
        answers = []
        for request in named:
            status, answer = self.place.call("POST", path, request)
            self.assertEqual(status, 200, answer)
            answers.append((answer["decision"]["verdict"], [fix["text"] for fix in answer["fixes"] or []]))
        self.assertEqual(answers[1:], answers[:-1])
        self.assertEqual(answers[0][0], "does_not_fit")
        self.assertTrue(any("variant Q" in text for text in answers[0][1]), answers[0])
        status, answer = self.place.call("POST", path, {"source": {"kind": "catalog", "repo": "qwen3-32b:q4_k_m"}})
        self.assertEqual((status, answer["decision"]["verdict"]), (200, "fits"), answer)
        status, answer = self.place.call("POST", path, {"model": "nobody knows this one"})
        self.assertEqual((status, answer["decision"]["verdict"]), (200, "unknown"), answer)
        self.refused("POST", path, {"source": {"kind": "catalog", "repo": "qwen3-33b"}}, "qwen3-33b", "did you mean")
        several = {"source": {"kind": "catalog", "repo": "kimi"}}
        self.refused("POST", path, several, "kimi-k2.5", "may be one of several")

    def test_a_deployment_by_name_is_completed_for_a_dry_run_only(self):
        body = {"name": "by-name", "spec": {"request": {"source": {"kind": "catalog", "repo": "qwen3-32b:q4_k_m"}}}}
        status, answer = self.place.call("POST", "/api/v1/deployments?dry_run=true", body)
        self.assertEqual((status, answer["decision"]["verdict"]), (200, "fits"), answer)
        unknown = {"name": "by-name", "spec": {"request": {"source": {"kind": "catalog", "repo": "qwen3-33b"}}}}
        self.refused("POST", "/api/v1/deployments?dry_run=true", unknown, "$.spec.request", "did you mean")
        status, answer = self.place.call("POST", "/api/v1/deployments", body)
        self.assertEqual(status, 201, answer)
        status, answer = self.place.call("GET", "/api/v1/deployments/by-name")
        self.assertNotIn("facts", [k for k, v in answer["spec"]["request"].items() if v], answer)
        self.assertIn(self.place.call("DELETE", "/api/v1/deployments/by-name")[0], (200, 202, 204))

    def test_evaluations_are_checked(self):
        path = "/v1/model-evaluations"
        self.refused("POST", path, {}, "model_specs is missing")
        self.refused("POST", path, {"model_specs": [{}]}, "model_specs[0].source is missing")
        self.refused("POST", path, {"model_specs": [{"source": "ftp"}]}, '"ftp"', "huggingface")
        one = {"source": "local_path", "local_path": "/nowhere/model.gguf"}
        self.refused("POST", path, {"model_specs": [one | {"placement_strategy": "pile"}]}, '"pile"', "binpack")
        status, answer = self.place.call("POST", path, {"model_specs": [one]})
        self.assertEqual(status, 200)
        self.assertIn("/nowhere/model.gguf", answer["results"][0]["error_message"])

    def test_flags_that_nobody_typed_are_for_operators(self):
        status, made = self.place.call("POST", "/api/v1/keys", {"name": "manager", "scopes": ["management"]})
        self.assertEqual(status, 201, made)
        good = spec(model(), restriction={"engine": "llama.cpp"})["request"]
        asked = good | {"settings": {"flags": ["--samplers=top_k"]}}
        one = {"source": "local_path", "local_path": model(), "backend": "llama.cpp"}
        specs = {"model_specs": [one | {"backend_parameters": ["--samplers=top_k"]}]}
        new, edit = {"name": "more", "spec": {"request": asked}}, {"spec": {"request": asked}}
        good = {"name": "typed", "spec": {"request": good}}
        self.assertEqual(self.place.call("POST", "/api/v1/deployments", good, made["key"])[0], 201)
        for method, path, body in [
            ("POST", "/api/v1/deployments", new),
            ("POST", "/api/v1/deployments?dry_run=true", new),
            ("PUT", "/api/v1/deployments/typed", edit),
            ("PUT", "/api/v1/deployments/typed?dry_run=true", edit),
            ("POST", "/api/v1/decisions", asked),
            ("POST", "/api/v1/keys", {"name": "more", "scopes": ["management", "operator"]}),
        ]:
            status, answer = self.place.call(method, path, body, made["key"])
            self.assertEqual(status, 403, (path, answer))
            self.assertIn("scope operator", answer["detail"])
            self.assertIn('"manager"', answer["detail"])
        status, answer = self.place.call("POST", "/v1/model-evaluations", specs, made["key"])
        self.assertIn("--samplers is no flag of llama.cpp that berth knows", answer["results"][0]["error_message"])
        path = asked | {"settings": {"flags": ["--samplers=../x"]}}
        self.refused("POST", "/api/v1/decisions", path, "--samplers", "path")
        status, answer = self.place.call("POST", "/v1/model-evaluations", specs)
        self.assertFalse(answer["results"][0]["error_message"], answer)
        status, answer = self.place.call("PUT", "/api/v1/deployments/typed", edit)
        self.assertEqual(status, 200, answer)
        events = self.place.get("/api/v1/events?object=typed")["items"]
        told = [e["message"] for e in events if e["reason"] == "unknown_flags"]
        self.assertEqual(told, ["local-admin has --samplers passed on to llama.cpp, unchecked"])
        self.assertIn("local-admin has --samplers passed on", self.place.cli("describe", "deployment", "typed").out)
        self.assertIn(self.place.call("DELETE", "/api/v1/deployments/typed")[0], (200, 202, 204))

    def test_names_that_never_existed(self):
        asked = spec(model(), restriction={"workers": ["nowhere"]})
        self.refused("POST", "/api/v1/decisions", asked["request"], '"nowhere"', "does not know")
        self.refused("POST", "/api/v1/deployments", {"name": "lost", "spec": asked}, '"nowhere"', "does not know")
        selector = {"gpu_ids": ["nowhere:0"]}
        one = {"source": "local_path", "local_path": model(), "gpu_selector": selector}
        status, answer = self.place.call("POST", "/v1/model-evaluations", {"model_specs": [one]})
        self.assertFalse(answer["results"][0]["compatible"], answer)
        self.assertIn("nowhere", json.dumps(answer["results"][0]["compatibility_messages"]))

    def raw(self, method, path, host):
        connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer, answer.read()

    def test_strangers_get_no_connection_and_members_no_time(self):
        def dial(path, key, protocol):
            link = socket.create_connection(("127.0.0.1", self.place.port), timeout=30)
            self.addCleanup(link.close)
            link.sendall(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.place.port}\r\nAuthorization: Bearer {key}\r\n"
                f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n".encode()
            )
            return link, link.recv(4096).split(b"\r\n")[0]

        for key in ("", "bk_nobody", self.place.new_key("no-worker", "inference")):
            self.assertIn(b" 401 ", dial("/worker/v1/control", key, "berth-control")[1])
            self.assertIn(b" 401 ", dial("/worker/v1/data", key, "berth-data")[1])
        token = self.place.new_key("a-token", "join")
        dripping, head = dial("/worker/v1/control", token, "berth-control")
        self.assertIn(b" 101 ", head)
        # A hello that says it is large is not waited for.
        large, head = dial("/worker/v1/control", token, "berth-control")
        self.assertIn(b" 101 ", head)
        large.sendall((1 << 20).to_bytes(4, "big") + b"\x01" + b"{")
        self.assertEqual(large.recv(1), b"")
        # More than may be joining at once are turned away; when these end, there is room again.
        links = [dial("/worker/v1/control", token, "berth-control") for _ in range(70)]
        self.assertIn(b" 503 ", links[-1][1])
        for link, _ in links:
            link.close()
        # Bytes that drip do not keep a connection.
        begin = time.monotonic()
        dripping.sendall((60_000).to_bytes(4, "big") + b"\x01")
        dripping.settimeout(0.5)
        while time.monotonic() < begin + 20:
            try:
                dripping.sendall(b" ")
                if dripping.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.assertLess(time.monotonic() - begin, 15)
        self.assertGreater(time.monotonic() - begin, 5)
        self.assertIn(b" 101 ", dial("/worker/v1/control", token, "berth-control")[1])

    def test_names_that_begin_like_loopback(self):
        for host in ("127.evil.com", "127.0.0.1.evil.com:80", "localhost.evil.com"):
            self.assertEqual(self.raw("GET", "/api/v1/version", host)[0].status, 403, host)
        for host in ("127.0.0.1", f"localhost:{self.place.port}", "[::1]"):
            self.assertEqual(self.raw("GET", "/api/v1/version", host)[0].status, 200, host)

    def test_a_method_that_is_not_offered(self):
        answer, body = self.raw("PATCH", "/api/v1/deployments/x", "localhost")
        self.assertEqual((answer.status, json.loads(body)["status"]), (405, 405))
        self.assertEqual(answer.headers["Allow"], "GET, PUT, DELETE")

    def test_the_worker_that_is_away_is_in_the_answer(self):
        wait_for("the Linux worker", lambda: self.place.worker_state("linux-gpu-01") == "not_ready")
        wait_for("the Mac", lambda: self.place.worker_state("mac-studio-m2-ultra") == "ready")
        done = self.place.cli("check", "--deployment", os.path.join(SEED, "deployment.yaml"), code=None)
        self.assertIn("bring worker linux-gpu-01 back", done.out, done.text)

    def test_events_by_name(self):
        self.place.cli("deploy", "-f", os.path.join(SEED, "deployment-gguf.yaml"))
        name = "qwen3-32b-gguf"
        wait_for("an instance", lambda: self.place.instances(name))
        for wanted in (name, name + "-0"):
            items = self.place.get(f"/api/v1/events?object={wanted}")["items"]
            self.assertEqual((items[-1]["object_name"], items[-1]["reason"]), (name, "placed"))
        self.refused("GET", "/api/v1/events?object=nobody", None, "nobody", status=404)
        instance = self.place.instance(name)
        stored = (instance["revision"], instance["generation"])
        self.assertTrue(all(n > 0 for n in stored), stored)
        self.place.cli("delete", "deployment", name, "--wait")


class Starts(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)

    def test_wrong_flags_are_wrong_usage(self):
        data, secret = ["--data-dir", self.place.path("d")], ["--secret-file", self.place.path("k")]
        for wrong in (["--listen", "here"], ["--tls-cert", "x.pem"]):
            self.place.cli("server", *data, *secret, *wrong, code=USAGE)
        self.place.cli("up", *data, *secret, "--engine-port", "70000", code=USAGE)
        wrong_files = ["--data-dir", "/etc/passwd", *secret], [*data, "--secret-file", "/etc"]
        for flags, named in zip(wrong_files, ("/etc/passwd", "/etc")):
            done = self.place.cli("server", *flags, code=1)
            self.assertIn(named, done.err)
            self.assertNotIn("chmod", done.err)

    def test_a_worker_that_cannot_start_ends_its_up(self):
        state = self.place.path("worker")
        os.makedirs(state, mode=0o711)
        with open(os.path.join(state, "worker.json"), "w", encoding="utf-8") as file:
            file.write('{"worker_id": "torn')
        begin = time.monotonic()
        done = self.place.cli("up", *self.place.server_flags(), *self.place.worker_flags(), "--name", "box", code=1)
        self.assertIn("worker.json", done.err)
        self.assertLess(time.monotonic() - begin, 20)

    def test_the_database_is_its_owners_alone(self):
        data = self.place.path("server")
        os.makedirs(data)
        os.chmod(data, 0o755)
        self.place.stop(self.place.server())
        self.assertEqual(os.stat(data).st_mode & 0o777, 0o755)
        self.assertIn("others can look into the data folder", self.place.log("server"))
        for name in os.listdir(data):
            self.assertEqual(os.stat(os.path.join(data, name)).st_mode & 0o077, 0, name)

    def test_the_admin_password_is_told_by_the_first_start_only(self):
        self.place.stop(self.place.server())
        told = re.findall(r"admin password +(\S+)", self.place.log("server"))
        self.assertEqual(len(told), 1)
        self.assertGreaterEqual(len(told[0]), 16)
        for name in os.listdir(self.place.path("server")):  # a hash of it is kept
            with open(self.place.path("server", name), "rb") as file:
                self.assertNotIn(told[0].encode(), file.read(), name)
        self.place.server()
        self.assertEqual(self.place.log("server").count("admin password"), 1)
        status, answer = self.place.call("POST", "/api/v1/login", {"password": told[0]}, key="")
        self.assertEqual((status, bool(answer["key"])), (200, True))  # and is still the one

    def test_a_lost_secret_is_not_replaced(self):
        self.place.stop(self.place.server())
        os.unlink(self.place.path("secret.key"))
        done = self.place.cli("server", *self.place.server_flags(), code=1)
        self.assertIn("restore it", done.err)
        self.assertFalse(os.path.exists(self.place.path("secret.key")))

    def test_a_second_server_leaves_the_first_ones_client_file(self):
        self.place.server()
        with open(self.place.path("client.json"), encoding="utf-8") as file:
            before = file.read()
        second = Place()
        self.addCleanup(second.close)
        second.env["BERTH_CONFIG"] = self.place.path("client.json")
        second.server()
        with open(self.place.path("client.json"), encoding="utf-8") as file:
            self.assertEqual(file.read(), before)
        self.assertIn("export BERTH_CONFIG=" + second.path("server", "client.json"), second.log("server"))
        second.env["BERTH_CONFIG"] = second.path("server", "client.json")
        second.cli("get", "workers")
        self.place.cli("get", "workers")

    def test_all_addresses_admit_the_machines_own_names(self):
        port = self.place.port
        flags = ["--listen", f"0.0.0.0:{port}", "--insecure-http", *self.place.server_flags()[2:]]
        self.place.wait_server(self.place.start("server", "server", *flags), "server")
        for host, status in ((os.uname().nodename, 200), ("evil.example", 403)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            self.addCleanup(connection.close)
            connection.request("GET", "/api/v1/version", headers={"Host": host})
            self.assertEqual(connection.getresponse().status, status, host)


if __name__ == "__main__":
    unittest.main()

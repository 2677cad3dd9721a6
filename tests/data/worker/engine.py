"""A stand-in for an inference engine: answers the OpenAI paths, streams, and writes a log.

engine.py PORT SECRET_FILE
"""
import http.server
import json
import sys

PORT = int(sys.argv[1])
with open(sys.argv[2], encoding="utf-8") as secret_file:
    SECRET = secret_file.read().strip()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        print("asked", self.path, flush=True)
        if self.headers.get("Authorization") != "Bearer " + SECRET:
            return self.answer(401, {"error": "wrong key"})
        if asked.get("stream"):
            return self.stream(asked)
        return self.answer(200, {"choices": [{"text": "yes"}]})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, asked):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in asked["words"]:
            event = ("data: " + json.dumps({"choices": [{"delta": {"content": word}}]}) + "\n\n").encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
        event = b"data: [DONE]\n\n"
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(event), event))

    def log_message(self, *args):
        pass


print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()

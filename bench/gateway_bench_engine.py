#!/usr/bin/python3 -IB
"""A stand-in for llama-server that costs next to nothing: fixed answers, so that the proxy before it is measured.

The bench puts a copy named llama-server first on PATH; berth starts it as it would start the real one. Streams are
paced as an engine with continuous batching paces them: at each tick every running stream gets its next event, each by
a write of its own. A late tick is not made up for, so no stream ever gets two events at once from here.
"""

import json
import select
import signal
import socket
import sys
import time

TICK_SECONDS = 0.002
EVENTS = 200  # per stream, without usage and [DONE]
REQUEST_BYTES_MAX = 1 << 20
READ_BYTES = 64 * 1024

TEXT = "The sea is salt because rivers carry dissolved minerals from rocks to it, and only the water leaves it again. "


def dumps(value):
    return json.dumps(value, separators=(",", ":")).encode()


def answer(status, body):
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Server: llama.cpp\r\n\r\n" + body


def chunk(body):
    return b"%x\r\n%s\r\n" % (len(body), body)


def event(value):
    return chunk(b"data: " + value + b"\n\n")


def usage():
    return {"completion_tokens": EVENTS, "prompt_tokens": 180, "total_tokens": EVENTS + 180}


def about(kind, choices, **more):
    return {
        "choices": choices,
        "created": 1770000000,
        "id": "chatcmpl-dQw4w9WgXcQ0123456789abcdefghij",
        "model": "bench",
        "object": kind,
        "system_fingerprint": "b11549-0123456",
        **more,
    }


def whole():
    choice = {"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": TEXT * 3}}
    return answer("200 OK", dumps(about("chat.completion", [choice], usage=usage())))


def pieces():
    """The events of one stream; words of different lengths, about 240 bytes an event."""
    words = TEXT.split(" ")
    for i in range(EVENTS):
        delta = {"content": words[i % len(words)] + " "} if i else {"role": "assistant", "content": None}
        choice = {"finish_reason": "stop" if i == EVENTS - 1 else None, "index": 0, "delta": delta}
        yield event(dumps(about("chat.completion.chunk", [choice])))


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nServer: llama.cpp\r\nTransfer-Encoding: chunked\r\n\r\n"
)
WHOLE = whole()
PIECES = list(pieces())
USAGE = event(dumps(about("chat.completion.chunk", [], usage=usage())))
LAST = event(b"[DONE]") + b"0\r\n\r\n"
PROBE = answer("200 OK", dumps(about("text_completion", [{"text": "yes", "index": 0, "finish_reason": "length"}])))
HEALTH = answer("200 OK", b'{"status":"ok"}')
MODELS = answer("200 OK", b'{"object":"list","data":[{"id":"bench","object":"model"}]}')
MISSING = answer("404 Not Found", b'{"error":{"code":404,"message":"not here","type":"not_found_error"}}')
REFUSED = answer("400 Bad Request", b'{"error":{"code":400,"message":"no JSON","type":"invalid_request_error"}}')


class Client:
    def __init__(self, connection):
        self.socket, self.data, self.left = connection, b"", None

    def request(self):
        """The next whole request as (method, path, body), or None."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = self.data[:end].split(b"\r\n")
        length = 0
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length > REQUEST_BYTES_MAX:
            raise ValueError("body too large")
        if len(self.data) < end + 4 + length:
            return None
        body, self.data = self.data[end + 4 : end + 4 + length], self.data[end + 4 + length :]
        method, path, _ = lines[0].split(b" ")
        return method, path, body


class Engine:
    def __init__(self, host, port):
        self.listener = socket.create_server((host, port), backlog=512)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.clients, self.streams, self.tick_at = {}, {}, 0.0

    def run(self):
        while True:
            wait = max(0.0, self.tick_at - time.monotonic()) if self.streams else -1
            for fd, _ in self.epoll.poll(wait):
                if fd == self.listener.fileno():
                    self.accept()
                elif fd in self.clients:
                    self.guarded(fd, self.readable)
            if self.streams and time.monotonic() >= self.tick_at:
                self.tick_at = time.monotonic() + TICK_SECONDS
                for fd in list(self.streams):
                    self.guarded(fd, self.tick)

    def accept(self):
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clients[connection.fileno()] = Client(connection)
        self.epoll.register(connection, select.EPOLLIN)

    def guarded(self, fd, action):
        """What goes wrong with a client costs it its connection; so does a full send buffer, as the bench reads."""
        try:
            action(fd)
        except (OSError, ValueError):
            self.streams.pop(fd, None)
            self.clients.pop(fd).socket.close()

    def readable(self, fd):
        client = self.clients[fd]
        data = client.socket.recv(READ_BYTES)
        if not data:
            raise OSError("closed")
        client.data += data
        while fd not in self.streams and (request := client.request()):
            self.serve(fd, client, *request)

    def serve(self, fd, client, method, path, body):
        if method == b"GET":
            return client.socket.sendall({b"/health": HEALTH, b"/v1/models": MODELS}.get(path, MISSING))
        if path != b"/v1/chat/completions":
            return client.socket.sendall(PROBE if path == b"/v1/completions" else MISSING)
        try:
            asked = json.loads(body)
            streams, options = bool(asked.get("stream")), asked.get("stream_options") or {}
        except (ValueError, AttributeError):
            return client.socket.sendall(REFUSED)
        if not streams:
            return client.socket.sendall(WHOLE)
        client.socket.sendall(STREAM_HEAD)
        tail = [USAGE] if options.get("include_usage") else []
        if not self.streams:
            self.tick_at = time.monotonic() + TICK_SECONDS
        self.streams[fd] = [LAST, *tail, *reversed(PIECES)]  # the next one is the last
        return None

    def tick(self, fd):
        pieces = self.streams[fd]
        piece = pieces.pop()
        if not pieces:  # before the client can ask again
            del self.streams[fd]
        self.clients[fd].socket.sendall(piece)


def main():
    if "--version" in sys.argv:
        print("version: 11549 (stand-in)")
        return
    flags = dict(zip(sys.argv[1:], sys.argv[2:]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Engine(flags.get("--host", "127.0.0.1"), int(flags["--port"])).run()


if __name__ == "__main__":
    main()

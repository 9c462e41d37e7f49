"""A plugin over the stdio protocol, in Python's standard library alone.

It serves proto.KV, proto.Counter (which calls the host back on a channel), proto.StreamerService,
the health of `plugin`, and the controller. The messages are coded by hand: they are that small.
"""

import os
import sys
import threading

import outboard_stdio
from outboard_stdio import UNKNOWN, Connection, Failure

COOKIE_KEY, COOKIE_VALUE = "BASIC_PLUGIN", "hello"


def fields(data):
    """The fields of a protobuf message: numbers for varints, bytes for the rest."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            found[tag >> 3] = varint()
        elif tag & 7 == 2:
            length = varint()
            found[tag >> 3] = data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {tag & 7} is not used here")
    return found


def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value if value else b""


def signed(value):
    return value - 2**64 if value >= 2**63 else value


class Plugin:
    def __init__(self, read_fd, write_fd):
        self.counts = {}
        self.lock = threading.Lock()
        self.path, self.chunk_size = "", 0
        unary = {
            "/proto.KV/Get": self.kv_get,
            "/proto.KV/Put": self.kv_put,
            "/proto.Counter/Get": self.counter_get,
            "/proto.StreamerService/Configure": self.configure,
            "/grpc.health.v1.Health/Check": self.check,
        }
        methods = {path: self.unary(function) for path, function in unary.items()}
        methods["/proto.Counter/Put"] = self.counter_put
        methods["/proto.StreamerService/Read"] = self.read
        methods["/proto.StreamerService/Write"] = self.write
        methods["/plugin.GRPCController/Shutdown"] = self.shutdown
        self.connection = Connection(read_fd, write_fd, methods, ["kv", "counter", "streamer"])

    def unary(self, function):
        def handle(stream):
            request = fields(self.connection.receive_one(stream))
            self.connection.send(stream, function(request))

        return handle

    def kv_get(self, request):
        try:
            with open(f"kv_{request.get(1, b'').decode()}", "rb") as file:
                return data(1, file.read())
        except OSError as error:
            raise Failure(UNKNOWN, str(error)) from error

    def kv_put(self, request):
        value = request.get(2, b"")
        with open(f"kv_{request.get(1, b'').decode()}", "wb") as file:
            file.write(value + b"\n\nWritten from plugin over stdio")
        return b""

    def counter_get(self, request):
        with self.lock:
            return number(1, self.counts.get(request.get(1), 0))

    def counter_put(self, stream):
        """Adds by asking the host, which serves an AddHelper on the channel named in the request.

        The host has as long for that as it gave this call.
        """
        request = fields(self.connection.receive_one(stream))
        channel, key, value = request.get(1, 0), request.get(2), request.get(3, 0)
        with self.lock:
            before = self.counts.get(key, 0)
            sum_request = number(1, before) + number(2, value)
            reply = self.connection.call("/proto.AddHelper/Sum", sum_request, channel, stream.deadline)
            self.counts[key] = signed(fields(reply).get(1, 0))
        self.connection.send(stream, b"")

    def configure(self, request):
        self.path, self.chunk_size = request.get(1, b"").decode(), request.get(2, 0)
        return b""

    def read(self, stream):
        self.connection.receive_one(stream)
        with open(self.path, "rb") as file:
            while chunk := file.read(self.chunk_size):
                self.connection.send(stream, data(1, chunk))

    def write(self, stream):
        with open(self.path, "wb") as file:
            while (message := self.connection.receive(stream)) is not None:
                file.write(fields(message).get(1, b""))
        self.connection.send(stream, b"")

    def check(self, request):
        if request.get(1, b"") not in (b"", b"plugin"):
            raise Failure(5, "unknown service")
        return number(1, 1)

    def shutdown(self, stream):
        self.connection.receive_one(stream)
        self.connection.send(stream, b"")
        self.connection.finish(stream, 0, "")
        self.connection.flush()
        os._exit(0)


def main():
    if os.environ.get(COOKIE_KEY) != COOKIE_VALUE:
        sys.exit("This is a plugin. Start the program that uses it instead.")
    offered = os.environ.get("OUTBOARD_TRANSPORTS", "").split(",")
    if "stdio" not in offered:
        sys.exit("This plugin speaks the stdio protocol alone, and the host does not offer it.")
    # Private copies of the pipes first: what is printed from now on goes to stderr.
    read_fd, write_fd = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.write(write_fd, b"1|1|stdio|-|stdio|\n")
    print("serving", flush=True)
    Plugin(read_fd, write_fd).connection.serve()


if __name__ == "__main__":
    assert outboard_stdio.MAGIC
    main()

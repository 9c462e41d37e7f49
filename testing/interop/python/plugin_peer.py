"""A go-plugin plugin without go-plugin: what its guide for other languages asks for.

It listens on TCP, prints a handshake line of five fields, and serves the health
service and KV; there is no broker and no reflection. `--extras` adds the
controller and the stdio service.
"""

import argparse
import os
import queue
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

COOKIE_KEY, COOKIE_VALUE = "BASIC_PLUGIN", "hello"
CORE_VERSION, APP_VERSION = 1, 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--generated", required=True, help="directory of the generated modules")
    parser.add_argument("--extras", action="store_true", help="serve controller and stdio too")
    options = parser.parse_args()

    if os.environ.get(COOKIE_KEY) != COOKIE_VALUE:
        sys.exit("This is a plugin. Start the program that uses it instead.")
    sys.path.insert(0, options.generated)
    import kv_pb2_grpc

    # Stdio and health watching each occupy a worker for as long as the host lives.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    checks = health.HealthServicer()
    checks.set("plugin", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)

    prints = Prints()
    kv_pb2_grpc.add_KVServicer_to_server(make_kv(prints), server)
    if options.extras:
        add_extras(server, prints)

    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"{CORE_VERSION}|{APP_VERSION}|tcp|127.0.0.1:{port}|grpc", flush=True)
    server.wait_for_termination()


class Prints:
    """What goes to the stdio service; it waits here until a host reads it."""

    def __init__(self):
        self.chunks = queue.Queue()

    def out(self, data):
        self.chunks.put((1, data))

    def err(self, data):
        self.chunks.put((2, data))


def make_kv(prints):
    import kv_pb2
    import kv_pb2_grpc

    class KV(kv_pb2_grpc.KVServicer):
        """Values in files `kv_<key>` of the working directory."""

        def Get(self, request, context):
            # A missing key raises, which grpcio turns into status UNKNOWN.
            with open(f"kv_{request.key}", "rb") as file:
                return kv_pb2.GetResponse(value=file.read())

        def Put(self, request, context):
            with open(f"kv_{request.key}", "wb") as file:
                file.write(request.value + b"\n\nWritten from plugin-python")
            prints.out(f"stored {request.key}\n".encode())
            prints.err(f"{len(request.value)} bytes\n".encode())
            # Not captured: this is a log line on the host.
            print("[INFO] a value was stored", file=sys.stderr, flush=True)
            return kv_pb2.Empty()

    return KV()


def add_extras(server, prints):
    import plugin_extras_pb2
    import plugin_extras_pb2_grpc

    class Controller(plugin_extras_pb2_grpc.GRPCControllerServicer):
        def Shutdown(self, request, context):
            # From another thread: the answer must leave before the server stops.
            threading.Thread(target=server.stop, args=(1,)).start()
            return plugin_extras_pb2.Empty()

    class Stdio(plugin_extras_pb2_grpc.GRPCStdioServicer):
        def StreamStdio(self, request, context):
            ended = threading.Event()
            context.add_callback(ended.set)
            while not ended.is_set():
                try:
                    channel, data = prints.chunks.get(timeout=0.1)
                except queue.Empty:
                    continue
                yield plugin_extras_pb2.StdioData(channel=channel, data=data)

    plugin_extras_pb2_grpc.add_GRPCControllerServicer_to_server(Controller(), server)
    plugin_extras_pb2_grpc.add_GRPCStdioServicer_to_server(Stdio(), server)


if __name__ == "__main__":
    main()

"""A host on grpcio without go-plugin, as programs in other languages write it, all options at their
defaults: it launches a plugin, reads its line and calls it, and calls what the plugin serves through
the broker.

    host_peer.py --generated DIR (sync | aio) PLUGIN [ARGUMENTS...]

It prints `well` when everything was as it should be.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import threading

import grpc
import grpc.aio

ROUNDS = 3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--generated", required=True, help="directory of the generated modules")
    parser.add_argument("flavour", choices=["sync", "aio"])
    parser.add_argument("plugin", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    sys.path.insert(0, options.generated)

    plugin = subprocess.Popen(
        options.plugin,
        env={**os.environ, "BASIC_PLUGIN": "hello", "PLUGIN_PROTOCOL_VERSIONS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        fields = plugin.stdout.readline().decode().strip().split("|")
        assert fields[2] == "unix" and fields[4] == "grpc", fields
        target = f"unix:{fields[3]}"
        if options.flavour == "sync":
            use(target)
        else:
            asyncio.run(use_aio(target))
        assert plugin.wait(20) == 0, plugin.returncode
    finally:
        plugin.kill()
        plugin.wait()
    print("well")


def use(target):
    import counter_pb2
    import counter_pb2_grpc
    import grpc_broker_pb2_grpc
    import kv_pb2
    import kv_pb2_grpc
    import plugin_extras_pb2
    import plugin_extras_pb2_grpc
    import probe_pb2
    import probe_pb2_grpc

    with grpc.insecure_channel(target) as channel:
        kv = kv_pb2_grpc.KVStub(channel)
        for round in range(ROUNDS):
            # A deadline puts ever new values into the table of headers.
            kv.Put(kv_pb2.PutRequest(key="hello", value=b"world"), timeout=20 + round)
            reply = kv.Get(kv_pb2.GetRequest(key="hello"), timeout=20 + round)
            assert reply.value == b"world\n\nWritten from plugin-rust", reply

        # This side announces nothing: the stream of requests stays open and empty.
        over = threading.Event()
        broker = grpc_broker_pb2_grpc.GRPCBrokerStub(channel)
        announced = broker.StartStream(iter(over.wait, True), timeout=60)
        probe = probe_pb2_grpc.ProbeStub(channel)
        for round in range(ROUNDS):
            served = probe.BrokerAccept(probe_pb2.Nothing(), timeout=20)
            there = next(announced)
            assert (there.service_id, there.network) == (served.id, "unix"), there
            with grpc.insecure_channel(f"unix:{there.address}") as brokered:
                helper = counter_pb2_grpc.AddHelperStub(brokered)
                reply = helper.Sum(counter_pb2.SumRequest(a=round, b=40), timeout=20)
                assert reply.r == round + 40, reply
        over.set()
        announced.cancel()
        controller = plugin_extras_pb2_grpc.GRPCControllerStub(channel)
        controller.Shutdown(plugin_extras_pb2.Empty(), timeout=20)


async def use_aio(target):
    import counter_pb2
    import counter_pb2_grpc
    import grpc_broker_pb2_grpc
    import kv_pb2
    import kv_pb2_grpc
    import plugin_extras_pb2
    import plugin_extras_pb2_grpc
    import probe_pb2
    import probe_pb2_grpc

    async with grpc.aio.insecure_channel(target) as channel:
        kv = kv_pb2_grpc.KVStub(channel)
        for round in range(ROUNDS):
            await kv.Put(kv_pb2.PutRequest(key="hello", value=b"world"), timeout=20 + round)
            reply = await kv.Get(kv_pb2.GetRequest(key="hello"), timeout=20 + round)
            assert reply.value == b"world\n\nWritten from plugin-rust", reply

        announced = grpc_broker_pb2_grpc.GRPCBrokerStub(channel).StartStream(timeout=60)
        probe = probe_pb2_grpc.ProbeStub(channel)
        for round in range(ROUNDS):
            served = await probe.BrokerAccept(probe_pb2.Nothing(), timeout=20)
            there = await announced.read()
            assert (there.service_id, there.network) == (served.id, "unix"), there
            async with grpc.aio.insecure_channel(f"unix:{there.address}") as brokered:
                helper = counter_pb2_grpc.AddHelperStub(brokered)
                reply = await helper.Sum(counter_pb2.SumRequest(a=round, b=40), timeout=20)
                assert reply.r == round + 40, reply
        announced.cancel()
        controller = plugin_extras_pb2_grpc.GRPCControllerStub(channel)
        await controller.Shutdown(plugin_extras_pb2.Empty(), timeout=20)


if __name__ == "__main__":
    main()

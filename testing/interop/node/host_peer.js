// A host on @grpc/grpc-js without go-plugin, all options at their defaults: it launches a plugin,
// reads its line and calls it, and calls what the plugin serves through the broker.
//
//     node host_peer.js PROTOS BROKER_PROTOS PLUGIN [ARGUMENTS...]
//
// It prints `well` when everything was as it should be.
"use strict";

const assert = require("node:assert");
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const ROUNDS = 3;

const [protos, brokerProtos, program, ...rest] = process.argv.slice(2);
const definition = loader.loadSync(
  ["kv.proto", "counter.proto", "probe.proto", "plugin_extras.proto", "grpc_broker.proto"],
  { includeDirs: [protos, brokerProtos], keepCase: true, longs: Number },
);
const types = grpc.loadPackageDefinition(definition);

function client(Type, target) {
  return new Type(target, grpc.credentials.createInsecure());
}

function call(client, method, request, seconds) {
  const deadline = Date.now() + seconds * 1000;
  return new Promise((resolve, reject) => {
    client[method](request, { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

async function use(target) {
  const kv = client(types.proto.KV, target);
  for (let round = 0; round < ROUNDS; round++) {
    // A deadline puts ever new values into the table of headers.
    await call(kv, "Put", { key: "hello", value: Buffer.from("world") }, 20 + round);
    const reply = await call(kv, "Get", { key: "hello" }, 20 + round);
    assert.strictEqual(reply.value.toString(), "world\n\nWritten from plugin-rust");
  }
  const broker = client(types.plugin.GRPCBroker, target);
  const announced = broker.StartStream();
  // Ending the stream is an error to its reader.
  announced.on("error", () => {});
  const probe = client(types.outboard.interop.Probe, target);
  for (let round = 0; round < ROUNDS; round++) {
    const next = once(announced, "data");
    const served = await call(probe, "BrokerAccept", {}, 20);
    const [there] = await next;
    assert.deepStrictEqual([there.service_id, there.network], [served.id, "unix"]);
    const helper = client(types.proto.AddHelper, `unix:${there.address}`);
    const reply = await call(helper, "Sum", { a: round, b: 40 }, 20);
    assert.strictEqual(reply.r, round + 40);
    helper.close();
  }
  announced.cancel();
  const controller = client(types.plugin.GRPCController, target);
  await call(controller, "Shutdown", {}, 20);
  for (const each of [kv, broker, probe, controller]) {
    each.close();
  }
}

async function main() {
  const env = { ...process.env, BASIC_PLUGIN: "hello", PLUGIN_PROTOCOL_VERSIONS: "1" };
  const plugin = spawn(program, rest, { env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(plugin, "exit");
  try {
    const [line] = await once(readline.createInterface(plugin.stdout), "line");
    const fields = line.split("|");
    assert.deepStrictEqual([fields[2], fields[4]], ["unix", "grpc"]);
    await use(`unix:${fields[3]}`);
    const [status] = await exited;
    assert.strictEqual(status, 0);
  } finally {
    plugin.kill("SIGKILL");
  }
  console.log("well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

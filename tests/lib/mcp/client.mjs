// SPDX-License-Identifier: Apache-2.0
// The official SDK's client, told by JSON on stdin what to do; what it got goes to stdout as JSON.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const spec = JSON.parse(readFileSync(0, "utf8"));
const sdk = (path) =>
  import(pathToFileURL(join(spec.prefix, "node_modules/@modelcontextprotocol/sdk/dist/esm", path)).href);
const { Client } = await sdk("client/index.js");
const { StdioClientTransport } = await sdk("client/stdio.js");

const transport = new StdioClientTransport({
  command: spec.command,
  args: spec.args,
  env: spec.env,
  stderr: "pipe",
});
let stderr = "";
transport.stderr.on("data", (chunk) => (stderr += chunk));
const client = new Client({ name: "stint-tests", version: "1.0.0" });
await client.connect(transport);

const results = [];
for (const [what, ...words] of spec.steps) {
  try {
    if (what === "list") results.push(await client.listTools());
    else if (what === "ping") results.push(await client.ping());
    else results.push(await client.callTool({ name: words[0], arguments: words[1] }));
  } catch (error) {
    results.push({ error: { code: error.code, message: error.message } });
  }
}
const server = client.getServerVersion();
const instructions = client.getInstructions();
const pid = transport.pid;
await client.close();
console.log(JSON.stringify({ server, instructions, results, pid, stderr }));

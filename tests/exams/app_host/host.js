// A chat that shows MCP Apps: the official bridge and client, and no code of Cordboard's.
// The tests call `chat`; what passed is kept in `log`.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import {
  AppBridge,
  PostMessageTransport,
  RESOURCE_MIME_TYPE,
  getToolUiResourceUri,
  isToolVisibilityAppOnly,
} from "@modelcontextprotocol/ext-apps/app-bridge";

const log = { sent: [], contexts: [], links: [], sizes: [], fetched: [] };
const held = { on: false, waiting: [] };
let client, options;

// The host's own duty: a page without network, as the resource's metadata asks.
function confined(html, csp = {}) {
  const from = (domains) => (domains?.length ? domains.join(" ") : "'none'");
  const policy = [
    "default-src 'none'", "script-src 'unsafe-inline'", "style-src 'unsafe-inline'",
    `connect-src ${from(csp.connectDomains)}`, `img-src ${from(csp.resourceDomains)}`,
    `frame-src ${from(csp.frameDomains)}`, `base-uri ${from(csp.baseUriDomains)}`,
  ].join("; ");
  return html.replace("<head>", `<head><meta http-equiv="Content-Security-Policy" content="${policy}">`);
}

async function noted(url, init) {
  if (init?.body) {
    const body = JSON.parse(init.body);
    log.sent.push(body);
    if (held.on && body.method === "tools/call") await new Promise((go) => held.waiting.push(go));
    if (options.loses && options.loses === body.params?.name) throw new TypeError("the network is gone");
  }
  return fetch(url, init);
}

async function connect(given) {
  options = { capabilities: { serverTools: {}, openLinks: {}, updateModelContext: { text: {} } }, context: {}, ...given };
  const extensions = { "io.modelcontextprotocol/ui": { mimeTypes: [RESOURCE_MIME_TYPE] } };
  client = new Client(
    { name: "a chat", version: "1" },
    { capabilities: { extensions }, versionNegotiation: { mode: options.era } },
  );
  const transport = new StreamableHTTPClientTransport(new URL("/mcp", location.href), {
    fetch: noted,
    requestInit: { headers: { authorization: `Bearer ${options.token}` } },
  });
  await client.connect(transport);
  return { server: client.getServerCapabilities(), version: client.getNegotiatedProtocolVersion?.() };
}

async function tools() {
  return (await client.listTools()).tools;
}

// The model's call: what the model gets to see, and a view of it in the chat.
async function ask(name, given) {
  const tool = (await tools()).find((one) => one.name === name);
  const result = await client.callTool({ name, arguments: given });
  await open(tool, given, result);
  const { _meta, ...seen } = result;
  return seen;
}

const forModel = async () => (await tools()).filter((tool) => !isToolVisibilityAppOnly(tool)).map((tool) => tool.name);

async function open(tool, given, result) {
  const uri = getToolUiResourceUri(tool);
  const [page] = (await client.readResource({ uri })).contents;
  if (page.mimeType !== RESOURCE_MIME_TYPE) throw new Error(`a view of type ${page.mimeType}`);
  log.fetched.push({ uri, mimeType: page.mimeType, _meta: page._meta });
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.srcdoc = confined(page.text, page._meta?.ui?.csp);
  document.body.append(frame);
  const bridge = new AppBridge(client, { name: "a chat", version: "1" }, options.capabilities, { hostContext: options.context });
  frame.bridge = bridge;
  bridge.addEventListener("sizechange", ({ height }) => {
    log.sizes.push(height);
    frame.style.height = `${height + 2}px`;
  });
  bridge.onopenlink = async ({ url }) => {
    log.links.push(url);
    return options.refusesLinks ? { isError: true } : {};
  };
  bridge.onupdatemodelcontext = async (context) => {
    log.contexts.push(context);
    return {};
  };
  const ready = new Promise((done) => bridge.addEventListener("initialized", done));
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  await ready;
  await bridge.sendToolInput({ arguments: given });
  if (result) await bridge.sendToolResult(options.strips ? { ...result, _meta: undefined } : result);
  return bridge;
}

const last = () => [...document.querySelectorAll("iframe")].at(-1);

window.chat = {
  log, connect, tools, ask, forModel,
  call: (name, given) => client.callTool({ name, arguments: given }),
  // A view of a result that no server made.
  show: async (result) => { await open((await tools()).find((t) => t.name === "get_plan"), {}, result); },
  tell: (method, params) => last().bridge.notification({ method, params }),
  dress: (context) => last().bridge.setHostContext(context),
  teardown: () => last().bridge.teardownResource({}),
  hold: () => { held.on = true; },
  release: () => { held.on = false; held.waiting.splice(0).forEach((go) => go()); },
  set: (changed) => Object.assign(options, changed),
};
window.ready = true;

// @xmpp/client, driven by JSON lines: commands on standard input, what happens on standard output.
//   node client.mjs PORT USER PASSWORD      (NODE_EXTRA_CA_CERTS names the server's certificate)
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";
import { client, xml } from "@xmpp/client";

// Node 18, which Debian 12 has, does not have it as a global yet.
globalThis.crypto ??= webcrypto;

const [port, username, password] = process.argv.slice(2);
const userAgent = xml("user-agent", { id: webcrypto.randomUUID() }, xml("software", {}, "client.mjs"));
const xmpp = client({ service: `xmpp://127.0.0.1:${port}`, domain: "localhost", username, password, userAgent });
const tell = (event, fields = {}) => process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);

function told(stanza) {
  const attrs = stanza.attrs;
  const error = stanza.getChild("error");
  return {
    name: stanza.name, type: attrs.type, from: attrs.from, id: attrs.id, body: stanza.getChildText("body"),
    condition: error?.children.find((child) => child.name !== "text")?.name,
    items: stanza.getChild("query", "jabber:iq:roster")?.getChildren("item").map((item) => item.attrs),
    delayed: stanza.getChild("delay", "urn:xmpp:delay") !== undefined, show: stanza.getChildText("show"),
    xml: stanza.toString(),
  };
}

// An element from ["name", {attributes}, children or text ...].
const built = (tree) => Array.isArray(tree) ? xml(tree[0], tree[1], ...tree.slice(2).map(built)) : tree;

const commands = {
  send: ({ tree }) => xmpp.send(built(tree)),
  message: ({ to, body }) => xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, body))),
  presence: ({ to, type, show }) => xmpp.send(xml("presence", { to, type }, show ? xml("show", {}, show) : undefined)),
  iq: ({ id, type, to, name, xmlns }) => xmpp.send(xml("iq", { id, type, to }, xml(name, { xmlns }))),
  cut: () => (xmpp.socket.socket ?? xmpp.socket).destroy(),
  resume: () => xmpp.reconnect.reconnect(),
  again: async () => { await xmpp.stop(); await xmpp.start(); },
  stop: async () => { await xmpp.stop(); process.exit(0); },
};

xmpp.reconnect.stop();
xmpp.on("error", (error) => tell("error", { condition: error.condition ?? error.code, text: error.message }));
xmpp.on("online", (jid) => tell("online", { jid: jid.toString(), secure: xmpp.socket?.encrypted === true || xmpp.isSecure() }));
xmpp.on("send", (element) => { if (element.is("authenticate")) tell("authenticate", { mechanism: element.attrs.mechanism }); });
xmpp.streamManagement.on("resumed", () => tell("resumed"));
xmpp.on("disconnect", () => tell("disconnect"));
xmpp.on("offline", () => tell("offline"));
xmpp.on("stanza", (stanza) => tell("stanza", told(stanza)));
xmpp.start().catch((error) => { tell("refused", { condition: error.condition, text: error.message }); });
createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  Promise.resolve(commands[command.command](command)).catch((error) => tell("error", { text: String(error) }));
});

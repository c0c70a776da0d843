// @xmpp/component: answers messages with their own body, and requests for the time of day.
//   node component.mjs PORT NAME SECRET
import { component, xml } from "@xmpp/component";

const [port, domain, password] = process.argv.slice(2);
const xmpp = component({ service: `xmpp://127.0.0.1:${port}`, domain, password });

xmpp.reconnect.stop();
xmpp.on("error", (error) => { console.log(`error ${error.condition ?? error.message}`); process.exit(1); });
xmpp.on("online", (jid) => console.log(`online ${jid}`));
xmpp.on("stanza", async (stanza) => {
  const body = stanza.getChildText("body");
  if (stanza.is("message") && body) {
    const { from, to } = stanza.attrs;
    await xmpp.send(xml("message", { from: to, to: from, type: "chat" }, xml("body", {}, `node: ${body}`)));
  }
});
xmpp.iqCallee.get("urn:xmpp:time", "time", () => xml("time", { xmlns: "urn:xmpp:time" }, xml("tzo", {}, "+00:00")));
process.on("SIGTERM", async () => { await xmpp.stop(); process.exit(0); });
xmpp.start().catch((error) => { console.log(`error ${error.condition ?? error.message}`); process.exit(1); });

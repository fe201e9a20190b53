// A certified OpenID provider for the tests. One JSON line on stdin: {port, clients, accounts}; it says "ready".
// It logs in whomever login_hint names, and asks for no consent.
import http from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const line = await new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve));
const { port, clients, accounts } = JSON.parse(line);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["a key for tests"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }),
  async loadExistingGrant(ctx) {
    const { client, session } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid email profile");
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
http.createServer(async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  const { params } = await provider.interactionDetails(request, response);
  return provider.interactionFinished(request, response, { login: { accountId: params.login_hint } });
}).listen(port, "127.0.0.1", () => console.log("ready"));

// The npm package `oidc-provider` on loopback, and a browser for it. JSON lines in, JSON lines out; the first line
// starts it.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// Its advice on settings for production goes to where our answers do.
console.info = console.warn = () => {};

const require = createRequire(process.argv[2] + "/package.json");
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const jose = await load("jose");
const { Provider } = await load("oidc-provider");

const listen = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

// What our side serves: the client's key set, and where logout tokens arrive.
let clientJwks = "{}";
const logoutTokens = [];
const ours = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    if (request.url === "/logout") {
      logoutTokens.push(new URLSearchParams(body).get("logout_token"));
      return response.end();
    }
    response.setHeader("content-type", "application/jwk-set+json");
    response.end(clientJwks);
  });
});

let issuer;
let provider;
let cookies = new Map();

async function start(task) {
  clientJwks = JSON.stringify(task.clientJwks);
  const base = `http://127.0.0.1:${await listen(ours)}`;
  const clients = task.clients.map((one) => ({
    redirect_uris: ["https://shop.example.com/cb"],
    response_types: ["code"],
    grant_types: ["authorization_code"],
    backchannel_logout_uri: `${base}/logout`,
    ...(one.token_endpoint_auth_method === "private_key_jwt" ? { jwks_uri: `${base}/jwks` } : {}),
    ...one,
  }));
  const keys = [];
  for (const [alg, kid] of [["ES256", "op-es"], ["RS256", "op-rs"], ["EdDSA", "op-ed"]]) {
    const pair = await jose.generateKeyPair(alg, { extractable: true });
    keys.push({ ...(await jose.exportJWK(pair.privateKey)), kid, use: "sig", alg });
  }
  const signatures = ["ES256", "RS256", "PS256", "EdDSA", "HS256"];
  const transports = ["RSA-OAEP", "RSA-OAEP-256", "A128KW", "A256KW", "dir"];
  const contents = ["A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"];
  const enabledJWA = { clientAuthSigningAlgValues: signatures, requestObjectSigningAlgValues: signatures };
  for (const what of ["idToken", "userinfo"]) {
    enabledJWA[`${what}SigningAlgValues`] = signatures;
    enabledJWA[`${what}EncryptionAlgValues`] = transports;
    enabledJWA[`${what}EncryptionEncValues`] = contents;
  }
  const server = createServer((request, response) => provider.callback()(request, response));
  issuer = `http://127.0.0.1:${await listen(server)}`;
  provider = new Provider(issuer, {
    clients,
    enabledJWA,
    jwks: { keys },
    cookies: { keys: ["loopback"] },
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      encryption: { enabled: true },
      jwtUserinfo: { enabled: true },
      requestObjects: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource: (ctx) => (ctx.body = ctx.oidc.session.state.secret) },
    },
    claims: { openid: ["sub"], email: ["email"] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com` }) }),
    // The default refuses what resolves to a loopback address.
    fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    loadExistingGrant: async (ctx) => {
      const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope("openid email");
      await grant.save();
      return grant;
    },
    pkce: { required: () => false },
  });
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith("/interaction/")) return next();
    const result = { login: { accountId: "alice" } };
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
  });
  return { issuer, jwks: await (await fetch(`${issuer}/jwks`)).json() };
}

// A request of the browser, with its cookies.
async function browse(url, options = {}) {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  const response = await fetch(url, { redirect: "manual", ...options, headers: { cookie, ...options.headers } });
  for (const line of response.headers.getSetCookie()) {
    const [name, value] = line.split(";")[0].split("=");
    if (value) cookies.set(name, value);
    else cookies.delete(name);
  }
  return response;
}

async function authorize({ parameters }) {
  let url = new URL(`${issuer}/auth?${new URLSearchParams(parameters)}`);
  for (let step = 0; step < 10; step++) {
    const response = await browse(url);
    const location = response.headers.get("location");
    if (!location) return { error: `${response.status} ${await response.text()}` };
    url = new URL(location, url);
    if (url.hostname === "shop.example.com") return Object.fromEntries(url.searchParams);
  }
  return { error: "the browser goes round in circles" };
}

async function token({ form }) {
  const response = await fetch(`${issuer}/token`, { method: "POST", body: new URLSearchParams(form) });
  return response.json();
}

async function userinfo({ accessToken }) {
  const response = await fetch(`${issuer}/me`, { headers: { authorization: `Bearer ${accessToken}` } });
  return { type: response.headers.get("content-type"), body: await response.text() };
}

async function logout({ idTokenHint, clientId }) {
  const query = new URLSearchParams({ id_token_hint: idTokenHint, client_id: clientId });
  const xsrf = await (await browse(`${issuer}/session/end?${query}`)).text();
  const body = new URLSearchParams({ xsrf, logout: "yes" });
  await browse(`${issuer}/session/end/confirm`, { method: "POST", body });
  for (let wait = 0; wait < 100 && logoutTokens.length === 0; wait++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { logoutToken: logoutTokens.shift() };
}

const acts = { start, authorize, token, userinfo, logout };

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line);
  const result = await acts[task.act](task).catch((error) => ({ error: String(error.stack) }));
  console.log(JSON.stringify(result));
}
process.exit(0);

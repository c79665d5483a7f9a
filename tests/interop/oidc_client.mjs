// The npm package `openid-client` as a relying party of a provider on loopback: one code flow a line, from discovery to
// the claims of the ID token. JSON lines in, JSON lines out.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.argv[2] + "/package.json");
const jose = await import(pathToFileURL(require.resolve("jose")));
const client = await import(pathToFileURL(require.resolve("openid-client")));

const configured = new Map();

// Discovery and keys once an id, so that later flows meet a key set that was fetched before a rotation.
async function configure({ client: id, issuer, metadata, secret, signs, alg, decrypts, encAlg, enc }) {
  if (configured.has(id)) return configured.get(id);
  const kid = signs?.kid;
  const key = signs && { key: await jose.importJWK(signs, alg), kid };
  const auth = signs ? client.PrivateKeyJwt(key) : client.ClientSecretJwt(secret);
  const options = { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] };
  const all = { ...metadata, client_secret: secret };
  const config = await client.discovery(new URL(issuer), id, all, auth, options);
  if (decrypts) {
    const decryption = { key: await jose.importJWK(decrypts, encAlg), alg: encAlg, kid: decrypts.kid };
    client.enableDecryptingResponses(config, [enc], decryption);
  }
  configured.set(id, { config, key });
  return configured.get(id);
}

async function answer(task) {
  const { config, key } = await configure(task);
  const [state, nonce] = [client.randomState(), client.randomNonce()];
  const redirect_uri = "http://127.0.0.1:1/callback";
  const parameters = { redirect_uri, scope: "openid", state, nonce, max_age: "600" };
  const url = task.signedRequest
    ? await client.buildAuthorizationUrlWithJAR(config, parameters, key)
    : client.buildAuthorizationUrl(config, parameters);
  const response = await fetch(url, { redirect: "manual" });
  const location = response.headers.get("location");
  if (!location) throw new Error(`the authorization endpoint answers ${response.status}`);
  const tokens = await client.authorizationCodeGrant(config, new URL(location), {
    expectedNonce: nonce,
    expectedState: state,
    maxAge: 600,
    idTokenExpected: true,
  });
  return { claims: tokens.claims(), idToken: tokens.id_token, accessToken: tokens.access_token };
}

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line);
  const result = await answer(task).catch((error) => ({ error: `${error} ${error.cause ?? ""}` }));
  console.log(JSON.stringify({ id: task.id, ...result }));
}

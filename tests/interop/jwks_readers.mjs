// The npm package `jose` reads a JWK set and verifies tokens by it. JSON lines in, JSON lines out.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.argv[2] + "/package.json");
const jose = await import(pathToFileURL(require.resolve("jose")));

async function answer({ jwks, token, alg, enc, payload, now }) {
  if (payload !== undefined) {
    // What a client sends: to the first key of the set that is for this.
    const fits = jwks.keys.filter((one) => one.use === "enc" && (one.alg ?? alg) === alg);
    const sealed = await new jose.CompactEncrypt(new TextEncoder().encode(payload))
      .setProtectedHeader({ alg, enc, kid: fits[0].kid, cty: "JWT" })
      .encrypt(await jose.importJWK(fits[0], alg));
    return { sealed };
  }
  const keys = jose.createLocalJWKSet(jwks);
  const verified = await jose.jwtVerify(token, keys, { algorithms: [alg], currentDate: new Date(now * 1000) });
  return { jose: verified.payload.sub };
}

for await (const line of createInterface({ input: process.stdin })) {
  const result = await answer(JSON.parse(line)).catch((error) => ({ jose: `${error.name}: ${error.message}` }));
  console.log(JSON.stringify(result));
}

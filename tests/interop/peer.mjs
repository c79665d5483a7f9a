// The npm package `jose` as a peer: opens our tokens and makes its own. JSON lines in, JSON lines out.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The folder that the set-up installed `jose` into.
const require = createRequire(process.argv[2] + "/package.json");
const jose = await import(pathToFileURL(require.resolve("jose")));
const payload = new TextEncoder().encode("from the peer");

async function answer({ kind, alg, enc, jwk, publicJwk, token }) {
  const key = await jose.importJWK(jwk, alg);
  const pub = publicJwk ? await jose.importJWK(publicJwk, alg) : key;
  if (kind === "jws") {
    const opened = await jose.compactVerify(token, pub);
    const made = await new jose.CompactSign(payload).setProtectedHeader({ alg }).sign(key);
    return { opened: new TextDecoder().decode(opened.payload), made };
  }
  const options = { keyManagementAlgorithms: [alg], maxPBES2Count: 20000 };
  const opened = await jose.compactDecrypt(token, key, options);
  const made = await new jose.CompactEncrypt(payload).setProtectedHeader({ alg, enc }).encrypt(pub);
  return { opened: new TextDecoder().decode(opened.plaintext), made };
}

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line);
  const result = await answer(task).catch((error) => ({ error: String(error) }));
  console.log(JSON.stringify({ id: task.id, ...result }));
}

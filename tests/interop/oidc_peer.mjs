// The npm package `jose` as a client of our tokens and a provider of its own. JSON lines in, JSON lines out.
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.argv[2] + "/package.json");
const jose = await import(pathToFileURL(require.resolve("jose")));

// OpenID Connect Core section 10.2: the leftmost bits of a SHA-2 digest of the secret.
function derived(secret, alg, enc) {
  const content = { A128GCM: 16, A192GCM: 24, A256GCM: 32, "A128CBC-HS256": 32, "A192CBC-HS384": 48, "A256CBC-HS512": 64 };
  const bytes = alg === "dir" ? content[enc] : Number(/A(\d+)/.exec(alg)[1]) / 8;
  const hash = bytes <= 32 ? "sha256" : bytes <= 48 ? "sha384" : "sha512";
  return createHash(hash).update(secret).digest().subarray(0, bytes);
}

async function keys({ alg, signs, verifies, secret, encAlg, enc, decrypts, encrypts }) {
  const mac = alg.startsWith("HS");
  const shared = encAlg && !encAlg.startsWith("RSA") && !encAlg.startsWith("ECDH");
  const octets = new TextEncoder().encode(secret);
  return {
    sign: mac ? octets : await jose.importJWK(signs, alg),
    verify: mac ? octets : await jose.importJWK(verifies, alg),
    decrypt: shared ? derived(secret, encAlg, enc) : encAlg && (await jose.importJWK(decrypts, encAlg)),
    encrypt: shared ? derived(secret, encAlg, enc) : encAlg && (await jose.importJWK(encrypts, encAlg)),
  };
}

async function answer(task) {
  const { alg, encAlg, enc, token, issuer, audience, now, claims, typ } = task;
  const key = await keys(task);
  let inner = token;
  if (encAlg) {
    const opened = await jose.compactDecrypt(token, key.decrypt, {
      keyManagementAlgorithms: [encAlg],
      contentEncryptionAlgorithms: [enc],
    });
    if (opened.protectedHeader.cty !== "JWT") throw new Error("cty is not JWT");
    inner = new TextDecoder().decode(opened.plaintext);
  }
  const currentDate = new Date(now * 1000);
  const verified = await jose.jwtVerify(inner, key.verify, { algorithms: [alg], issuer, audience, currentDate, typ });
  let made = await new jose.SignJWT(claims).setProtectedHeader({ alg, typ }).sign(key.sign);
  if (encAlg) {
    made = await new jose.CompactEncrypt(new TextEncoder().encode(made))
      .setProtectedHeader({ alg: encAlg, enc, cty: "JWT" })
      .encrypt(key.encrypt);
  }
  return { claims: verified.payload, made };
}

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line);
  const result = await answer(task).catch((error) => ({ error: String(error) }));
  console.log(JSON.stringify({ id: task.id, ...result }));
}

"""PyJWT verifies and signs, jwcrypto decrypts and encrypts around that. JSON lines in, JSON lines out."""

import hashlib
import json
import sys

import jwt
from jwcrypto import jwe, jwk
from jwcrypto.common import base64url_encode


def derived(secret, alg, enc):
    """OpenID Connect Core section 10.2: the leftmost bits of a SHA-2 digest of the secret."""
    content = {"A128GCM": 16, "A192GCM": 24, "A256GCM": 32, "A128CBC-HS256": 32, "A192CBC-HS384": 48, "A256CBC-HS512": 64}
    size = content[enc] if alg == "dir" else int(alg[1:4]) // 8
    name = "sha256" if size <= 32 else "sha384" if size <= 48 else "sha512"
    octets = hashlib.new(name, secret.encode()).digest()[:size]
    return jwk.JWK(kty="oct", k=base64url_encode(octets))


def answer(task):
    alg, enc_alg, enc, secret = task["alg"], task.get("encAlg"), task.get("enc"), task["secret"]
    mac = alg.startswith("HS")
    verify = secret if mac else jwt.PyJWK(task["verifies"], algorithm=alg).key
    sign = secret if mac else jwt.PyJWK(task["signs"], algorithm=alg).key
    inner = task["token"]
    if enc_alg:
        shared = not enc_alg.startswith(("RSA", "ECDH"))
        decrypt = derived(secret, enc_alg, enc) if shared else jwk.JWK(**task["decrypts"])
        encrypt = derived(secret, enc_alg, enc) if shared else jwk.JWK(**task["encrypts"])
        opened = jwe.JWE(algs=[enc_alg, enc])
        opened.deserialize(inner, key=decrypt)
        inner = opened.payload.decode()
    options = {"verify_exp": False, "verify_iat": False, "require": ["iss", "sub", "aud", "exp", "iat"]}
    claims = jwt.decode(inner, verify, algorithms=[alg], issuer=task["issuer"], audience=task["audience"], options=options)
    made = jwt.encode(task["claims"], sign, algorithm=alg, headers={"typ": task["typ"]})
    if enc_alg:
        sealed = jwe.JWE(made.encode(), json.dumps({"alg": enc_alg, "enc": enc, "cty": "JWT"}), algs=[enc_alg, enc])
        sealed.add_recipient(encrypt)
        made = sealed.serialize(compact=True)
    return {"claims": claims, "made": made}


for line in sys.stdin:
    task = json.loads(line)
    try:
        result = answer(task)
    except Exception as error:  # what the peer says is part of the test's message
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": task["id"], **result}), flush=True)

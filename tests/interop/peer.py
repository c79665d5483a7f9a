"""The PyPI package joserfc as a peer: opens our tokens and makes its own. JSON lines in, JSON lines out."""

import json
import sys

from joserfc import jwe, jws
from joserfc.jwk import import_key

PAYLOAD = b"from the peer"


def answer(task):
    alg, enc = task["alg"], task.get("enc")
    key = import_key(task["jwk"])
    pub = import_key(task["publicJwk"]) if task.get("publicJwk") else key
    if task["kind"] == "jws":
        opened = jws.deserialize_compact(task["token"], pub, algorithms=[alg]).payload
        made = jws.serialize_compact({"alg": alg}, PAYLOAD, key, algorithms=[alg])
    else:
        registry = jwe.JWERegistry(algorithms=[alg, enc])
        opened = jwe.decrypt_compact(task["token"], key, registry=registry).plaintext
        made = jwe.encrypt_compact({"alg": alg, "enc": enc}, PAYLOAD, pub, registry=registry)
    return {"opened": opened.decode(), "made": made}


for line in sys.stdin:
    task = json.loads(line)
    try:
        result = answer(task)
    except Exception as error:  # what the peer says is part of the test's message
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": task["id"], **result}), flush=True)

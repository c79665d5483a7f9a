"""joserfc, jwcrypto and PyJWT as readers and makers of our sessions: JSON lines in, JSON lines out."""

import json
import sys

import jwt
from joserfc import jwe, jws
from joserfc.jwk import import_key
from jwcrypto import jwe as cryptojwe
from jwcrypto import jwk as cryptojwk
from jwcrypto import jws as cryptojws

TYP = "session+jwt"


def verify(token, task):
    """Verified by three readers, which must agree."""
    key = import_key(task["verify"])
    found = jws.deserialize_compact(token, key, algorithms=[task["alg"]])
    assert found.protected["typ"] == TYP, found.protected
    other = cryptojws.JWS()
    other.allowed_algs = [task["alg"]]
    other.deserialize(token, cryptojwk.JWK(**task["verify"]))
    assert other.payload == found.payload
    material = jwt.PyJWK(task["verify"], algorithm=task["alg"]).key
    third = jwt.api_jws.PyJWS().decode(token, material, algorithms=[task["alg"]])
    assert third == found.payload
    return found.payload


def decrypt(token, task):
    registry = jwe.JWERegistry(algorithms=[task["wrap"], task["enc"]])
    found = jwe.decrypt_compact(token, import_key(task["decrypt"]), registry=registry)
    assert found.protected["typ"] == TYP, found.protected
    other = cryptojwe.JWE(algs=[task["wrap"], task["enc"]])
    other.deserialize(token, cryptojwk.JWK(**task["decrypt"]))
    assert other.payload == found.plaintext
    return found.plaintext


def sign(payload, task, cty):
    header = {"alg": task["alg"], "typ": TYP, "kid": task["sign_kid"], **cty}
    return jws.serialize_compact(header, payload, import_key(task["sign"]), algorithms=[task["alg"]])


def encrypt(payload, task, cty):
    header = {"alg": task["wrap"], "enc": task["enc"], "typ": TYP, **cty}
    registry = jwe.JWERegistry(algorithms=[task["wrap"], task["enc"]])
    return jwe.encrypt_compact(header, payload, import_key(task["encrypt"]), registry=registry)


def answer(task):
    token, parts = task["token"], task["parts"]
    claims = json.dumps(task["claims"])
    nested = {"cty": "JWT"}
    if parts == "signed":
        return verify(token, task), sign(claims, task, {})
    if parts == "encrypted":
        return decrypt(token, task), encrypt(claims, task, {})
    if parts == "signed then encrypted":
        inner = decrypt(token, task).decode()
        return verify(inner, task), encrypt(sign(claims, task, {}), task, nested)
    inner = verify(token, task).decode()
    return decrypt(inner, task), sign(encrypt(claims, task, {}), task, nested)


for line in sys.stdin:
    task = json.loads(line)
    try:
        opened, made = answer(task)
        result = {"opened": json.loads(opened), "made": made}
    except Exception as error:  # what the peer says is part of the test's message
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result), flush=True)

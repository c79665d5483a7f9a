"""PyJWT, jwcrypto and joserfc read a JWK set and verify tokens by it. JSON lines in, JSON lines out: by reader, who was it that
the token is about, or why not."""

import json
import sys

import joserfc.jwt
import jwcrypto.jwt
import jwt
from joserfc.jwk import KeySet
from jwcrypto import jwe, jwk


def pyjwt(jwks, token, alg):
    """As PyJWKClient does: the key of the kid, for the algorithm that the set or the type of key tells."""
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=[alg], options={"verify_aud": False, "verify_exp": False, "verify_iat": False})["sub"]


def pyjwt_key(jwks, token, alg):
    """The same with the algorithm that the caller agreed on."""
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]].key
    return jwt.decode(token, key, algorithms=[alg], options={"verify_aud": False, "verify_exp": False, "verify_iat": False})["sub"]


def jwcrypto_(jwks, token, alg):
    read = jwcrypto.jwt.JWT(algs=[alg], expected_type="JWS", check_claims={})
    read._exp_verify = False
    read.leeway = 10**12
    read.deserialize(token, key=jwk.JWKSet.from_json(json.dumps(jwks)))
    return json.loads(read.claims)["sub"]


def joserfc_(jwks, token, alg):
    return joserfc.jwt.decode(token, KeySet.import_key_set(jwks), algorithms=[alg]).claims["sub"]


def encrypted(jwks, payload, alg, enc):
    """What a client sends: to the first key of the set that is for this."""
    fits = [one for one in jwks["keys"] if one.get("use") == "enc" and one.get("alg", alg) == alg]
    sealed = jwe.JWE(payload.encode(), json.dumps({"alg": alg, "enc": enc, "kid": fits[0]["kid"], "cty": "JWT"}), algs=[alg, enc])
    sealed.add_recipient(jwk.JWK(**fits[0]))
    return sealed.serialize(compact=True)


READERS = {"pyjwt": pyjwt, "pyjwt_key": pyjwt_key, "jwcrypto": jwcrypto_, "joserfc": joserfc_}


def attempt(act, *arguments):
    try:
        return act(*arguments)
    except Exception as error:  # what the reader says is part of the test
        return f"{type(error).__name__}: {error}"


for line in sys.stdin:
    task = json.loads(line)
    if "payload" in task:
        answer = {"sealed": attempt(encrypted, task["jwks"], task["payload"], task["alg"], task["enc"])}
    else:
        answer = {name: attempt(read, task["jwks"], task["token"], task["alg"]) for name, read in READERS.items()}
    print(json.dumps(answer), flush=True)

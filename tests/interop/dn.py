"""pyca/cryptography writes and reads distinguished names as RFC 4514 text. The number of names and a seed in, JSON lines out:
a text, the certificate of the name that it reads there (null: refused), and whether the text is its own writing."""

import base64
import datetime
import json
import random
import sys

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

KEY = Ed25519PrivateKey.generate()
DAY = datetime.datetime(2026, 1, 1)
TYPES = [NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.LOCALITY_NAME,
         NameOID.STATE_OR_PROVINCE_NAME, NameOID.STREET_ADDRESS, NameOID.DOMAIN_COMPONENT, NameOID.USER_ID]
ALPHABET = "aAbZ09 ,+=\\\"#;<>é漢. -"
NOISE = "\\,+=#;\"<> aC0é"


def certificate(name):
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), x509.random_serial_number(), DAY,
                                      DAY + datetime.timedelta(days=1))
    return base64.b64encode(builder.sign(KEY, None).public_bytes(Encoding.DER)).decode()


def attribute(rng):
    kind = rng.choice(TYPES)
    letters = [one for one in ALPHABET if one.isascii()] if kind == NameOID.DOMAIN_COMPONENT else ALPHABET
    return x509.NameAttribute(kind, "".join(rng.choice(letters) for _ in range(rng.randint(1, 8))))


def name(rng):
    def rdn():
        one, other = attribute(rng), attribute(rng)
        pair = rng.random() < 0.3 and one.oid != other.oid
        return x509.RelativeDistinguishedName([one, other] if pair else [one])
    return x509.Name([rdn() for _ in range(rng.randint(1, 3))])


def spoiled(rng, text):
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(["", rng.choice(NOISE), rng.choice(NOISE) + text[at]]) + text[at + 1:]


count, seed = json.loads(sys.stdin.readline())
rng = random.Random(seed)
for _ in range(count):
    made = name(rng)
    text = made.rfc4514_string()
    print(json.dumps({"text": text, "own": True, "certificate": certificate(made)}))
    text = spoiled(rng, text)
    try:
        read = certificate(x509.Name.from_rfc4514_string(text))
    except (ValueError, TypeError):
        read = None
    print(json.dumps({"text": text, "own": False, "certificate": read}))

"""A SAML service provider made of pysaml2, with the tasks and answers of saml_sp.py. The argument is a folder for its
keys: pysaml2 has them in files."""

import datetime
import functools
import json
import logging
import os
import sys
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.metadata import entity_descriptor, sign_entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.sigver import security_context, verify_redirect_signature
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

logging.disable(logging.CRITICAL)
ENTITY = "https://sp.example"
IDP = "https://house.example/idp"
FOLDER = sys.argv[1]
KEY, CERTIFICATE = os.path.join(FOLDER, "key.pem"), os.path.join(FOLDER, "certificate.pem")


def make_keys():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sp.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=2))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    with open(KEY, "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, *form))
    with open(CERTIFICATE, "wb") as file:
        file.write(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def config(idp):
    endpoints = {
        "assertion_consumer_service": [(f"{ENTITY}/acs", BINDING_HTTP_POST)],
        "single_logout_service": [(f"{ENTITY}/slo", BINDING_HTTP_REDIRECT)],
    }
    sp = {
        "endpoints": endpoints,
        "authn_requests_signed": True,
        "want_response_signed": True,
        "want_assertions_signed": True,
        "name_id_format": [NAMEID_FORMAT_PERSISTENT],
    }
    own = {
        "entityid": ENTITY,
        "key_file": KEY,
        "cert_file": CERTIFICATE,
        "encryption_keypairs": [{"key_file": KEY, "cert_file": CERTIFICATE}],
        "allow_unknown_attributes": True,
        "service": {"sp": sp},
        "metadata": {"inline": [idp]} if idp else {},
    }
    return SPConfig().load(own)


@functools.cache
def client(idp):
    """The provider with this metadata."""
    return Saml2Client(config=config(idp))


def metadata(task):
    known = config(None)
    made = sign_entity_descriptor(
        entity_descriptor(known), None, security_context(known), SIG_RSA_SHA256, DIGEST_SHA256
    )
    return {"xml": made[1] if isinstance(made, tuple) else str(made)}


def login(task):
    request, made = client(task["idp"]).prepare_for_authenticate(
        entityid=IDP,
        relay_state=task["relay_state"],
        binding=BINDING_HTTP_REDIRECT,
        sign=True,
        sigalg=SIG_RSA_SHA256,
    )
    return {"url": dict(made["headers"])["Location"], "id": request}


def consume(task):
    response = client(task["idp"]).parse_authn_request_response(
        task["response"], BINDING_HTTP_POST, outstanding={task["request"]: "/"}
    )
    statement = response.assertion.authn_statement[0]
    return {
        "authenticated": True,
        "name": response.name_id.text.strip(),
        "attributes": response.get_identity(),
        "session": statement.session_index,
    }


def redirect(provider, message, destination, relay_state, response):
    made = provider.apply_binding(
        BINDING_HTTP_REDIRECT, str(message), destination, relay_state, response=response, sign=True, sigalg=SIG_RSA_SHA256
    )
    return dict(made["headers"])["Location"]


def logout(task):
    provider = client(task["idp"])
    name = NameID(format=NAMEID_FORMAT_PERSISTENT, text=task["name"])
    to = f"{IDP}/slo"
    sent = provider.create_logout_request(to, IDP, name_id=name, session_indexes=[task["session"]], sign=False)
    message = sent[1] if isinstance(sent, tuple) else sent
    return {"url": redirect(provider, message, to, task["relay_state"], False), "id": message.id}


def verified(provider, url):
    """The parameters of a query, whose signature pysaml2 leaves to the caller."""
    given = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    held = provider.metadata.certs(IDP, "any", "signing")
    if not any(verify_redirect_signature(given, provider.sec.sec_backend, certificate) for _, certificate in held):
        raise ValueError("no certificate of the metadata made the signature")
    return given


def logged_out(task):
    provider = client(task["idp"])
    given = verified(provider, task["url"])
    answer = provider.parse_logout_request_response(given["SAMLResponse"], BINDING_HTTP_REDIRECT)
    if answer.response.in_response_to != task["request"] or not answer.status_ok():
        raise ValueError("an answer to something else")
    return {"done": True}


def end_session(task):
    """A LogoutRequest came: the URL of the answer."""
    provider = client(task["idp"])
    given = verified(provider, task["url"])
    request = provider.parse_logout_request(given["SAMLRequest"], BINDING_HTTP_REDIRECT)
    answer = provider.create_logout_response(request.message, [BINDING_HTTP_REDIRECT], sign=False)
    url = redirect(provider, answer, f"{IDP}/slo", given.get("RelayState"), True)
    return {"url": url, "ended": request.message.name_id.text.strip() == "alice"}


make_keys()
for line in sys.stdin:
    task = json.loads(line)
    try:
        answer = globals()[task["do"]](task)
    except Exception as error:  # whatever fails is told
        cause = f" from {error.__cause__!r}" if error.__cause__ else ""
        answer = {"error": f"{type(error).__name__}: {error}{cause}"}
    print(json.dumps(answer), flush=True)

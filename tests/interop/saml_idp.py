"""A SAML identity provider made of pysaml2: one JSON task a line in, one answer a line out.

Each task brings the metadata of the service provider that this provider holds at that time. The argument is a
folder for its keys: pysaml2 has them in files."""

import datetime
import functools
import json
import logging
import os
import sys
from base64 import b64encode
from urllib.parse import parse_qsl, urlsplit

import saml2.entity
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor, sign_entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server
from saml2.sigver import pre_encryption_part, security_context, verify_redirect_signature
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

logging.disable(logging.CRITICAL)
ENTITY = "https://idp.example"
FOLDER = sys.argv[1]
KEY, CERTIFICATE = os.path.join(FOLDER, "key.pem"), os.path.join(FOLDER, "certificate.pem")
AUTHN = {"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password", "authn_auth": ENTITY}


def make_keys():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=2))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    with open(KEY, "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, *form))
    with open(CERTIFICATE, "wb") as file:
        file.write(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def config(sp):
    endpoints = {
        "single_sign_on_service": [(f"{ENTITY}/sso", BINDING_HTTP_REDIRECT)],
        "single_logout_service": [
            (f"{ENTITY}/slo", BINDING_HTTP_REDIRECT),
            (f"{ENTITY}/slo-post", BINDING_HTTP_POST),
        ],
    }
    idp = {"endpoints": endpoints, "want_authn_requests_signed": True, "name_id_format": [NAMEID_FORMAT_PERSISTENT]}
    own = {
        "entityid": ENTITY,
        "key_file": KEY,
        "cert_file": CERTIFICATE,
        "encryption_keypairs": [{"key_file": KEY, "cert_file": CERTIFICATE}],
        "service": {"idp": idp},
        "metadata": {"inline": [sp]} if sp else {},
    }
    return IdPConfig().load(own)


@functools.cache
def server(sp):
    """The provider with this metadata."""
    return Server(config=config(sp))


def parameters(url):
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def metadata(task):
    known = config(None)
    signed = sign_entity_descriptor(entity_descriptor(known), None, security_context(known), SIG_RSA_SHA256, DIGEST_SHA256)
    return {"xml": signed[1] if isinstance(signed, tuple) else str(signed)}


def verified_request(provider, url, parse):
    """The request of a query, once pysaml2 has verified its signature."""
    given = parameters(url)
    return parse(
        given["SAMLRequest"],
        BINDING_HTTP_REDIRECT,
        relay_state=given.get("RelayState"),
        sigalg=given["SigAlg"],
        signature=given["Signature"],
    )


def respond(task):
    """The answer to an AuthnRequest; "content" and "key" say how it is encrypted, if not as pysaml2 does by itself."""
    provider = server(task["sp"])
    request = verified_request(provider, task["url"], provider.parse_authn_request).message
    options = {
        "identity": {"mail": ["alice@example.com"]},
        "in_response_to": request.id,
        "destination": request.assertion_consumer_service_url,
        "sp_entity_id": request.issuer.text,
        "name_id": NameID(format=NAMEID_FORMAT_PERSISTENT, text="alice"),
        "authn": AUTHN,
        "sign_assertion": True,
        "sign_alg": SIG_RSA_SHA256,
        "digest_alg": DIGEST_SHA256,
    }
    # pysaml2 has arguments for these, and no setting that reaches them.
    template = {"msg_enc": task["content"]} if "content" in task else {}
    session = {"key_type": task["key"]} if "key" in task else {}
    saml2.entity.pre_encryption_part = functools.partial(pre_encryption_part, **template)
    provider.sec.encrypt_assertion = functools.partial(type(provider.sec).encrypt_assertion, provider.sec, **session)
    response = provider.create_authn_response(sign_response=True, encrypt_assertion=True, **options)
    return {"response": b64encode(str(response).encode()).decode(), "id": request.id}


def redirect(provider, message, destination, relay_state, response):
    made = provider.apply_binding(
        BINDING_HTTP_REDIRECT, str(message), destination, relay_state, response=response, sign=True, sigalg=SIG_RSA_SHA256
    )
    return dict(made["headers"])["Location"]


def logout(task):
    provider = server(task["sp"])
    name = NameID(format=NAMEID_FORMAT_PERSISTENT, text="alice")
    sent = provider.create_logout_request(task["to"], task["entity"], name_id=name, session_indexes=["s-1"])
    message = sent[1] if isinstance(sent, tuple) else sent
    return {"url": redirect(provider, message, task["to"], "end", False), "id": message.id}


def logged_out(task):
    """A LogoutResponse came in a query; pysaml2 leaves its signature to the caller."""
    provider = server(task["sp"])
    given = parameters(task["url"])
    held = provider.metadata.certs(task["entity"], "any", "signing")
    if not any(verify_redirect_signature(given, provider.sec.sec_backend, certificate) for _, certificate in held):
        raise ValueError("no certificate of the metadata made the signature")
    answer = provider.parse_logout_request_response(given["SAMLResponse"], BINDING_HTTP_REDIRECT)
    return {"in_response_to": answer.response.in_response_to, "ok": answer.status_ok()}


def end_session(task):
    """A LogoutRequest came, in a query or in a form: the URL of the answer."""
    provider = server(task["sp"])
    if "form" in task:
        request = provider.parse_logout_request(task["form"], BINDING_HTTP_POST)
    else:
        request = verified_request(provider, task["url"], provider.parse_logout_request)
    answer = provider.create_logout_response(request.message, [BINDING_HTTP_REDIRECT])
    url = redirect(provider, answer, task["to"], "ended", True)
    return {"url": url, "name": request.message.name_id.text.strip()}


make_keys()
for line in sys.stdin:
    task = json.loads(line)
    try:
        answer = globals()[task["do"]](task)
    except Exception as error:  # whatever fails is told
        cause = f" from {error.__cause__!r}" if error.__cause__ else ""
        answer = {"error": f"{type(error).__name__}: {error}{cause}"}
    print(json.dumps(answer), flush=True)

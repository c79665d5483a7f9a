"""A SAML service provider made of python3-saml, in strict mode: one JSON task a line in, one answer a line out.

Each task brings the metadata of the identity provider that this provider holds at that time."""

import datetime
import json
import sys
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.constants import OneLogin_Saml2_Constants as names
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser as Parser
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.xml_utils import OneLogin_Saml2_XML


def key_pair():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sp.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=2))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *form).decode()
    return pem, made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


KEY, CERTIFICATE = key_pair()
OWN = {
    "strict": True,
    "sp": {
        "entityId": "https://sp.example",
        "assertionConsumerService": {"url": "https://sp.example/acs", "binding": names.BINDING_HTTP_POST},
        "singleLogoutService": {"url": "https://sp.example/slo", "binding": names.BINDING_HTTP_REDIRECT},
        "NameIDFormat": names.NAMEID_PERSISTENT,
        "x509cert": CERTIFICATE,
        "privateKey": KEY,
    },
    "security": {
        "authnRequestsSigned": True,
        "logoutRequestSigned": True,
        "logoutResponseSigned": True,
        "wantMessagesSigned": True,
        "wantAssertionsSigned": True,
        "wantAssertionsEncrypted": True,
        "signMetadata": True,
        "requestedAuthnContext": False,
        "rejectDeprecatedAlgorithm": True,
        "signatureAlgorithm": names.RSA_SHA256,
        "digestAlgorithm": names.SHA256,
    },
}


def settings(task):
    security = dict(OWN["security"], **task.get("security", {}))
    known = Parser.parse(task["idp"]) if "idp" in task else {}
    return Parser.merge_settings(dict(OWN, security=security), known)


def auth(task, url=None, post=None):
    """The provider as one HTTP request sees it."""
    parts = urlsplit(url or "https://sp.example/")
    request = {
        "https": "on",
        "http_host": parts.netloc,
        "script_name": parts.path,
        "get_data": dict(parse_qsl(parts.query, keep_blank_values=True)),
        "post_data": post or {},
        "query_string": parts.query,
        "validate_signature_from_qs": task.get("raw", True),
    }
    return OneLogin_Saml2_Auth(request, settings(task))


def told(provider, answer):
    if provider.get_errors():
        raise ValueError(f"{provider.get_errors()}: {provider.get_last_error_reason()}")
    return answer


def metadata(task):
    own = OneLogin_Saml2_Settings(dict(OWN), sp_validation_only=True)
    xml = own.get_sp_metadata()
    return {"xml": xml if isinstance(xml, str) else xml.decode()}


def validate(task):
    """Whether a document keeps to a schema of SAML."""
    found = OneLogin_Saml2_XML.validate_xml(task["xml"], task["schema"], False)
    if isinstance(found, str):
        raise ValueError(found)
    return {"valid": True}


def login(task):
    provider = auth(task)
    return {"url": provider.login(return_to=task["relay_state"]), "id": provider.get_last_request_id()}


def consume(task):
    provider = auth(task, "https://sp.example/acs", {"SAMLResponse": task["response"]})
    provider.process_response(request_id=task["request"])
    return told(
        provider,
        {
            "authenticated": provider.is_authenticated(),
            "name": provider.get_nameid(),
            "attributes": provider.get_attributes(),
            "session": provider.get_session_index(),
        },
    )


def logout(task):
    provider = auth(task)
    form = names.NAMEID_PERSISTENT
    url = provider.logout(task["relay_state"], task["name"], task["session"], name_id_format=form)
    return {"url": url, "id": provider.get_last_request_id()}


def logged_out(task):
    provider = auth(task, task["url"])
    provider.process_slo(request_id=task["request"])
    return told(provider, {"done": True})


def end_session(task):
    """A LogoutRequest came: the URL of the answer."""
    provider = auth(task, task["url"])
    ended = []
    url = provider.process_slo(delete_session_cb=lambda: ended.append(True))
    return told(provider, {"url": url, "ended": bool(ended)})


for line in sys.stdin:
    task = json.loads(line)
    try:
        answer = globals()[task["do"]](task)
    except Exception as error:  # whatever fails is told
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)

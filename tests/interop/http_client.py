"""A client that openapi-python-client (PyPI) generates from /openapi.json calls every operation that the document names.

Arguments: the base URL, an API key with every right, an empty folder. Each answer must be the documented one: status
200, of the generated type, and valid against the schema of the document.
"""

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import typing
import uuid
from pathlib import Path

import httpx
import jsonschema_rs

BASE, KEY, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")

SIGN = "am.services.oauth2.oidc.signing.ES256"
SEAL = "app.session.seal"
ISSUER = "https://op.example"
REGISTRATION = {
    "client_id": "shop",
    "id_token_signed_response_alg": "ES256",
    "userinfo_signed_response_alg": "ES256",
    "request_object_signing_alg": "ES256",
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_signing_alg": "ES256",
}
NAMESPACES = (
    'xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"'
)
WHEN = 'Version="2.0" IssueInstant="2027-01-15T08:00:00Z"'
RESPONSE = (
    f'<samlp:Response {NAMESPACES} ID="_r1" {WHEN}><saml:Issuer>https://idp.example</saml:Issuer>'
    f'<saml:Assertion ID="_a1" {WHEN}><saml:Issuer>https://idp.example</saml:Issuer><saml:Subject>'
    "<saml:NameID>alice</saml:NameID></saml:Subject></saml:Assertion></samlp:Response>"
)
REQUEST = (
    f'<samlp:AuthnRequest {NAMESPACES} ID="_q1" {WHEN}><saml:Issuer>https://sp.example</saml:Issuer>'
    "</samlp:AuthnRequest>"
)


class Walk:
    """The generated package, and which operations were called."""

    def __init__(self):
        text = httpx.get(f"{BASE}/openapi.json").raise_for_status().text
        self.document = json.loads(text)
        (FOLDER / "openapi.json").write_text(text)
        # No formatter is run over what nobody reads; the type of /metrics is text that the generator does not know.
        settings = {"post_hooks": [], "content_type_overrides": {"application/openmetrics-text": "text/plain"}}
        (FOLDER / "generator.json").write_text(json.dumps(settings))
        subprocess.run(
            [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning",
             "--path", "openapi.json", "--output-path", "claviger_client", "--config", "generator.json"],
            cwd=FOLDER, check=True, stdout=sys.stderr,
        )  # fmt: skip
        sys.path.insert(0, str(FOLDER))
        package = importlib.import_module("claviger_client")
        self.client = package.AuthenticatedClient(base_url=BASE, token=KEY, raise_on_unexpected_status=True)
        self.unset = importlib.import_module("claviger_client.types").UNSET
        self.problem = importlib.import_module("claviger_client.models.problem").Problem
        api = importlib.import_module("claviger_client.api")
        found = pkgutil.walk_packages(api.__path__, "claviger_client.api.")
        self.modules = {plain(one.name.rsplit(".", 1)[1]): one.name for one in found if not one.ispkg}
        self.operations = {
            operation["operationId"]: operation
            for path in self.document["paths"].values()
            for method, operation in path.items()
            if method in METHODS
        }
        self.called = set()

    def call(self, name, body=None, expected=200, **parameters):
        """Calls an operation, and answers its JSON, or its text where it is none."""
        module = importlib.import_module(self.modules[plain(name)])
        if body is not None:
            of = typing.get_type_hints(module.sync_detailed)["body"]
            of = next(one for one in typing.get_args(of) or (of,) if hasattr(one, "from_dict"))
            parameters["body"] = of.from_dict(body)
            assert parameters["body"].to_dict() == body, f"{name}: the generated type loses {body}"
        unknown = set(parameters) - set(inspect.signature(module.sync_detailed).parameters)
        assert not unknown, f"{name} has no parameter {unknown}"
        answer = module.sync_detailed(client=self.client, **parameters)
        assert answer.status_code == expected, f"{name}: {answer.status_code} {answer.content}"
        self.called.add(name)
        documented = self.operations[name]["responses"][str(expected)]
        self.headers = answer.headers
        for header in documented.get("headers", []):
            assert header in answer.headers, f"{name}: no {header}"
        if expected == 304:
            assert answer.content == b"", answer.content
            return None
        documented = documented["content"]
        ((content_type, content),) = documented.items()
        sent = answer.headers["content-type"].split(";")[0]
        assert sent == content_type, f"{name}: {sent} is not {content_type}"
        if "json" not in content_type:
            return answer.content.decode()
        value = json.loads(answer.content)
        if schema := content.get("schema"):
            assert answer.parsed is not None, f"{name}: nothing was read"
            assert not isinstance(answer.parsed, self.problem), f"{name}: {answer.content}"
            whole = {**schema, "components": self.document["components"]}
            jsonschema_rs.Draft202012Validator(whole).validate(value)
        return value

    def finish(self):
        """Every operation was called, and nothing else."""
        missing = set(self.operations) - self.called
        assert not missing, f"no call of {sorted(missing)}: add them to {__file__}"
        print(f"{len(self.called)} operations")


def plain(name):
    return name.replace("_", "").lower()


def labels(walk):
    """Signatures and encryption, alone and in batches."""
    made = walk.call("post_labels_sign", {"claims": {"sub": "alice"}}, label=SIGN)
    found = walk.call("post_labels_verify", {"token": made["token"], "header": True}, label=SIGN)
    assert found["claims"] == {"sub": "alice"} and found["alias"] == made["alias"], found
    items = [{"text": str(one)} for one in range(3)]
    made = walk.call("post_labels_sign_batch", {"items": items}, label=SIGN)["results"]
    items = [{"token": one["token"], "as": "text"} for one in made] + [{"token": "a.b.c"}]
    found = walk.call("post_labels_verify_batch", {"items": items}, label=SIGN)["results"]
    assert [one["text"] for one in found[:3]] == ["0", "1", "2"], found
    assert found[3]["problem"]["code"] in ("malformed", "not_verified"), found
    made = walk.call("post_labels_raw_sign", {"text": "bytes"}, label=SIGN)
    body = {"text": "bytes", "signature": made["signature"], "alg": "ES256"}
    walk.call("post_labels_raw_verify", body, label=SIGN)
    made = walk.call("post_labels_raw_sign_batch", {"items": [{"text": "x"}]}, label=SIGN)["results"]
    items = [{"text": "x", "signature": made[0]["signature"]}]
    walk.call("post_labels_raw_verify_batch", {"items": items}, label=SIGN)

    made = walk.call("post_labels_encrypt", {"text": "secret"}, label=SEAL)
    made = walk.call("post_labels_rewrap", {"token": made["token"]}, label=SEAL)
    found = walk.call("post_labels_decrypt", {"token": made["token"], "as": "text"}, label=SEAL)
    assert found["text"] == "secret", found
    made = walk.call("post_labels_encrypt_batch", {"items": [{"payload": "AAEC"}]}, label=SEAL)["results"]
    items = [{"token": made[0]["token"]}]
    made = walk.call("post_labels_rewrap_batch", {"items": items}, label=SEAL)["results"]
    items = [{"token": made[0]["token"], "as": "payload"}]
    found = walk.call("post_labels_decrypt_batch", {"items": items}, label=SEAL)["results"]
    assert found[0]["payload"] == "AAEC", found


def steps(walk):
    """A key from its making to its end, each step under a key of its own."""

    def step(name, **body):
        return walk.call(f"post_labels_{name}", body, label=SIGN, idempotency_key=str(uuid.uuid4()))

    assert step("stage", alias="c", reason="a walk")["done"]
    assert step("promote", alias="c", now=True)["done"]
    assert step("undo", now=True)["done"]
    assert step("reorder", aliases=["b", "a", "c"], now=True)["done"]
    assert step("retire", alias="c", force=True)["done"]
    assert step("generate", alias="d", dry_run=True)["plan"]
    assert step("generate", alias="d")["done"]
    assert step("revoke", alias="a", compromised_at="2027-01-15T07:00:00Z", reason="a walk")["done"]
    # The answer of before, not a second revocation.
    once = '"once-and-for-all"'
    first = walk.call("post_labels_promote", {"alias": "d", "now": True}, label=SIGN, idempotency_key=once)
    again = walk.call("post_labels_promote", {"alias": "d", "now": True}, label=SIGN, idempotency_key=once)
    assert first == again and first["done"], again
    assert walk.call("post_labels_drill", {}, label=SIGN)["tokens"] > 0


def looking(walk):
    """What can be looked at."""
    names = [one["label"] for one in walk.call("get_labels")["labels"]]
    assert SIGN in names and SEAL in names, names
    walk.call("get_labels_label", label=SIGN)
    walk.call("get_labels_explain", label=SIGN)
    records = walk.call("get_labels_history", label=SIGN, since="2027-01-01T00:00:00Z")["records"]
    assert any(record.get("reason") == "a walk" for record in records), records
    assert walk.call("get_labels_history", label=SIGN, since="2037-01-01T00:00:00Z")["records"] == []
    walk.call("get_history_verify")
    walk.call("get_status")
    walk.call("post_reload", {})
    assert walk.call("get_healthz") == "ok\n"
    assert walk.call("get_readyz")["ready"] is True
    assert "claviger_requests_total" in walk.call("get_metrics")
    assert walk.call("get_openapi_json") == walk.document
    assert walk.call("get").startswith("<!doctype html>")
    for name in ("get_jwks_json", "get_rp_jwks_json", "get__well_known_jwks_json"):
        assert "keys" in walk.call(name), name
    assert len(walk.call("get_labels_jwks_json", label=SIGN)["keys"]) == 2
    kept = walk.headers["etag"]
    walk.call("get_labels_jwks_json", label=SIGN, if_none_match=kept, expected=304)


def sessions(walk):
    """The life of a session, and a token of a profile."""
    sealed = walk.call("post_sessions_seal", {"claims": {"sub": "alice"}})
    again = walk.call("post_sessions_refresh", {"token": sealed["token"]})
    opened = walk.call("post_sessions_open", {"token": again["token"]})
    assert opened["claims"] == {"sub": "alice"} and opened["id"] == sealed["id"], opened
    assert walk.call("post_sessions_end", {"token": again["token"]})["id"] == sealed["id"]
    body = {"claims": {"otk": "a1"}, "life": 60}
    sealed = walk.call("post_tokens_seal", body, profile="authid")
    assert walk.call("post_tokens_open", {"token": sealed["token"]}, profile="authid")["claims"]["otk"] == "a1"


def oidc(walk):
    """Every kind of token of provider and client."""
    provider, client = walk.call("get__well_known_jwks_json"), walk.call("get_rp_jwks_json")
    base = {"issuer": ISSUER, "client": {**REGISTRATION, "jwks": client}}

    def make(kind, **more):
        return walk.call(f"post_oidc_{kind}_issue", {**base, **more})["token"]

    def check(kind, token, call="verify", **more):
        return walk.call(f"post_oidc_{kind}_{call}", {**base, "token": token, **more})["claims"]

    assert check("id_token", make("id_token", claims={"sub": "alice"}))["sub"] == "alice"
    signed = {"protection": ["ES256"]}
    claims = {"sub": "alice", "scope": "read"}
    access = make("access_token", claims=claims, **signed)
    token = {"issuer": ISSUER, "token": access, **signed}
    assert walk.call("post_oidc_access_token_verify", token)["claims"]["scope"] == "read"
    assert walk.call("post_oidc_access_token_introspect", token)["active"] is True
    assert check("refresh_token", make("refresh_token", claims=claims, **signed), **signed)["sub"] == "alice"
    check("request_object", make("request_object", claims={"scope": "openid"}))
    check("client_assertion", walk.call("post_oidc_client_assertion_issue", base)["token"])
    logout = make("logout_token", claims={"sub": "alice"})
    check("logout_token", logout, provider_jwks=provider)
    userinfo = make("userinfo", claims={"sub": "alice", "name": "A"})
    found = check("userinfo", userinfo, "open", provider_jwks=provider, subject="alice")
    assert found["name"] == "A", found
    assert walk.call("post_oidc_subject", {**base, "account": "alice"})["sub"] == "alice"


def saml(walk):
    """Two providers that believe each other by their metadata."""

    def metadata(role, service):
        entity = f"https://{role}.example"
        endpoint = {"service": service, "binding": "HTTP-POST", "location": f"{entity}/saml"}
        body = {"role": role, "entity_id": entity, "endpoints": [endpoint], "sign": True}
        return {"metadata": walk.call("post_saml_metadata", body)["xml"]}

    idp, sp = metadata("idp", "SingleSignOnService"), metadata("sp", "AssertionConsumerService")
    body = {"role": "idp", "xml": RESPONSE, "what": "assertion", "peer": sp}
    signed = walk.call("post_saml_sign", body)["xml"]
    encrypted = walk.call("post_saml_encrypt", {"peer": sp, "xml": signed})["xml"]
    assert "alice" not in encrypted
    opened = walk.call("post_saml_decrypt", {"role": "sp", "xml": encrypted})["elements"][0]["xml"]
    found = walk.call("post_saml_verify", {"peer": idp, "xml": opened, "expect": "assertion"})
    assert "alice" in found["elements"][0]["xml"], found
    body = {"role": "sp", "xml": REQUEST, "relay_state": "a b"}
    query = walk.call("post_saml_redirect_sign", body)["query"]
    found = walk.call("post_saml_redirect_verify", {"peer": sp, "query": query})
    assert found["relay_state"] == "a b", found


if __name__ == "__main__":
    walk = Walk()
    for part in (labels, sessions, oidc, saml, steps, looking):
        part(walk)
    walk.finish()

//! Queries of the redirect binding (SAML 2.0 Bindings §3.4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Peer, Role, entity, note_alias_of};
use crate::access::Right;
use crate::error::Result;
use crate::profiles::saml::redirect::{self, MessageKind, RedirectOptions};
use crate::profiles::saml::{KnownPeer, SamlUse};
use crate::service::call::Call;
use crate::service::route::Route;
use crate::xmlsec::{PeerPolicy, XmlLimits};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/saml/redirect/sign",
            Right::SamlSign,
            "Sign a query of the redirect binding",
            sign_query,
        ),
        Route::post(
            "/v1/saml/redirect/verify",
            Right::SamlOpen,
            "Verify a query of the redirect binding",
            verify_query,
        ),
    ]
}

/// A message for the redirect binding.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QueryRequest {
    /// Whose key signs.
    role: Role,
    /// The identifier of the provider, if it has one of its own.
    identifier: Option<String>,
    /// The message.
    xml: String,
    /// It is a response, not a request.
    #[serde(default)]
    response: bool,
    /// The RelayState.
    relay_state: Option<String>,
    /// The algorithm, by JOSE name, XML name or URI.
    alg: Option<String>,
    /// Writes an ECDSA signature in DER, as peers in Java read it (Ping AM, Shibboleth).
    #[serde(default)]
    ecdsa_der: bool,
    /// Who gets it.
    peer: Option<Peer>,
}

/// A signed query.
#[derive(JsonSchema, Serialize)]
struct SignedQuery {
    /// The query, without `?`.
    query: String,
    /// The alias that signed.
    alias: String,
    /// The name of the algorithm.
    alg: &'static str,
    /// The algorithm if the peer's metadata name others alone, or it with keys of other sizes: the peer may refuse this.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unnamed: Vec<&'static str>,
}

fn sign_query(call: &Call<'_>, body: QueryRequest) -> Result<SignedQuery> {
    let peer = body.peer.as_ref().map(|peer| peer.known(call)).transpose()?;
    let prefers = peer.as_ref().and_then(KnownPeer::role);
    let options = RedirectOptions {
        kind: if body.response { MessageKind::Response } else { MessageKind::Request },
        relay_state: body.relay_state.as_deref(),
        algorithm: body.alg.as_deref(),
        peer_algorithms: prefers.map(|role| role.signing_methods.as_slice()).unwrap_or_default(),
        ecdsa_der: body.ecdsa_der,
    };
    let keys = entity(call, body.role, body.identifier)?.keys(SamlUse::Signing)?;
    let signed = redirect::sign(&keys, body.xml.as_bytes(), &options)?;
    note_alias_of(call, Some(&keys), &signed.alias);
    let alg = signed.algorithm.xml_name().unwrap_or_default();
    let unnamed = signed.unnamed.then_some(alg).into_iter().collect();
    Ok(SignedQuery { query: signed.query, alias: signed.alias, alg, unnamed })
}

/// A query that came from a peer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyQueryRequest {
    /// Whose signature counts; where metadata say who that is, of what names no other entity as its Issuer.
    peer: Peer,
    /// The raw query, as it came, without `?`.
    query: String,
    /// What is allowed though it is weak: sha1, rsa1024, der-ecdsa.
    #[serde(default)]
    allow: Vec<String>,
}

/// A query whose signature holds.
#[derive(JsonSchema, Serialize)]
struct VerifiedQuery {
    /// The message.
    xml: String,
    /// `SAMLRequest` or `SAMLResponse`.
    parameter: &'static str,
    /// The RelayState, as it was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    relay_state: Option<String>,
    /// The certificate of the key, by its SHA-256 in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<String>,
    /// The SubjectPublicKeyInfo of a key without certificate, by its SHA-256 in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_sha256: Option<String>,
    /// The name of the algorithm.
    alg: &'static str,
}

fn verify_query(call: &Call<'_>, body: VerifyQueryRequest) -> Result<VerifiedQuery> {
    let policy = PeerPolicy::of(body.allow.iter().map(String::as_str))?;
    let found =
        body.peer.known(call)?.verify_redirect(&body.query, &policy, &XmlLimits::MESSAGE)?;
    Ok(VerifiedQuery {
        parameter: found.kind.parameter(),
        relay_state: found.relay_state,
        certificate_sha256: found.signer.certificate_sha256,
        key_sha256: found.signer.key_sha256,
        alg: found.algorithm.xml_name().unwrap_or_default(),
        xml: found.message,
    })
}

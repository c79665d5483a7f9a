//! The metadata of a client, by the names that OpenID Connect Dynamic Client Registration gives them.

use serde_json::{Map, Value};

use crate::alg::{Algorithm, Family, Operation, Status};
use crate::catalogue;
use crate::error::{Error, ErrorKind, Result};

/// What is read here.
const KNOWN: &[&str] = &[
    "agent",
    "client_id",
    "client_secret",
    "id_token_encrypted_response_alg",
    "id_token_encrypted_response_enc",
    "id_token_signed_response_alg",
    "jwks",
    "redirect_uris",
    "request_object_encryption_alg",
    "request_object_encryption_enc",
    "request_object_signing_alg",
    "secret_label_identifier",
    "sector_identifier_uri",
    "subject_type",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_email",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_uri",
    "tls_client_auth_subject_dn",
    "tls_client_certificate_bound_access_tokens",
    "token_endpoint_auth_method",
    "token_endpoint_auth_signing_alg",
    "userinfo_encrypted_response_alg",
    "userinfo_encrypted_response_enc",
    "userinfo_signed_response_alg",
];

/// Other names of the registry (IANA, OAuth Dynamic Client Registration Metadata), some of which look like one that is read.
const ELSEWHERE: &[&str] = &[
    "application_type",
    "authorization_details_types",
    "authorization_encrypted_response_alg",
    "authorization_encrypted_response_enc",
    "authorization_signed_response_alg",
    "backchannel_authentication_request_signing_alg",
    "backchannel_client_notification_endpoint",
    "backchannel_logout_session_required",
    "backchannel_logout_uri",
    "backchannel_token_delivery_mode",
    "backchannel_user_code_parameter",
    "claims_redirect_uris",
    "client_id_issued_at",
    "client_name",
    "client_registration_types",
    "client_secret_expires_at",
    "client_uri",
    "contacts",
    "default_acr_values",
    "default_max_age",
    "dpop_bound_access_tokens",
    "frontchannel_logout_session_required",
    "frontchannel_logout_uri",
    "grant_types",
    "initiate_login_uri",
    "introspection_encrypted_response_alg",
    "introspection_encrypted_response_enc",
    "introspection_signed_response_alg",
    "jwks_uri",
    "logo_uri",
    "nfv_token_encrypted_response_alg",
    "nfv_token_encrypted_response_enc",
    "nfv_token_signed_response_alg",
    "policy_uri",
    "post_logout_redirect_uris",
    "registration_access_token",
    "registration_client_uri",
    "request_uris",
    "require_auth_time",
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "response_modes",
    "response_types",
    "scope",
    "software_id",
    "software_statement",
    "software_version",
    "tos_uri",
    "use_mtls_endpoint_aliases",
];

/// The metadata, read member by member.
pub(super) struct Registration<'m>(&'m Map<String, Value>);

impl<'m> Registration<'m> {
    /// Refuses names that are nearly one that is read: a slip in an encryption algorithm would send tokens in the clear.
    /// Servers have settings of their own, which are left alone.
    pub(super) fn new(members: &'m Map<String, Value>) -> Result<Self> {
        for name in members.keys() {
            // A language tag follows `#` (OpenID Connect Registration §2.1).
            let plain = name.split('#').next().unwrap_or(name);
            if KNOWN.contains(&plain) || ELSEWHERE.contains(&plain) {
                continue;
            }
            if let Some(near) = catalogue::nearest_of(plain, KNOWN.iter().copied()) {
                let text = format!("unknown client metadata \"{}\"", plain.escape_debug());
                let help = format!("did you mean \"{near}\"?");
                return Err(Error::new(ErrorKind::Usage, text).with_help(help));
            }
        }
        Ok(Self(members))
    }

    pub(super) fn value(&self, name: &str) -> Option<&'m Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'m str>> {
        let value = self.value(name);
        let text = value.map(|value| value.as_str().ok_or_else(|| wrong(name, "a string")));
        text.transpose()
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        let flag = self.value(name).map_or(Some(false), Value::as_bool);
        flag.ok_or_else(|| wrong(name, "true or false"))
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'m str>> {
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        texts.ok_or_else(|| wrong(name, "a list of strings"))
    }

    /// A signature algorithm; `none` is no algorithm here.
    pub(super) fn signature(&self, name: &str) -> Result<Option<&'static Algorithm>> {
        self.algorithm(name, Operation::Sign)
    }

    /// A key management algorithm and, A128CBC-HS256 by default, its content algorithm.
    pub(super) fn encryption(&self, prefix: &str) -> Result<Option<Encryption>> {
        let (alg, enc) = (format!("{prefix}_alg"), format!("{prefix}_enc"));
        let key_management = self.algorithm(&alg, Operation::KeyManagement)?;
        let content = self.algorithm(&enc, Operation::Content)?;
        match (key_management, content) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                let text = format!("client metadata \"{enc}\" stands without \"{alg}\"");
                Err(Error::new(ErrorKind::Usage, text))
            }
            (Some(alg), content) => {
                let default = || Algorithm::named("A128CBC-HS256");
                Ok(Some(Encryption { alg, enc: content.map_or_else(default, Ok)? }))
            }
        }
    }

    fn algorithm(&self, name: &str, operation: Operation) -> Result<Option<&'static Algorithm>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let row = Algorithm::find(text).filter(|row| row.operation == operation);
        // RSA1_5 is the peer's to ask for: its registration names it. Passwords are not keys of clients.
        let served = row.filter(|row| {
            row.status == Status::On
                || (row.family == Family::Rsa15 && !matches!(operation, Operation::Sign))
        });
        served.map(Some).ok_or_else(|| {
            let text = format!(
                "client metadata \"{name}\": \"{}\" is no algorithm for it",
                text.escape_debug()
            );
            Error::new(ErrorKind::AlgorithmNotAllowed, text).with_help(
                "a JOSE name that is on, as ES256, RSA-OAEP-256 or A256GCM; `none` is none",
            )
        })
    }
}

/// How something is encrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "JWE has these two")]
pub struct Encryption {
    /// How the content key reaches the receiver.
    pub alg: &'static Algorithm,
    /// How the content is encrypted.
    pub enc: &'static Algorithm,
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("client metadata \"{name}\" is not {what}"))
}

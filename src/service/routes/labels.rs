//! Operations by label: sign and verify.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::call::Call;
use super::super::route::Route;
use crate::access::Right;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::jws::{self, SignOptions, VerifyOptions};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/labels/{label}/sign", Right::Sign, "Sign with the active alias", sign),
        Route::post(
            "/v1/labels/{label}/verify",
            Right::Verify,
            "Verify with every valid alias",
            verify,
        ),
    ]
}

/// What is to be signed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignRequest {
    /// Claims, signed as they stand in the request.
    #[schemars(with = "Map<String, Value>")]
    claims: Box<RawValue>,
    /// The algorithm; absent: the label's first that fits its active alias.
    alg: Option<String>,
    /// The `typ` header.
    typ: Option<String>,
}

/// A token.
#[derive(JsonSchema, Serialize)]
struct Signed {
    /// The compact JWS.
    token: String,
    /// The alias that signed.
    alias: String,
    /// Its kid.
    kid: String,
}

fn sign(call: &Call<'_>, body: SignRequest) -> Result<Signed> {
    let keys = call.keys()?;
    let options = SignOptions { algorithm: body.alg, typ: body.typ, ..SignOptions::default() };
    let token = jws::sign(&keys, body.claims.get().as_bytes(), &options)?;
    let active = keys.active();
    Ok(Signed { token, alias: active.alias.to_string(), kid: active.kid.clone() })
}

/// What is to be verified.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyRequest {
    /// The compact JWS.
    token: String,
    /// The `typ` that it must have.
    typ: Option<String>,
}

/// What a token that verified says.
#[derive(JsonSchema, Serialize)]
struct Claims {
    /// The claims.
    claims: Map<String, Value>,
    /// The alias that verified.
    alias: String,
    /// The algorithm.
    alg: &'static str,
}

fn verify(call: &Call<'_>, body: VerifyRequest) -> Result<Claims> {
    let options = VerifyOptions { typ: body.typ.as_deref(), ..VerifyOptions::default() };
    let verified = jws::verify(&*call.keys()?, &body.token, &options)?;
    let claims = serde_json::from_slice(&verified.payload)
        .map_err(|_| Error::new(ErrorKind::NotVerified, "the token does not verify"))?;
    Ok(Claims { claims, alias: verified.key.alias.to_string(), alg: verified.algorithm.name })
}

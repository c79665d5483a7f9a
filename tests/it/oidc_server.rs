//! A provider of ours on loopback: just enough HTTP for other people's clients to complete a flow with it. Every token
//! that goes in or out is made and checked by the library.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claviger::Keyring;
use claviger::profiles::jwks::Party;
use claviger::profiles::oidc::{
    AssertionRules, Client, IdTokenOptions, JtiUse, Provider, RefreshTokenOptions,
    RequestObjectRules,
};
use serde_json::{Map, Value, json};

use crate::oidc_house::claims;

/// The parameters of a query or form.
pub(crate) type Form = HashMap<String, String>;

/// What a request was answered.
struct Answer {
    status: &'static str,
    headers: String,
    body: String,
}

/// A provider that serves until its process ends.
pub(crate) struct Server {
    pub(crate) issuer: String,
    keyring: Keyring,
    clients: HashMap<String, Client>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The nonces behind codes that were given out.
    codes: HashMap<String, Value>,
    used: HashSet<String>,
    /// Requests that were refused, for messages of tests.
    refused: Vec<String>,
}

impl Server {
    pub(crate) fn start(keyring: &Keyring, clients: Vec<Client>) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let issuer = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let clients = clients.into_iter().map(|one| (one.id().to_owned(), one)).collect();
        let state = Mutex::default();
        let server = Arc::new(Self { issuer, keyring: keyring.clone(), clients, state });
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is its own affair.
                drop(serving.serve(stream));
            }
        });
        server
    }

    /// What was refused so far.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.state.lock().unwrap().refused.clone()
    }

    pub(crate) fn provider(&self) -> Provider {
        self.keyring.oidc(None).provider(self.issuer.as_str())
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let answer = match path {
            "/.well-known/openid-configuration" => ok(&self.metadata()),
            "/jwks" => Answer {
                status: "200 OK",
                headers: "Content-Type: application/json\r\n".into(),
                body: self.keyring.jwks(None, Party::Provider).document().json.clone(),
            },
            "/auth" => self.authorize(&form(query)),
            "/token" => self.token(&form(&String::from_utf8_lossy(&body))),
            _ => Answer { status: "404 Not Found", headers: String::new(), body: String::new() },
        };
        let Answer { status, headers, body } = answer;
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        json!({ "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA", "HS256"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_jwt"],
            "authorization_response_iss_parameter_supported": true })
    }

    /// The parameters of a request object count and nothing beside it.
    fn authorize(&self, query: &Form) -> Answer {
        let asked = || -> claviger::error::Result<Map<String, Value>> {
            let client = &self.clients[&query["client_id"]];
            match query.get("request") {
                Some(request) => {
                    let rules = RequestObjectRules::default();
                    Ok(self
                        .provider()
                        .open_request_object(client, request, &rules)?
                        .claims
                        .into_map())
                }
                None => Ok(query.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect()),
            }
        };
        let asked = match asked() {
            Ok(asked) => asked,
            Err(error) => return self.refuse(&error),
        };
        let mut state = self.state.lock().unwrap();
        let code = format!("code-{}", state.codes.len());
        state.codes.insert(code.clone(), asked.get("nonce").cloned().unwrap_or_default());
        let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
        let location = format!(
            "Location: {}?code={code}&state={}&iss={}\r\n",
            text("redirect_uri"),
            text("state"),
            self.issuer
        );
        Answer { status: "302 Found", headers: location, body: String::new() }
    }

    fn token(&self, form: &Form) -> Answer {
        let assertion = form.get("client_assertion").cloned().unwrap_or_default();
        let client = form.get("client_id").map_or_else(|| subject_of(&assertion), Clone::clone);
        let Some(client) = self.clients.get(&client) else {
            return Answer {
                status: "401 Unauthorized",
                headers: String::new(),
                body: String::new(),
            };
        };
        let first = |token: &JtiUse<'_>| {
            let new = format!("{} {}", token.issuer, token.jti);
            Ok(self.state.lock().unwrap().used.insert(new))
        };
        let endpoint = format!("{}/token", self.issuer);
        let audiences = [self.issuer.as_str(), &endpoint];
        let rules = AssertionRules::new(&audiences, &first);
        if let Err(error) = self.provider().verify_client_assertion(client, &assertion, &rules) {
            return self.refuse(&error);
        }
        let nonce = self.state.lock().unwrap().codes.remove(&form["code"]);
        match self.tokens(client, nonce.unwrap_or_default()) {
            Ok(tokens) => ok(&tokens),
            Err(error) => self.refuse(&error),
        }
    }

    fn tokens(&self, client: &Client, nonce: Value) -> claviger::error::Result<Value> {
        let provider = self.provider();
        let given = || claims(json!({ "sub": "alice", "scope": "openid" }));
        let access = provider.issue_access_token(client, &given(), &Default::default())?;
        let refresh =
            provider.issue_refresh_token(client, &given(), &RefreshTokenOptions::default())?;
        let now = self.keyring.clock().now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut id = claims(json!({ "sub": "alice", "auth_time": now.as_secs() }));
        if nonce.is_string() {
            id.insert("nonce".into(), nonce);
        }
        let options = IdTokenOptions { access_token: Some(&access), ..Default::default() };
        let id_token = provider.issue_id_token(client, &id, &options)?;
        Ok(json!({ "access_token": access, "refresh_token": refresh, "id_token": id_token,
            "token_type": "Bearer", "expires_in": 3_600 }))
    }

    fn refuse(&self, error: &claviger::Error) -> Answer {
        let why = std::error::Error::source(error).map(ToString::to_string);
        self.state.lock().unwrap().refused.push(why.unwrap_or_else(|| error.message().to_owned()));
        let body = json!({ "error": "invalid_request" }).to_string();
        Answer {
            status: "400 Bad Request",
            headers: "Content-Type: application/json\r\n".into(),
            body,
        }
    }
}

fn ok(body: &Value) -> Answer {
    let headers = "Content-Type: application/json\r\nCache-Control: no-store\r\n".into();
    Answer { status: "200 OK", headers, body: body.to_string() }
}

/// Who an assertion says it is: only to look the client up, whose keys then decide.
fn subject_of(assertion: &str) -> String {
    let payload = crate::oidc_house::part(assertion, 1);
    payload["sub"].as_str().unwrap_or_default().to_owned()
}

/// `application/x-www-form-urlencoded`.
pub(crate) fn form(text: &str) -> Form {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (unescape(name), unescape(value))).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

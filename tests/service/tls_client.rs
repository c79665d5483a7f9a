//! A connection over TLS that its client keeps, whatever the server changes meanwhile.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use openssl::nid::Nid;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslStream};
use serde_json::Value;

use crate::process::{Home, LONG, Served};

pub(crate) struct TlsClient(BufReader<SslStream<TcpStream>>);

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl TlsClient {
    /// Shakes hands; the server's certificate must be of the authority `ca`. With TLS 1.3 a client whose certificate is
    /// refused hears of it with its first request.
    pub(crate) fn connect(
        home: &Home,
        served: &Served,
        certificate: Option<&str>,
    ) -> io::Result<Self> {
        Self::at(home, served.address(), certificate)
    }

    /// The same at an address.
    pub(crate) fn at(
        home: &Home,
        address: SocketAddr,
        certificate: Option<&str>,
    ) -> io::Result<Self> {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_ca_file(home.path("ca.pem")).unwrap();
        if let Some(name) = certificate {
            let [pem, key] = ["pem", "key"].map(|end| home.path(&format!("{name}.{end}")));
            connector.set_certificate_file(pem, SslFiletype::PEM).unwrap();
            connector.set_private_key_file(key, SslFiletype::PEM).unwrap();
        }
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LONG))?;
        let stream = connector.build().connect("localhost", stream);
        stream.map(|stream| Self(BufReader::new(stream))).map_err(io::Error::other)
    }

    /// The common name of the certificate that the server showed.
    pub(crate) fn server(&self) -> String {
        let certificate = self.0.get_ref().ssl().peer_certificate().unwrap();
        let name = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next().unwrap();
        name.data().to_string().unwrap()
    }

    /// One request over HTTP/1.1, and its answer.
    pub(crate) fn post(
        &mut self,
        path: &str,
        bearer: Option<&str>,
        body: &Value,
    ) -> io::Result<Reply> {
        let body = body.to_string();
        let bearer =
            bearer.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{bearer}");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.split_once("content-length: ").unwrap().1;
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let status = head.strip_prefix("http/1.1 ").unwrap()[..3].parse().unwrap();
        Ok(Reply { status, head, body: serde_json::from_slice(&body).unwrap() })
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).is_ok_and(|count| count == 0)
    }
}

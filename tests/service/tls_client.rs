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
        shake_hands(home, address, certificate, b"\x08http/1.1")
            .map(|stream| Self(BufReader::new(stream)))
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
        let status = head.strip_prefix("http/1.1 ").unwrap().get(..3).unwrap().parse().unwrap();
        Ok(Reply { status, head, body: serde_json::from_slice(&body).unwrap() })
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).is_ok_and(|count| count == 0)
    }
}

fn shake_hands(
    home: &Home,
    address: SocketAddr,
    certificate: Option<&str>,
    protocol: &[u8],
) -> io::Result<SslStream<TcpStream>> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_ca_file(home.path("ca.pem")).unwrap();
    connector.set_alpn_protos(protocol).unwrap();
    if let Some(name) = certificate {
        let [pem, key] = ["pem", "key"].map(|end| home.path(&format!("{name}.{end}")));
        connector.set_certificate_file(pem, SslFiletype::PEM).unwrap();
        connector.set_private_key_file(key, SslFiletype::PEM).unwrap();
    }
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LONG))?;
    connector.build().connect("localhost", stream).map_err(io::Error::other)
}

/// The same over HTTP/2, frame by frame (RFC 9113 §4.1): one request at a time.
pub(crate) struct Http2Client {
    stream: SslStream<TcpStream>,
    /// Of the last request.
    id: u32,
    /// The server has said that it takes no more requests.
    told_goodbye: bool,
}

/// A frame: type, flags, stream and payload.
struct Frame(u8, u8, u32, Vec<u8>);

impl Frame {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self(kind, flags, id, payload) = self;
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[*kind, *flags], &id.to_be_bytes()].concat();
        out.write_all(&[&head, payload.as_slice()].concat())
    }

    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        from.read_exact(&mut payload)?;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Self(head[3], head[4], id, payload))
    }
}

impl Http2Client {
    pub(crate) fn connect(
        home: &Home,
        served: &Served,
        certificate: Option<&str>,
    ) -> io::Result<Self> {
        let mut stream = shake_hands(home, served.address(), certificate, b"\x02h2")?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        Frame(Frame::SETTINGS, 0, 0, Vec::new()).write(&mut stream)?;
        // The first request is stream 1; streams of clients are odd.
        Ok(Self { stream, id: u32::MAX, told_goodbye: false })
    }

    /// Reads nothing of the bodies of answers from now on (RFC 9113 §6.5.2).
    pub(crate) fn read_no_more(&mut self) -> io::Result<()> {
        const INITIAL_WINDOW_SIZE: u8 = 4;
        Frame(Frame::SETTINGS, 0, 0, vec![0, INITIAL_WINDOW_SIZE, 0, 0, 0, 0])
            .write(&mut self.stream)
    }

    /// Sends a request whose answer is waited for later.
    pub(crate) fn send(&mut self, path: &str, body: &Value) -> io::Result<()> {
        let body = body.to_string().into_bytes();
        self.begin(path, body.len(), true)?;
        Frame(Frame::DATA, 1, self.id, body).write(&mut self.stream)
    }

    /// Whether the next answer that comes has the status 200.
    pub(crate) fn next_is_done(&mut self) -> io::Result<bool> {
        loop {
            let Frame(kind, _, _, payload) = self.read()?;
            if kind == Frame::HEADERS {
                // RFC 7541 appendix A: the status 200; 503 has no number.
                return Ok(payload.first() == Some(&0x88));
            }
        }
    }

    /// The body of the answer of one request.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> io::Result<Value> {
        self.send(path, body)?;
        self.answer()
    }

    /// The head of a request whose body has this length; or the beginning of the head alone.
    pub(crate) fn begin(&mut self, path: &str, length: usize, whole: bool) -> io::Result<()> {
        self.id = self.id.wrapping_add(2);
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        // RFC 7541 appendix A: POST, https, :path, :authority, content-length.
        let head = [
            &[0x83, 0x87, 0x04][..],
            &text(path),
            &[0x01],
            &text("localhost"),
            &[0x0f, 0x0d],
            &text(&length.to_string()),
        ];
        let flags = if whole { 4 } else { 0 };
        Frame(Frame::HEADERS, flags, self.id, head.concat()).write(&mut self.stream)
    }

    /// The body of the answer to the last request.
    pub(crate) fn answer(&mut self) -> io::Result<Value> {
        let mut answer = Vec::new();
        loop {
            let Frame(kind, flags, id, payload) = self.read()?;
            if kind == Frame::DATA {
                answer.extend(payload);
            }
            if (kind == Frame::DATA || kind == Frame::HEADERS) && id == self.id && flags & 1 == 1 {
                return Ok(serde_json::from_slice(&answer).unwrap());
            }
        }
    }

    /// The next frame; a ping is answered.
    fn read(&mut self) -> io::Result<Frame> {
        let frame = Frame::read(&mut self.stream)?;
        self.told_goodbye |= frame.0 == Frame::GOAWAY;
        if frame.0 == Frame::PING && frame.1 == 0 {
            Frame(Frame::PING, 1, 0, frame.3.clone()).write(&mut self.stream)?;
        }
        Ok(frame)
    }

    /// Whether the server says goodbye and closes.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.is_cut_off() && self.told_goodbye
    }

    /// Whether the server closes.
    pub(crate) fn is_cut_off(&mut self) -> bool {
        loop {
            if let Err(error) = self.read() {
                return error.kind() == io::ErrorKind::UnexpectedEof;
            }
        }
    }
}

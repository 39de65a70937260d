//! `rustls` over sylvan's sockets: a server that says everything in capitals, and its client.
//!
//! `rustls::StreamOwned` takes any stream that blocks, and that is what a socket of sylvan's is for
//! the thread that uses it. The certificate is made for the occasion, and the client trusts it and
//! no other.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use sylvan::net::TcpStream;

use crate::{Result, converse, expect};

/// What the two sides must know of each other.
#[derive(Debug, Clone)]
pub struct Keys {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Keys {
    /// Makes a certificate for `localhost`, and a client that trusts it.
    ///
    /// # Errors
    ///
    /// None that is known: nothing is read for it.
    pub fn new() -> Result<Keys> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(ring::default_provider());

        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Keys { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// Answers each line in capitals, until the client says goodbye.
///
/// # Blocking
///
/// Waits for the client, at each read and write.
///
/// # Errors
///
/// A broken connection, or a client that does not keep to the protocol.
pub fn serve(keys: &Keys, stream: TcpStream) -> Result<()> {
    let session = ServerConnection::new(keys.server.clone())?;
    let mut stream = BufReader::new(StreamOwned::new(session, stream));
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 {
        stream.get_mut().write_all(line.to_uppercase().as_bytes())?;
        line.clear();
    }
    let stream = stream.get_mut();
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

/// Asks so many questions over one connection, and returns how many were answered.
///
/// # Blocking
///
/// Waits for the server, at each read and write.
///
/// # Errors
///
/// A broken connection, a certificate that is not trusted, or a wrong answer.
pub fn ask(keys: &Keys, address: SocketAddr, name: usize, questions: usize) -> Result<usize> {
    let session = ClientConnection::new(keys.client.clone(), ServerName::try_from(NAME)?)?;
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(StreamOwned::new(session, stream));
    for question in 0..questions {
        // Of different lengths, and some longer than a record of the protocol.
        let text = format!("question {question} of {name}{}\n", "!".repeat(question * 3_000));
        stream.get_mut().write_all(text.as_bytes())?;
        let mut answer = String::new();
        stream.read_line(&mut answer)?;
        expect(answer, text.to_uppercase())?;
    }
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush()?;
    // The other side's goodbye: without it, the end would be an error here.
    expect(stream.read(&mut [0])?, 0)?;
    Ok(questions)
}

/// Lets so many clients ask so many questions each; see [`converse`].
///
/// # Blocking
///
/// As [`converse`].
///
/// # Errors
///
/// As [`converse`].
pub fn all(clients: usize, questions: usize) -> Result<usize> {
    let keys = Keys::new()?;
    converse(
        clients,
        |stream| serve(&keys, stream),
        |number, address| ask(&keys, address, number, questions),
    )
}

const NAME: &str = "localhost";

//! Finds out why a node closes connections with TLS.
//!
//! With TLS 1.3, a client learns only after the handshake that the server does not accept its
//! certificate. The HTTP client reads the server's alert, but the error of the request does not
//! contain it: the request is canceled, or its transmission fails because the connection is closed.

use std::io::{self, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// With this and an empty settings frame, a client begins a connection with HTTP/2. The server
/// answers with its settings.
const HTTP2_START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Opens a connection with TLS and HTTP/2, and closes it after the first data from the node.
///
/// An error contains a [`rustls::Error`] if one of the two sides does not accept the other.
pub(super) async fn test(tls: Arc<ClientConfig>, endpoint: &str) -> io::Result<()> {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(tls, name).map_err(io::Error::other)?;
    // It is sent together with the end of the handshake: no later write can fail before the
    // node's alert is read.
    session.writer().write_all(HTTP2_START)?;
    let mut stream = TcpStream::connect(endpoint).await?;
    let mut received = [0; 4096];
    loop {
        let mut output = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut output)?;
        }
        stream.write_all(&output).await?;
        let len = stream.read(&mut received).await?;
        let mut input = &received[..len];
        if input.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !input.is_empty() {
            session.read_tls(&mut input)?;
            let state = session.process_new_packets().map_err(io::Error::other)?;
            if state.plaintext_bytes_to_read() > 0 {
                return Ok(());
            }
        }
    }
}

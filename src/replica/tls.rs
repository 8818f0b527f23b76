//! The parts of a TLS configuration.
//!
//! It is passed explicitly to the HTTP client: rustls would otherwise use the process-wide crypto
//! provider, which belongs to the host.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use super::error_chain::chain;

pub(super) fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    builder.map_err(|error| chain(&error))
}

/// The configuration of a client whose connections are not encrypted. Without one, reqwest reads
/// the system's certificates, and some systems have none.
pub(super) fn without_roots() -> Result<ClientConfig, String> {
    let config = builder()?.with_root_certificates(RootCertStore::empty());
    Ok(config.with_no_client_auth())
}

/// Reads a file in PEM format, which must contain a certificate.
pub(super) fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("cannot read the certificate {file}: {error}"))?;
    match certificates.is_empty() {
        true => Err(format!("{file} contains no certificate in PEM format")),
        false => Ok(certificates),
    }
}

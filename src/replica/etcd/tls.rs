//! The TLS configuration.
//!
//! It is passed explicitly: rustls would otherwise take the cryptography from a setting of the
//! process, which belongs to the host.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;

use super::failure::chain;
use super::url::Tls;

/// The configuration for connections that are not encrypted.
pub(super) fn without_roots() -> Result<ClientConfig, String> {
    let config = builder()?.with_root_certificates(RootCertStore::empty());
    Ok(config.with_no_client_auth())
}

/// Reads the certificates.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let config = verifier(tls)?;
    let mut config = match &tls.client {
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("cannot read the private key {key}: {error}"))?;
            config
                .with_client_auth_cert(chain, private)
                .map_err(|error| {
                    format!("the private key {key} does not fit to {certificate}: {error}")
                })?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    builder.map_err(|error| chain(&error))
}

fn verifier(tls: &Tls) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let builder = builder()?;
    if let Some(file) = &tls.ca {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("invalid certificate in {file}: {error}"))?;
        }
        return Ok(builder.with_root_certificates(roots));
    }
    let verifier = Verifier::new(builder.crypto_provider().clone()).map_err(|error| {
        let error = chain(&error);
        format!("the system has no trusted certificates: {error}; set `ca` or ETCDCTL_CACERT")
    })?;
    let builder = builder.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(verifier)))
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("cannot read the certificate {file}: {error}"))?;
    match certificates.is_empty() {
        true => Err(format!("{file} contains no certificate in PEM format")),
        false => Ok(certificates),
    }
}

//! The TLS configuration.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::url::Tls;
use crate::replica::error_chain::chain;
use crate::replica::tls::{builder, certificates};

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
                    format!(
                        "the private key {key} does not match the certificate {certificate}: \
                         {error}"
                    )
                })?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
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

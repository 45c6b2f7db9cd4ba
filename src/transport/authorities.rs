//! Who may vouch for a server: the machine's certificate authorities beside those that are given.
//!
//! The machine's are some hundred and fifty files. They are read when the first server shows a certificate, once a
//! process: who speaks plain http reads none.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::ClientCertificate;

/// What is spoken over TLS, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Returns how TLS is spoken with who trusts `given` beside the machine's authorities.
///
/// # Errors
/// With the reason, when a certificate or key can't be used.
pub(super) fn configuration(
    given: &[CertificateDer<'static>],
    shown: Option<&ClientCertificate>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = Authorities::new(given, provider.clone()).map_err(|error| error.to_string())?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(authorities));
    let mut configuration = match shown {
        Some(shown) => with_certificate(shown, builder)?,
        None => builder.with_no_client_auth(),
    };
    configuration.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(configuration)
}

/// The reason shows nothing of the key.
fn with_certificate(
    shown: &ClientCertificate,
    builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
) -> Result<ClientConfig, String> {
    let unusable =
        || "the client's certificate and key: expected both in PEM, the key not encrypted".to_owned();
    let chain = CertificateDer::pem_slice_iter(shown.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(shown.key.expose().as_bytes()).map_err(|_| unusable())?;
    builder.with_client_auth_cert(chain, key).map_err(|_| unusable())
}

/// Verifies as webpki does, with authorities that are read when they are first needed.
#[derive(Debug)]
struct Authorities {
    given: RootCertStore,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, Error>>,
}

impl Authorities {
    fn new(given: &[CertificateDer<'static>], provider: Arc<CryptoProvider>) -> Result<Authorities, Error> {
        let mut store = RootCertStore::empty();
        given.iter().try_for_each(|certificate| store.add(certificate.clone()))?;
        Ok(Authorities { given: store, provider, verifier: OnceLock::new() })
    }

    fn verifier(&self) -> Result<&WebPkiServerVerifier, Error> {
        let verifier = self.verifier.get_or_init(|| {
            let mut store = self.given.clone();
            store.extend(machine().roots.iter().cloned());
            let builder = WebPkiServerVerifier::builder_with_provider(store.into(), self.provider.clone());
            // It fails only where there is no authority at all.
            builder.build().map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))
        });
        verifier.as_deref().map_err(Clone::clone)
    }
}

/// The machine's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`; what is no certificate is passed over.
fn machine() -> &'static RootCertStore {
    static MACHINE: OnceLock<RootCertStore> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        store
    })
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

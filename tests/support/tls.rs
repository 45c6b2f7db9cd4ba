//! TLS before a server that speaks plain HTTP, by an authority that nobody knows.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificate;

/// Takes TLS for 127.0.0.1 and passes on what is in it, as long as it lives.
pub struct Tls {
    directory: tempfile::TempDir,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Tls {
    /// Stands before the server at `target`.
    pub fn before(target: SocketAddr) -> Tls {
        let directory = tempfile::tempdir().unwrap();
        certificate::make(directory.path());
        let certificate = CertificateDer::from_pem_file(directory.path().join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(directory.path().join("cert-key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut inside = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(target).await?;
                    tokio::io::copy_bidirectional(&mut inside, &mut server).await
                });
            }
        });
        Tls { directory, address, _runtime: runtime }
    }

    /// Returns `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Returns the file of the authority's certificate.
    pub fn authority_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Returns the authority's certificate (PEM).
    pub fn authority(&self) -> String {
        fs::read_to_string(self.authority_file()).unwrap()
    }
}

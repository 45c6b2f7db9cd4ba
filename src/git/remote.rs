//! One repository on its server: its refs, and the objects of commits.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use gix::ObjectId;
use gix::protocol::fetch::{Arguments, Response};
use gix::protocol::handshake::Ref;
use gix::protocol::handshake::refs::from_v1_refs_received_as_part_of_handshake_and_capabilities;
use gix::protocol::{Command, LsRefsCommand};
use gix_transport::client::blocking_io::http::Transport;
use gix_transport::client::blocking_io::{ExtendedBufRead as _, SetServiceResponse, Transport as _};
use gix_transport::client::{Capabilities, TransportWithoutIO as _};
use gix_transport::{Protocol, Service};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::objects::Objects;
use super::pack;
use super::refs::{Found, find};
use super::wire::{Failure, Wire};
use crate::redact::{self, Secret};
use crate::transport::Client;

/// No list of refs is larger, in bytes.
const LARGEST_LIST: u64 = 64 << 20;
/// No pack is larger, and no repository when it is unpacked, in bytes.
const LARGEST_PACK: u64 = 8 << 30;

/// A repository on a server.
#[derive(Clone)]
pub struct Remote {
    client: Client,
    /// Its address, without credentials.
    url: String,
    /// The `Authorization` header that it is asked with.
    authorization: Option<Secret>,
}

impl Remote {
    /// Names a repository. A user and a password in its address are sent as basic authorization, unless there is an
    /// `authorization`, the value of that header.
    ///
    /// # Errors
    /// When the address is not one of http or https.
    pub fn new(client: &Client, address: &str, authorization: Option<Secret>) -> Result<Remote> {
        let unreadable = || format!("cannot use the repository {}", redact::url(address));
        let mut url = url::Url::parse(address).with_context(unreadable)?;
        if !matches!(url.scheme(), "http" | "https") {
            bail!("{}: only http and https are spoken", unreadable());
        }
        let authorization = authorization.or_else(|| basic(&url));
        // An address with a host has a place for them.
        let _ = (url.set_username(""), url.set_password(None));
        Ok(Remote { client: client.clone(), url: url.into(), authorization })
    }

    /// Returns its address, fit to be shown.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Names another repository, which is asked with the same authorization if it is on the same server.
    pub(super) fn beside(&self, address: &str) -> Result<Remote> {
        let origin = |url: &str| url::Url::parse(url).ok().map(|url| url.origin());
        let is_same = origin(address).is_some() && origin(address) == origin(&self.url);
        Remote::new(&self.client, address, self.authorization.clone().filter(|_| is_same))
    }

    /// Asks which commit a ref names; without one, `HEAD`.
    ///
    /// # Errors
    /// When the server can't be asked, or has no such ref.
    pub async fn find(&self, wanted: Option<&str>, checksum: Option<&str>) -> Result<Found> {
        let remote = self.clone();
        let refs = blocking(move |runtime, cancel| remote.session(runtime, cancel)?.refs()).await?;
        find(&refs, wanted, checksum).with_context(|| match wanted {
            Some(wanted) => format!("{} has no ref `{wanted}`", self.url),
            None => format!("{} has no default branch: name one, as in #main", self.url),
        })
    }

    /// Fetches a commit or tag and what it consists of; `reference` leads there where the server hands out no others.
    pub(super) fn fetch(
        &self,
        id: &ObjectId,
        reference: Option<&str>,
        directory: &Path,
        runtime: &Handle,
        cancel: &CancellationToken,
    ) -> Result<Objects> {
        let session = || self.session(runtime.clone(), cancel.clone());
        let refused = match session()?.fetch(&[*id], true, directory) {
            Ok(objects) => return Ok(objects),
            Err(error) if cancel.is_cancelled() || error.is::<crate::transport::Error>() => {
                return Err(error);
            }
            Err(error) => error,
        };
        let tips = tips(&session()?.refs()?, reference);
        let objects = match tips.is_empty() {
            true => return Err(refused),
            false => session()?.fetch(&tips, false, directory)?,
        };
        match objects.known.contains_key(id) {
            true => Ok(objects),
            false => Err(refused.context(format!("{} does not hand out {id}", self.url))),
        }
    }

    fn session(&self, runtime: Handle, cancel: CancellationToken) -> Result<Session> {
        let failure = Failure::default();
        let wire = Wire {
            client: self.client.clone(),
            runtime,
            cancel,
            authorization: self.authorization.clone(),
            largest_answer: LARGEST_LIST,
            base: None,
            failure: failure.clone(),
        };
        let url = gix::Url::try_from(self.url.as_str()).map_err(|error| anyhow!("{error}"))?;
        let transport = Transport::new_http(wire, url, Protocol::V2, false);
        Session::begin(transport, failure).with_context(|| format!("cannot ask {}", self.url))
    }
}

/// A conversation with a server.
struct Session {
    transport: Transport<Wire>,
    failure: Failure,
    protocol: Protocol,
    capabilities: Capabilities,
    /// What an old server tells at once.
    refs: Option<Vec<Ref>>,
}

impl Session {
    fn begin(mut transport: Transport<Wire>, failure: Failure) -> Result<Session> {
        let answer = transport.handshake(Service::UploadPack, &[]);
        let SetServiceResponse { actual_protocol: protocol, capabilities, refs: lines } =
            answer.map_err(|error| told(&failure, error))?;
        let refs = lines.map(|mut lines| {
            from_v1_refs_received_as_part_of_handshake_and_capabilities(&mut *lines, capabilities.iter())
        });
        let refs = refs.transpose().map_err(|error| told(&failure, error))?.map(|(refs, _)| refs);
        if capabilities
            .capability("object-format")
            .is_some_and(|format| format.value() != Some("sha1".into()))
        {
            bail!("its objects are named by another hash than SHA-1, which is not understood");
        }
        Ok(Session { transport, failure, protocol, capabilities, refs })
    }

    fn refs(mut self) -> Result<Vec<Ref>> {
        if let Some(refs) = self.refs {
            return Ok(refs);
        }
        let command = LsRefsCommand::new(None, &self.capabilities, agent());
        let refs = command.invoke_blocking(&mut self.transport, &mut gix::progress::Discard, false);
        refs.map_err(|error| told(&self.failure, error))
    }

    /// Fetches objects: with their history, unless it is `shallow`.
    fn fetch(mut self, ids: &[ObjectId], shallow: bool, directory: &Path) -> Result<Objects> {
        self.transport.configure(&LARGEST_PACK).map_err(|error| anyhow!("{error}"))?;
        let mut features = Command::Fetch.default_features(self.protocol, &self.capabilities);
        features.push(agent());
        let mut arguments = Arguments::new(self.protocol, features, false);
        if shallow && arguments.can_use_deepen() {
            arguments.deepen(1);
        }
        ids.iter().for_each(|id| arguments.want(id));
        let failure = self.failure.clone();
        let mut reader = arguments.send(&mut self.transport, true).map_err(|error| told(&failure, error))?;
        let response = Response::from_line_reader(self.protocol, &mut reader, true, false);
        if !response.map_err(|error| told(&failure, error))?.has_pack() {
            bail!("the server sent no pack");
        }
        // Without somebody who hears of progress, that and the pack are not told apart.
        reader.set_progress_handler(Some(Box::new(|_, _| std::ops::ControlFlow::Continue(()))));
        let mut objects = Objects::new(directory, LARGEST_PACK)?;
        pack::unpack(&mut reader, &mut objects).map_err(|error| failure.take().unwrap_or(error))?;
        Ok(objects)
    }
}

fn agent() -> (&'static str, Option<String>) {
    ("agent", Some(concat!("estaleiro/", env!("CARGO_PKG_VERSION")).into()))
}

/// Our client knows best what happened; else the server said something, or gix did.
fn told(failure: &Failure, error: impl std::fmt::Display) -> anyhow::Error {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    failure.take().unwrap_or_else(|| anyhow!("{}", error.to_string().chars().map(plain).collect::<String>()))
}

/// Returns where the ref leads, or all branches and tags without one.
fn tips(refs: &[Ref], reference: Option<&str>) -> Vec<ObjectId> {
    let tips = refs.iter().filter_map(|known| {
        let (name, target, _) = known.unpack();
        let is_meant = match reference {
            Some(reference) => name == reference,
            None => name.starts_with(b"refs/heads/") || name.starts_with(b"refs/tags/"),
        };
        target.filter(|_| is_meant).map(ToOwned::to_owned)
    });
    tips.collect()
}

fn basic(url: &url::Url) -> Option<Secret> {
    let password = url.password().unwrap_or_default();
    if url.username().is_empty() && password.is_empty() {
        return None;
    }
    let plain = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [plain(url.username()), plain(password)].join(&b':');
    Some(Secret::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))))
}

/// Runs what waits on a thread of its own; it ends soon after nobody waits for it any longer.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(Handle, CancellationToken) -> Result<T> + Send + 'static,
) -> Result<T> {
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || work(runtime, cancel)).await.context("internal error")?
}

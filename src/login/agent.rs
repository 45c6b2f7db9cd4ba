//! An ssh agent for keys in files (the protocol of draft-miller-ssh-agent): it tells which keys it has and signs with them,
//! and does nothing else. No key leaves it.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsa::pkcs1v15::SigningKey;
use rsa::sha2::{Sha256, Sha512};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::{BigUint, RsaPrivateKey};
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::{Algorithm, HashAlg, Mpint, PrivateKey, Signature};

/// No question, and no key's file, is longer, in bytes.
const LONGEST: u64 = 256 << 10;

// What is asked and answered, by its number.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Which digest an RSA signature is of.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// Why there is no agent. What stands in a key is not shown.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKey {
    /// Its file can't be read.
    #[error("cannot read the ssh key {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Nobody is there who knows the password.
    #[error("cannot use the ssh key {}: it is encrypted\nhint: use one without a password, as a secret of the pipeline", .0.display())]
    Encrypted(PathBuf),
    /// The socket can't be made.
    #[error("cannot start an ssh agent: {0}")]
    Socket(#[from] io::Error),
}

/// An agent, for as long as this lives.
#[derive(Debug)]
pub struct Agent {
    directory: tempfile::TempDir,
}

impl Agent {
    /// Starts an agent that has the keys of these files.
    ///
    /// # Errors
    /// When one is none, or is encrypted.
    pub fn start(files: &[PathBuf]) -> Result<Agent, InvalidKey> {
        let keys: Vec<PrivateKey> = files.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        let keys = Arc::new(keys);
        let agent = Agent { directory: tempfile::Builder::new().prefix("estaleiro-ssh").tempdir()? };
        let listener = UnixListener::bind(agent.socket())?;
        std::thread::Builder::new().name("ssh agent".into()).spawn(move || {
            for connection in listener.incoming().flatten() {
                let keys = keys.clone();
                // Who can't be served finds the connection closed.
                let serving = std::thread::Builder::new().name("ssh agent".into());
                let _ = serving.spawn(move || serve(connection, &keys));
            }
        })?;
        Ok(agent)
    }

    /// Returns where its socket is.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("agent")
    }
}

fn read(path: &Path) -> Result<PrivateKey, InvalidKey> {
    let unreadable = |reason: String| InvalidKey::Unreadable { path: path.to_owned(), reason };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    file.take(LONGEST).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    let key = PrivateKey::from_openssh(text.trim_start()).map_err(|_| {
        unreadable("it is no private key as OpenSSH writes it\nhint: `ssh-keygen -p -f FILE` writes an older one anew".into())
    })?;
    match key.is_encrypted() {
        true => Err(InvalidKey::Encrypted(path.to_owned())),
        false => Ok(key),
    }
}

fn serve(mut connection: UnixStream, keys: &[PrivateKey]) -> io::Result<()> {
    while let Some(question) = receive(&mut connection)? {
        let answer = answer(&question, keys).unwrap_or_else(|| vec![FAILURE]);
        connection.write_all(&string(&answer))?;
    }
    Ok(())
}

/// Returns a question, or nothing where there is no more.
fn receive(connection: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match connection.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_be_bytes(length);
    if u64::from(length) > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut question = vec![0; length as usize];
    connection.read_exact(&mut question)?;
    Ok(Some(question))
}

fn answer(question: &[u8], keys: &[PrivateKey]) -> Option<Vec<u8>> {
    let (kind, mut rest) = question.split_first()?;
    match *kind {
        REQUEST_IDENTITIES => identities(keys),
        SIGN_REQUEST => {
            let (blob, data) = (take(&mut rest)?, take(&mut rest)?);
            let flags = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
            let is_it = |key: &&PrivateKey| key.public_key().to_bytes().is_ok_and(|bytes| bytes == blob);
            let signature = sign(keys.iter().find(is_it)?, data, flags)?;
            Some([&[SIGN_RESPONSE][..], &string(&Vec::try_from(signature).ok()?)].concat())
        }
        _ => None,
    }
}

fn identities(keys: &[PrivateKey]) -> Option<Vec<u8>> {
    let mut answer = vec![IDENTITIES];
    answer.extend(u32::try_from(keys.len()).ok()?.to_be_bytes());
    for key in keys {
        answer.extend(string(&key.public_key().to_bytes().ok()?));
        answer.extend(string(key.comment().as_bytes()));
    }
    Some(answer)
}

/// SHA-1, which RSA is asked for without a flag, is refused.
fn sign(key: &PrivateKey, data: &[u8], flags: u32) -> Option<Signature> {
    let KeypairData::Rsa(keypair) = key.key_data() else { return key.try_sign(data).ok() };
    let key = rsa_key(keypair)?;
    let (digest, signature) = if flags & RSA_SHA2_512 != 0 {
        (HashAlg::Sha512, SigningKey::<Sha512>::new(key).try_sign(data))
    } else if flags & RSA_SHA2_256 != 0 {
        (HashAlg::Sha256, SigningKey::<Sha256>::new(key).try_sign(data))
    } else {
        return None;
    };
    Signature::new(Algorithm::Rsa { hash: Some(digest) }, signature.ok()?.to_vec()).ok()
}

/// The conversion of `ssh-key` 0.6 takes one of the primes twice.
fn rsa_key(keypair: &RsaKeypair) -> Option<RsaPrivateKey> {
    let number = |written: &Mpint| written.as_positive_bytes().map(BigUint::from_bytes_be);
    let RsaKeypair { public, private } = keypair;
    let primes = vec![number(&private.p)?, number(&private.q)?];
    RsaPrivateKey::from_components(number(&public.n)?, number(&public.e)?, number(&private.d)?, primes).ok()
}

/// Takes bytes with their length in front.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (taken, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(taken)
}

fn string(bytes: &[u8]) -> Vec<u8> {
    // What is sent is as short as what was asked.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::signature::{Keypair as _, Verifier as _};
    use std::process::{Command, Stdio};

    /// Makes a key of a kind with OpenSSH's own program.
    fn key(directory: &Path, kind: &str, password: &str) -> PathBuf {
        let path = directory.join(kind);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-N", password, "-C", kind, "-f"]).arg(&path);
        assert!(command.status().expect("this test needs openssh-client").success());
        path
    }

    fn openssh(agent: &Agent, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("SSH_AUTH_SOCK", agent.socket())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}");
        text
    }

    #[test]
    fn openssh_finds_the_keys_and_their_signatures_good() {
        let directory = tempfile::tempdir().unwrap();
        let kinds = ["ed25519", "rsa", "ecdsa"];
        let keys = kinds.map(|kind| key(directory.path(), kind, ""));
        let agent = Agent::start(&keys).unwrap();
        let listed = openssh(&agent, "ssh-add", &["-l"]);
        for (kind, key) in kinds.iter().zip(&keys) {
            assert!(listed.contains(&format!("{kind} (")), "{listed}");
            let (text, public) = (format!("{}.txt", key.display()), format!("{}.pub", key.display()));
            fs::write(&text, kind).unwrap();
            // Only the agent has it now.
            fs::remove_file(key).unwrap();
            openssh(&agent, "ssh-keygen", &["-Y", "sign", "-n", "test", "-f", &public, &text]);
            let verify = format!("ssh-keygen -Y check-novalidate -n test -s {text}.sig < {text}");
            openssh(&agent, "sh", &["-c", &verify]);
        }
        let socket = agent.socket();
        drop(agent);
        assert!(!socket.exists());
    }

    #[test]
    fn rsa_signs_with_the_digest_that_is_asked_for_and_never_with_sha_1() {
        let directory = tempfile::tempdir().unwrap();
        let key = read(&key(directory.path(), "rsa", "")).unwrap();
        for (flags, digest) in [(RSA_SHA2_256, HashAlg::Sha256), (RSA_SHA2_512, HashAlg::Sha512)] {
            let signature = sign(&key, b"data", flags).unwrap();
            assert_eq!(signature.algorithm(), Algorithm::Rsa { hash: Some(digest) });
        }
        let KeypairData::Rsa(keypair) = key.key_data() else { panic!("it is an RSA key") };
        let verifying = SigningKey::<Sha256>::new(rsa_key(keypair).unwrap()).verifying_key();
        let signature = sign(&key, b"data", RSA_SHA2_256).unwrap();
        verifying.verify(b"data", &signature.as_bytes().try_into().unwrap()).unwrap();
        assert!(sign(&key, b"data", 0).is_none());
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let directory = tempfile::tempdir().unwrap();
        let agent = Agent::start(&[key(directory.path(), "ed25519", "")]).unwrap();
        for question in [&[99][..], &[SIGN_REQUEST], &[SIGN_REQUEST, 255, 255, 255, 255, 1], &[]] {
            let mut connection = UnixStream::connect(agent.socket()).unwrap();
            connection.write_all(&string(question)).unwrap();
            let mut answer = [0; 5];
            connection.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [0, 0, 0, 1, FAILURE]);
        }
        let mut connection = UnixStream::connect(agent.socket()).unwrap();
        connection.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_key_that_cannot_be_used_is_told_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let told = |path: PathBuf| Agent::start(&[path]).unwrap_err().to_string();
        assert!(told(key(directory.path(), "ed25519", "hunter2")).contains("it is encrypted\nhint: "));
        fs::write(directory.path().join("text"), "hunter2").unwrap();
        let text = told(directory.path().join("text"));
        assert!(text.contains("it is no private key") && !text.contains("hunter2"), "{text}");
        assert!(told(directory.path().join("none")).contains("cannot read the ssh key"));
    }
}

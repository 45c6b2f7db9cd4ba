//! An ssh agent's socket for a command that may be somebody else than the builder: a socket of its own, whose connections
//! are passed on.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A socket that leads to an agent, for as long as this lives.
pub(super) struct Agent {
    socket: Place,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A socket's place. The kernel takes paths of up to 107 bytes only, so it is named through the open directory.
struct Place {
    directory: std::fs::File,
    name: String,
}

impl Place {
    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/{}", self.directory.as_raw_fd(), self.name).into()
    }
}

impl Agent {
    /// Makes a socket `name` in `directory`, with this mode and owner, that leads to the agent at `agent`.
    pub(super) fn new(
        agent: &Path,
        directory: &Path,
        name: String,
        (mode, uid, gid): (u32, u32, u32),
    ) -> io::Result<Agent> {
        let socket = Place { directory: std::fs::File::open(directory)?, name };
        let listener = UnixListener::bind(socket.path())?;
        std::os::unix::fs::chown(socket.path(), Some(uid), Some(gid))?;
        std::fs::set_permissions(socket.path(), std::fs::Permissions::from_mode(mode & 0o777))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, agent) = (is_over.clone(), agent.to_owned());
        let thread = std::thread::Builder::new().name("ssh agent".into()).spawn(move || {
            for connection in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                // An agent that went away is told by a connection that ends.
                let _ = pass_on(connection, &agent);
            }
        })?;
        Ok(Agent { socket, is_over, thread: Some(thread) })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let is_woken = UnixStream::connect(self.socket.path()).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| is_woken) {
            let _ = thread.join();
        }
    }
}

/// Passes on both ways, on threads that end with the connection.
fn pass_on(client: UnixStream, agent: &Path) -> io::Result<()> {
    let server = UnixStream::connect(agent)?;
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        std::thread::Builder::new().name("ssh agent".into()).spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_said_to_the_socket_is_said_to_the_agent_and_the_answer_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let far = UnixListener::bind(place.path().join("agent")).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut connection, _) = far.accept().unwrap();
            let mut question = [0; 4];
            connection.read_exact(&mut question).unwrap();
            connection.write_all(b"pong").unwrap();
            question
        });
        let agent = Agent::new(&place.path().join("agent"), &deep, "0".into(), (0o600, 5, 6)).unwrap();
        let metadata = std::fs::symlink_metadata(deep.join("0")).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o600, 5, 6));
        let mut connection = UnixStream::connect(agent.socket.path()).unwrap();
        connection.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!((&answer, &answering.join().unwrap()), (b"pong", b"ping"));
        drop(agent);
    }
}

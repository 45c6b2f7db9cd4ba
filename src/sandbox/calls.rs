//! Calls of the command's processes that the kernel shows to the builder, and the answers to them, as
//! seccomp_unotify(2) has them.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use rustix::io::fcntl_dupfd_cloexec;

/// The other side of a filter that shows calls.
pub(super) struct Calls(OwnedFd);

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    id: u64,
    /// The thread that called.
    pub(super) thread: i32,
    pub(super) number: i64,
    pub(super) architecture: u32,
    pub(super) arguments: [u64; 6],
}

/// What a caller gets.
#[derive(Debug)]
pub(super) enum Answer {
    /// The kernel does what was asked.
    Proceed,
    /// The call returns this, and does nothing.
    Value(i64),
    /// The call fails.
    Error(i32),
    /// The call returns a descriptor of this.
    Open { file: OwnedFd, closes_on_exec: bool },
}

impl Answer {
    /// The call fails as the supervisor's own has.
    pub(super) fn failed(error: &io::Error) -> Answer {
        Answer::Error(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl Call {
    /// Returns an argument that is a number of 32 bits.
    pub(super) fn number_at(&self, index: usize) -> i32 {
        self.arguments.get(index).map_or(0, |&argument| argument as i32)
    }

    /// Returns an argument that is an address.
    pub(super) fn address_at(&self, index: usize) -> u64 {
        self.arguments.get(index).copied().unwrap_or(0)
    }
}

/// Returns both ends of a socket by which a child hands its calls over; the child's is none of the first three
/// descriptors.
pub(super) fn sockets() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((ours, fcntl_dupfd_cloexec(theirs, 3)?))
}

impl Calls {
    /// Takes what a child hands over; nothing where it ended before that.
    pub(super) fn receive(socket: &UnixStream) -> io::Result<Option<Calls>> {
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let mut room = nix::cmsg_space!([libc::c_int; 1]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut room), flags) {
                Err(Errno::EINTR) => {}
                answer => break answer?,
            }
        };
        let sent = message.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
        Ok(sent.map(|fd| Calls::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    fn new(listener: OwnedFd) -> Calls {
        const SET_FLAGS: libc::Ioctl = 0x4008_2104;
        const SYNC_WAKE_UP: u64 = 1;
        // Faster where only one of both works at a time; Linux 6.6.
        // SAFETY: a number only.
        unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
        Calls(listener)
    }

    /// Waits for the next call; there is none when nobody is left, or `stop` is closed.
    pub(super) fn next(&self, stop: &impl AsFd) -> Option<Call> {
        loop {
            let mut fds = [self.0.as_fd(), stop.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                Err(_) => return None,
                Ok(_) => {}
            }
            let [calls, stopped] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
            if !calls.contains(PollFlags::POLLIN) && !(calls | stopped).is_empty() {
                return None;
            }
            match self.take() {
                Ok(Some(call)) => return Some(call),
                Ok(None) => {}
                Err(_) => return None,
            }
        }
    }

    /// Takes a call; none where the caller went away meanwhile.
    fn take(&self) -> io::Result<Option<Call>> {
        // SAFETY: all zeros is what the kernel wants to be given.
        let mut shown: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the structure is valid for writing.
        let answer =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut shown) };
        match Errno::result(answer) {
            Ok(_) => Ok(Some(Call {
                id: shown.id,
                thread: shown.pid as i32,
                number: i64::from(shown.data.nr),
                architecture: shown.data.arch,
                arguments: shown.data.args,
            })),
            Err(Errno::EINTR | Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether the caller still waits: only then its number is its own.
    pub(super) fn waits(&self, call: &Call) -> bool {
        const ID_VALID: libc::Ioctl = 0x4008_2102;
        // SAFETY: the kernel only reads the number.
        unsafe { libc::ioctl(self.0.as_raw_fd(), ID_VALID, &raw const call.id) == 0 }
    }

    /// Answers a call. That the caller is gone is no error.
    pub(super) fn answer(&self, call: &Call, answer: Answer) {
        const PROCEED: u32 = 1;
        let (val, error, flags) = match answer {
            Answer::Proceed => (0, 0, PROCEED),
            Answer::Value(value) => (value, 0, 0),
            Answer::Error(errno) => (0, -errno, 0),
            Answer::Open { file, closes_on_exec } => match self.hand_out(call, &file, closes_on_exec) {
                Ok(()) | Err(Errno::ENOENT) => return,
                Err(errno) => (0, -(errno as i32), 0),
            },
        };
        let response = libc::seccomp_notif_resp { id: call.id, val, error, flags };
        // SAFETY: the kernel only reads the structure.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) };
    }

    /// Gives the caller a descriptor, whose number is what its call returns.
    fn hand_out(&self, call: &Call, file: &OwnedFd, closes_on_exec: bool) -> Result<(), Errno> {
        const AND_ANSWER: u32 = 2;
        let newfd_flags = if closes_on_exec { libc::O_CLOEXEC as u32 } else { 0 };
        let request = libc::seccomp_notif_addfd {
            id: call.id,
            flags: AND_ANSWER,
            srcfd: file.as_raw_fd() as u32,
            newfd: 0,
            newfd_flags,
        };
        // SAFETY: the kernel only reads the structure.
        let answer =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const request) };
        Errno::result(answer).map(drop)
    }
}

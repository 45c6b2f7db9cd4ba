//! What a child tells the builder: that a step failed, or how the command ended.

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    Process,
    Private,
    Group,
    Source,
    Descriptors,
    Overlay,
    Root,
    Pivot,
    HostName,
    Loopback,
    MountPoint,
    Proc,
    Sys,
    Dev,
    Device,
    Terminals,
    SharedMemory,
    Mask,
    Mount,
    Fork,
    Filter,
    Limits,
    Workdir,
    Capabilities,
    User,
    Execute,
}

impl Step {
    const ALL: [Step; 26] = [
        Step::Process,
        Step::Private,
        Step::Group,
        Step::Source,
        Step::Descriptors,
        Step::Overlay,
        Step::Root,
        Step::Pivot,
        Step::HostName,
        Step::Loopback,
        Step::MountPoint,
        Step::Proc,
        Step::Sys,
        Step::Dev,
        Step::Device,
        Step::Terminals,
        Step::SharedMemory,
        Step::Mask,
        Step::Mount,
        Step::Fork,
        Step::Filter,
        Step::Limits,
        Step::Workdir,
        Step::Capabilities,
        Step::User,
        Step::Execute,
    ];

    /// Returns the step in words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Step::Process => "set up the first process",
            Step::Private => "make mounts private",
            Step::Group => "enter a control group",
            Step::Source => "open what is to be mounted",
            Step::Descriptors => "sort descriptors",
            Step::Overlay => "mount the overlay",
            Step::Root => "mount the root",
            Step::Pivot => "enter the root",
            Step::HostName => "set the host name",
            Step::Loopback => "switch the loopback interface on",
            Step::MountPoint => "make /proc, /sys and /dev",
            Step::Proc => "mount /proc",
            Step::Sys => "mount /sys",
            Step::Dev => "fill /dev",
            Step::Device => "make the devices",
            Step::Terminals => "mount /dev/pts",
            Step::SharedMemory => "mount /dev/shm",
            Step::Mask => "mask parts of /proc and /sys",
            Step::Mount => "mount",
            Step::Fork => "fork",
            Step::Filter => "install the seccomp filter",
            Step::Limits => "set limits",
            Step::Workdir => "change to the working directory",
            Step::Capabilities => "drop capabilities",
            Step::User => "change the user",
            Step::Execute => "execute",
        }
    }
}

/// What a child tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// A step failed.
    Failed {
        step: Step,
        /// Which one, where a step has many.
        index: u32,
        errno: i32,
    },
    /// The command ended, and nothing of it runs any more.
    Ended {
        /// As `wait` tells it.
        status: i32,
    },
}

/// The length of a report in bytes.
pub(super) const LENGTH: usize = 12;
const ENDED: u32 = u32::MAX;

impl Report {
    pub(super) fn encode(self) -> [u8; LENGTH] {
        let parts = match self {
            Report::Failed { step, index, errno } => [step as u32, index, errno as u32],
            Report::Ended { status } => [ENDED, 0, status as u32],
        };
        let [a, b, c] = parts.map(u32::to_ne_bytes);
        let mut bytes = [0; LENGTH];
        for (slot, byte) in bytes.iter_mut().zip(a.into_iter().chain(b).chain(c)) {
            *slot = byte;
        }
        bytes
    }

    /// Reads the first report.
    pub(super) fn decode(bytes: &[u8]) -> Option<Report> {
        let part = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (kind, index, value) = (part(0)?, part(4)?, part(8)? as i32);
        match kind {
            ENDED => Some(Report::Ended { status: value }),
            _ => {
                let step = *Step::ALL.get(usize::try_from(kind).ok()?)?;
                Some(Report::Failed { step, index, errno: value })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_pipe() {
        for (number, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number);
            let report = Report::Failed { step, index: 3, errno: 2 };
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        let report = Report::Ended { status: -1 };
        assert_eq!(Report::decode(&report.encode()), Some(report));
        assert_eq!(Report::decode(&[0; 11]), None);
        assert_eq!(Report::decode(&[99; 12]), None);
    }
}

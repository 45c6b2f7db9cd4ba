//! What is put into `/proc` when somebody looks for it there. All is done from directories that were opened before
//! the command was there: whatever it puts in their place leads nowhere.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, symlinkat, unlinkat};

use super::sight::Sight;
use crate::sandbox::callers::{as_user, below, identity, members};

/// Brings the directories that stand for processes up to date.
pub(super) fn processes(sight: &Sight) -> io::Result<()> {
    let directory = &sight.shelves.processes;
    let living: Vec<String> = members(sight.first).iter().map(|process| process.pid.to_string()).collect();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name != "1" && name.parse::<i32>().is_ok() && !living.contains(&name.into_owned()) {
            let _ = unlinkat(directory, entry.file_name(), AtFlags::REMOVEDIR);
        }
    }
    for name in &living {
        // As a rule it is there.
        let _ = mkdirat(directory, name, Mode::from_raw_mode(0o555));
    }
    Ok(())
}

/// Returns a directory with a link for each open file.
pub(super) fn descriptors(sight: &mut Sight, whose: i32) -> io::Result<OwnedFd> {
    let name = sight.listings.len().to_string();
    let listed = &sight.shelves.listed;
    mkdirat(listed, &name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let listing = openat(listed, &name, flags, Mode::empty())?;
    fill(sight, whose, &listing)?;
    sight.listings.push(whose);
    Ok(listing)
}

/// Makes a link called `name` to a program, and returns the link's path for the command: it is no longer than
/// `/proc/self/exe`, as long as there are few programs.
pub(super) fn program(sight: &mut Sight, program: &[u8], name: &OsStr) -> io::Result<Vec<u8>> {
    let known = sight.programs.iter().position(|known| known == program);
    let number = known.unwrap_or(sight.programs.len());
    let directory = format!(".{number}");
    if known.is_none() {
        mkdirat(&sight.shelves.processes, &directory, Mode::from_raw_mode(0o755))?;
        sight.programs.push(program.to_vec());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let around = openat(&sight.shelves.processes, &directory, flags, Mode::empty())?;
    match symlinkat(OsStr::from_bytes(program), around, name) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok([b"/proc/", directory.as_bytes(), b"/", name.as_bytes()].concat())
}

fn fill(sight: &Sight, whose: i32, listing: &impl AsFd) -> io::Result<()> {
    let (who, real) = (identity(whose)?, below(whose, "fd"));
    let entries = as_user(who, || fs::read_dir(&real)?.collect::<io::Result<Vec<_>>>())?;
    for entry in entries {
        let Ok(target) = as_user(who, || fs::read_link(entry.path())) else { continue };
        let target = target.as_os_str().as_bytes();
        let seen = sight.inside(target).unwrap_or_else(|| target.to_vec());
        symlinkat(OsStr::from_bytes(&seen), listing, entry.file_name())?;
    }
    Ok(())
}

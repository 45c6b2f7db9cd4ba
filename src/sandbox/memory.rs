//! How the C library's allocator treats the memory of this process: what was given back to it goes back to the kernel.
//!
//! By itself glibc keeps an arena for each thread that there ever was, and the larger the buffers that were freed, the more
//! it holds on to. See mallopt(3). Other C libraries are left as they are.

/// How many arenas there are: as many threads as do something at a time on a small machine.
#[cfg(target_env = "gnu")]
const N_ARENAS: i32 = 2;
/// Larger blocks, in bytes, are mapped one by one and gone once they are freed; of smaller ones no more than that is kept.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 512 << 10;

/// Lets the process hold little more than it uses. To be called before there are threads.
pub fn hold_little_memory() {
    #[cfg(target_env = "gnu")]
    for (option, value) in [
        (nix::libc::M_ARENA_MAX, N_ARENAS),
        (nix::libc::M_MMAP_THRESHOLD, LARGE),
        (nix::libc::M_TRIM_THRESHOLD, LARGE),
    ] {
        // SAFETY: takes two numbers, and changes nothing but the allocator's own settings.
        unsafe { nix::libc::mallopt(option, value) };
    }
}

/// Gives back what is free between blocks that are in use: after work that took many small ones.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and touches nothing that anybody holds.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

//! The chroot sandbox, on a root that holds nothing but busybox. Needs root, and Debian's `busybox-static`.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod place;

use std::os::unix::fs::MetadataExt;

use estaleiro::sandbox::{Exit, Network, User};

use place::{Place, run, sh};

#[test]
fn devices_are_the_machine_s_own() {
    let place = Place::new();
    let script = "echo gone > /dev/null && cat /dev/null && head -c 3 /dev/zero | od -An -tx1 && \
                  test $(head -c 16 /dev/urandom | od -An -tx1 | wc -c) -gt 40 && \
                  stat -c '%F %t:%T %a' /dev/null && test -c /dev/full && ! echo x > /dev/full";
    let told = place.tell(&sh(script));
    assert_eq!(told.stdout, " 00 00 00\ncharacter special file 1:3 666\n", "{told:?}");
}

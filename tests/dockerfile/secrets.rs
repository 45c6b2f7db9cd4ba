//! Secrets: commands see them, and nothing else ever does.

use std::fs;

use crate::shop::{Shop, any_file_holds};

const SECRET: &str = "correct-horse-battery-staple";

#[test]
fn a_secret_is_seen_by_its_command_and_is_nowhere_afterwards() {
    let shop = Shop::new();
    fs::write(shop.beside("token"), SECRET).unwrap();
    let secret = format!("id=token,src={}", shop.beside("token").display());
    let built = shop.build(
        "FROM @base\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size; cat /run/secrets/token\n\
         RUN --mount=type=secret,id=token,env=TOKEN printf %s \"$TOKEN\" | wc -c > /size2\n",
        &["--secret", &secret],
    );
    assert_eq!(built.read("/size") + &built.read("/size2"), format!("{0}\n{0}\n", SECRET.len()));
    assert!(!built.holds(SECRET));
    fs::remove_file(shop.beside("token")).unwrap();
    assert!(!any_file_holds(&shop.beside("state"), SECRET));
    assert!(!built.stderr.contains(SECRET), "{}", built.stderr);
    assert!(!built.tree("/").contains("/run"));
}

#[test]
fn another_value_of_a_secret_builds_nothing_again() {
    let shop = Shop::new();
    let dockerfile = "FROM @base\nRUN --mount=type=secret,id=t cat /run/secrets/t > /dev/null; touch /done\n";
    fs::write(shop.beside("t"), "one").unwrap();
    let secret = format!("id=t,src={}", shop.beside("t").display());
    let first = shop.build(dockerfile, &["--secret", &secret]);
    fs::write(shop.beside("t"), "two").unwrap();
    let second = shop.build(dockerfile, &["--secret", &secret]);
    assert_eq!(first.digest, second.digest);
    assert!(second.stderr.contains("cached"), "{}", second.stderr);
}

#[test]
fn a_secret_that_is_not_given_is_absent_or_an_error() {
    let shop = Shop::new();
    let built = shop.build(
        "FROM @base\nRUN --mount=type=secret,id=t ls /run/secrets/t 2>/dev/null || touch /absent\n",
        &[],
    );
    assert!(built.tree("/absent").contains("/absent"));
    let stderr = shop.fail("FROM @base\nRUN --mount=type=secret,id=t,required true\n", &[]);
    assert!(stderr.contains("secret t") && stderr.contains("--secret"), "{stderr}");
}

#[test]
fn an_agent_is_reached_by_its_socket() {
    let shop = Shop::new();
    let socket = shop.beside("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let agent = format!("default={}", socket.display());
    let built = shop.build(
        "FROM @base\nRUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\" && touch /reached\n",
        &["--ssh", &agent],
    );
    assert!(built.tree("/reached").contains("/reached"));
    let stderr = shop.fail("FROM @base\nRUN --mount=type=ssh,required true\n", &[]);
    assert!(stderr.contains("--ssh"), "{stderr}");
}

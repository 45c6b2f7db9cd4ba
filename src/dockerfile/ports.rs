//! The ports of EXPOSE: `80`, `53/udp`, `8000-8010`, and what is published where, which is ignored.

use super::mistake::{Problem, excerpt};

/// Returns the ports that a word means, each like `80/tcp`.
pub(super) fn parse(word: &str) -> Result<Vec<String>, Problem> {
    let fail = |why: &str| {
        let message = format!("cannot expose `{}`: {why}", excerpt(word));
        Problem::new(message, "write a port, a range or either with a protocol: 80, 8000-8010, 53/udp")
    };
    let mut parts = word.rsplitn(3, ':');
    let inside = parts.next().unwrap_or_default();
    let (host, address) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (port, protocol) = inside.split_once('/').unwrap_or((inside, ""));
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => return Err(fail("the protocols are tcp, udp and sctp")),
    };
    if !is_address(address) {
        return Err(fail("that is no address"));
    }
    let (first, last) = range(port).ok_or_else(|| fail("that is no port"))?;
    if !host.is_empty() {
        let (host_first, host_last) = range(host).ok_or_else(|| fail("that is no port"))?;
        if first != last && last - first != host_last - host_first {
            return Err(fail("its ranges are not equally long"));
        }
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_digits)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
}

fn is_address(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.is_empty() || bare.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_a_range_and_a_protocol_are_read() {
        assert_eq!(parse("80").unwrap(), ["80/tcp"]);
        assert_eq!(parse("53/UDP").unwrap(), ["53/udp"]);
        assert_eq!(parse("1-3/sctp").unwrap(), ["1/sctp", "2/sctp", "3/sctp"]);
        assert_eq!(parse("80/").unwrap(), ["80/tcp"]);
        assert_eq!(parse("127.0.0.1:8080:80").unwrap(), ["80/tcp"]);
        assert_eq!(parse("[::1]:8080:80").unwrap(), ["80/tcp"]);
        assert_eq!(parse("8000-8010:80").unwrap(), ["80/tcp"]);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for word in
            ["", "/tcp", "http", "80/icmp", "70000", "3-1", "1-2:3-5", "a:1:2", "x:80", "+80", "1-2-3"]
        {
            assert!(parse(word).unwrap_err().message.starts_with("cannot expose"), "{word}");
        }
    }
}

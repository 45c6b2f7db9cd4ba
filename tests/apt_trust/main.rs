//! Which signed documents are believed, told by tables of keys and documents made here, with gpgv beside them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod maker;

use std::process::Command;

use base64::Engine as _;
use estaleiro::apt::keyring::{
    Fingerprint, Keyring, Proofs, Verified, VerifyError, verify_detached, verify_inrelease,
};
use estaleiro::apt::release::Release;
use estaleiro::apt::sources::Validity;
use estaleiro::fetch::Fetcher;
use estaleiro::progress::Progress;
use estaleiro::store::Store;
use estaleiro::transport::{Client, Options};
use pgp::composed::KeyType;
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::SignatureType;
use pgp::types::{KeyDetails, KeyVersion, Password};

use maker::*;

/// Whether gpgv, asked as apt asks it, finds a good signature and no bad one.
fn gpgv_believes(keyring: &[u8], files: &[&[u8]]) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("keyring.gpg"), keyring).unwrap();
    let mut command = Command::new("gpgv");
    command.args(["--status-fd", "1", "--weak-digest", "SHA1", "--weak-digest", "RIPEMD160", "--keyring"]);
    command.arg(path("keyring.gpg"));
    for (n, bytes) in files.iter().enumerate() {
        std::fs::write(path(&n.to_string()), bytes).unwrap();
        command.arg(path(&n.to_string()));
    }
    let output = command.output().expect("gpgv is Debian's package gpgv");
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    status.contains("[GNUPG:] GOODSIG ")
        && status.contains("[GNUPG:] VALIDSIG ")
        && !status.contains(" BADSIG ")
}

/// What we say, and whether gpgv agrees.
enum Expected {
    /// Believed, by both.
    Good,
    /// Believed by us only: gpgv does not know such keys yet, or gives up at the first signature that has expired.
    GoodButNotToGpgv,
    /// Refused by both; our message says this.
    Refused(&'static str),
    /// We are stricter; our message says this.
    RefusedByUs(&'static str),
}
use Expected::{Good, GoodButNotToGpgv, Refused, RefusedByUs};

/// Judges twice, the second time with what was proved the first: it must come to the same.
fn judged(
    keyring: &Keyring,
    judge: impl Fn(&Keyring) -> Result<Verified, VerifyError>,
) -> Result<Verified, VerifyError> {
    let proofs = Proofs::default();
    let first = judge(&keyring.clone().remembering(proofs.clone()));
    let known = Proofs::default().with(proofs.used());
    assert_eq!(judge(&keyring.clone().remembering(known.clone())), first);
    assert_eq!(known.used(), proofs.used(), "nothing more is to be proved");
    first
}

/// Says where we, or gpgv, judge otherwise than expected.
fn deviation(name: &str, maker: &Maker, document: &str, expected: &Expected) -> Option<String> {
    let ours = judged(&maker.keyring(), |keyring| verify_inrelease(document.as_bytes(), keyring, NOW));
    let ours = ours.map(|verified| verified.signers[0].primary.clone()).map_err(|error| error.to_string());
    let gpgv = gpgv_believes(&maker.certificate, &[document.as_bytes()]);
    let as_expected = match (expected, &ours) {
        (Good | GoodButNotToGpgv, Ok(primary)) => *primary == maker.keyring().fingerprints()[0],
        (Refused(message) | RefusedByUs(message), Err(error)) => error.contains(message),
        (Good | GoodButNotToGpgv, Err(_)) | (Refused(_) | RefusedByUs(_), Ok(_)) => false,
    };
    let gpgv_as_expected = gpgv == matches!(expected, Good | RefusedByUs(_));
    (!as_expected || !gpgv_as_expected).then(|| format!("{name}: {ours:?}; gpgv: {gpgv}"))
}

/// The same for a signature in a file of its own, as `Release.gpg` is.
fn detached_deviation(name: &str, maker: &Maker, how: &How, expected: &Expected) -> Option<String> {
    let document = canonical(TEXT);
    let signature = armour(&[maker.sign(&How { typ: SignatureType::Binary, ..how.clone() })]);
    let ours = judged(&maker.keyring(), |keyring| {
        verify_detached(document.as_bytes(), signature.as_bytes(), keyring, NOW)
    });
    let ours = ours.map(|_| ()).map_err(|error| error.to_string());
    let gpgv = gpgv_believes(&maker.certificate, &[signature.as_bytes(), document.as_bytes()]);
    let as_expected = match (expected, &ours) {
        (Good | GoodButNotToGpgv, Ok(())) => true,
        (Refused(message) | RefusedByUs(message), Err(error)) => error.contains(message),
        (Good | GoodButNotToGpgv, Err(_)) | (Refused(_) | RefusedByUs(_), Ok(())) => false,
    };
    let gpgv_as_expected = gpgv == matches!(expected, Good | RefusedByUs(_));
    (!as_expected || !gpgv_as_expected).then(|| format!("{name}, detached: {ours:?}; gpgv: {gpgv}"))
}

#[test]
fn a_key_counts_while_it_is_bound_meant_for_signing_neither_expired_nor_revoked_and_strong() {
    let key = |change: fn(&mut Recipe)| {
        let mut recipe = plain();
        change(&mut recipe);
        recipe
    };
    let table: Vec<(&str, Recipe, Expected)> = vec![
        ("plain", plain(), Good),
        ("RSA", key(|it| it.key_type = KeyType::Rsa(2048)), Good),
        ("ECDSA", key(|it| it.key_type = KeyType::ECDSA(ECCCurve::P256)), Good),
        (
            "version 6",
            key(|it| (it.version, it.key_type) = (KeyVersion::V6, KeyType::Ed25519)),
            GoodButNotToGpgv,
        ),
        ("a short RSA key", key(|it| it.key_type = KeyType::Rsa(1024)), RefusedByUs("1024 bits is too weak")),
        ("not expired yet", key(|it| it.lifetime = Some(2_000_000_000)), Good),
        ("expired", key(|it| it.lifetime = Some(100_000_000)), Refused("expired on 2023-11-14")),
        ("revoked", key(|it| it.is_revoked = true), Refused("the key is revoked")),
        ("for certifying only", key(|it| it.may_sign = false), Refused("not meant for signing")),
        (
            "self-signed by SHA-1",
            key(|it| (it.key_type, it.hash) = (KeyType::Rsa(2048), HashAlgorithm::Sha1)),
            Refused("SHA1, which is too weak"),
        ),
        (
            "self-signed by MD5",
            key(|it| (it.key_type, it.hash) = (KeyType::Rsa(2048), HashAlgorithm::Md5)),
            Refused("MD5, which is too weak"),
        ),
        ("not self-signed", key(|it| it.user_is_certified = false), Refused("no valid self-signature")),
        ("from the future", key(|it| it.born = YET_TO_COME), Refused("older than the key")),
        ("a subkey", with_subkey(|_| {}), Good),
        ("an RSA subkey", Recipe { key_type: KeyType::Rsa(2048), ..with_subkey(|_| {}) }, Good),
        (
            "a revoked RSA subkey",
            Recipe { key_type: KeyType::Rsa(2048), ..with_subkey(|it| it.is_revoked = true) },
            Refused("the subkey is revoked"),
        ),
        (
            "a revoked RSA key",
            key(|it| (it.key_type, it.is_revoked) = (KeyType::Rsa(2048), true)),
            Refused("the key is revoked"),
        ),
        (
            "an expired subkey",
            with_subkey(|it| it.lifetime = Some(100_000_000)),
            Refused("expired on 2023-11-14"),
        ),
        ("a revoked subkey", with_subkey(|it| it.is_revoked = true), Refused("the subkey is revoked")),
        ("a subkey not for signing", with_subkey(|it| it.may_sign = false), Refused("subkey is not meant")),
        (
            "a subkey without consent",
            with_subkey(|it| it.has_back_signature = false),
            Refused("has not signed that"),
        ),
        (
            "a subkey bound by SHA-1",
            Recipe { key_type: KeyType::Rsa(2048), ..with_subkey(|it| it.hash = HashAlgorithm::Sha1) },
            Refused("SHA1"),
        ),
        ("a subkey not bound", with_subkey(|it| it.is_bound = false), Refused("not bound")),
        (
            "a subkey of an expired key",
            Recipe { lifetime: Some(100_000_000), ..with_subkey(|_| {}) },
            Refused("the key expired on 2023-11-14"),
        ),
        (
            "a subkey of a revoked key",
            Recipe { is_revoked: true, ..with_subkey(|_| {}) },
            Refused("is revoked"),
        ),
    ];
    let mut deviations = Vec::new();
    for (seed, (name, recipe, expected)) in table.into_iter().enumerate() {
        let maker = Maker::new(seed as u64, &recipe);
        deviations.extend(deviation(
            name,
            &maker,
            &clear_signed(TEXT, "SHA512", &[maker.sign(&how())]),
            &expected,
        ));
        deviations.extend(detached_deviation(name, &maker, &how(), &expected));
    }
    assert!(deviations.is_empty(), "{deviations:#?}");
}

#[test]
fn a_signature_counts_if_it_is_over_the_document_strong_and_in_its_time() {
    let maker = Maker::new(1, &Recipe { key_type: KeyType::Rsa(2048), ..plain() });
    let with = |change: fn(&mut How)| {
        let mut how = how();
        change(&mut how);
        how
    };
    let table = [
        ("binary", "SHA512", with(|it| it.typ = SignatureType::Binary), Good),
        ("SHA-256", "SHA256", with(|it| it.hash = HashAlgorithm::Sha256), Good),
        ("SHA-1", "SHA1", with(|it| it.hash = HashAlgorithm::Sha1), Refused("SHA1, which is too weak")),
        ("MD5", "MD5", with(|it| it.hash = HashAlgorithm::Md5), Refused("MD5, which is too weak")),
        (
            "RIPEMD-160",
            "RIPEMD160",
            with(|it| it.hash = HashAlgorithm::Ripemd160),
            Refused("RIPEMD160, which is too weak"),
        ),
        ("expired", "SHA512", with(|it| it.lifetime = Some(1000)), Refused("expired on 2022-04-15")),
        (
            "from the future",
            "SHA512",
            with(|it| it.created = YET_TO_COME),
            RefusedByUs("which is yet to come"),
        ),
        ("older than its key", "SHA512", with(|it| it.created = BORN - 1000), Refused("older than the key")),
        ("saying something critical", "SHA512", with(|it| it.is_odd = true), Refused("critical")),
        ("by nobody", "SHA512", with(|it| it.is_anonymous = true), Refused("somebody (not a trusted key)")),
        ("of another text", "SHA512", with(|it| it.text = "Suite: other\n"), Refused("over another text")),
    ];
    let mut deviations = Vec::new();
    for (name, hash, how, expected) in table {
        deviations.extend(deviation(name, &maker, &clear_signed(TEXT, hash, &[maker.sign(&how)]), &expected));
        deviations.extend(detached_deviation(name, &maker, &how, &expected));
    }
    assert!(deviations.is_empty(), "{deviations:#?}");
}

#[test]
fn a_signature_over_a_key_is_none_over_a_document() {
    let maker = Maker::new(1, &plain());
    let over_key = config(&maker.primary, SignatureType::Key, HashAlgorithm::Sha512, SIGNED, Vec::new());
    let over_key = over_key.sign_key(&maker.primary, &Password::empty(), maker.primary.public_key()).unwrap();
    let document = clear_signed(TEXT, "SHA512", &[over_key]);
    assert_eq!(deviation("a key", &maker, &document, &Refused("not one over a document")), None);
}

#[test]
fn a_document_is_the_signed_text_and_nothing_else() {
    let maker = Maker::new(1, &plain());
    let signed = clear_signed(TEXT, "SHA512", &[maker.sign(&how())]);
    let change = |from: &str, to: &str| {
        assert!(signed.contains(from), "{from}");
        signed.replacen(from, to, 1)
    };
    let begin = "-----BEGIN PGP SIGNED MESSAGE-----";
    let table: Vec<(&str, String, Expected)> = vec![
        ("with CRLF", signed.replace('\n', "\r\n"), Good),
        ("with white space at a line's end", change("Suite: stable", "Suite: stable \t"), Good),
        (
            "with white space inside a line",
            change("Suite: stable", "Suite:  stable"),
            Refused("over another text"),
        ),
        ("with another word", change("stable", "trixie"), Refused("over another text")),
        ("with a line more", change("Suite:", "Evil: yes\nSuite:"), Refused("over another text")),
        ("with text before", change(begin, &format!("Suite: evil\n{begin}")), RefusedByUs("text before")),
        ("with text after", format!("{signed}Suite: evil\n"), RefusedByUs("text after")),
        ("twice", format!("{signed}{signed}"), RefusedByUs("text after")),
        ("with a header", change("Hash: SHA512\n", "Hash: SHA512\nSuite: evil\n"), Refused("unknown header")),
        ("with a bare dash", change("- - a line", "-a line"), Refused("not escaped")),
        ("cut off in the text", signed[..signed.len() / 4].to_owned(), Refused("breaks off")),
        ("cut off in the signature", signed[..signed.len() - 40].to_owned(), Refused("breaks off")),
        (
            "with no signature",
            change("-----BEGIN PGP SIGNATURE", "-----BEGIN PGP NOTHING"),
            RefusedByUs("not escaped"),
        ),
        ("with an empty signature", clear_signed(TEXT, "SHA512", &[]), Refused("no signature")),
        ("unsigned", TEXT.to_owned(), Refused("it is not signed")),
        ("empty", String::new(), Refused("it is not signed")),
    ];
    let mut deviations = Vec::new();
    for (name, document, expected) in table {
        deviations.extend(deviation(name, &maker, &document, &expected));
    }
    assert!(deviations.is_empty(), "{deviations:#?}");
    let verified = verify_inrelease(signed.as_bytes(), &maker.keyring(), NOW).unwrap();
    assert_eq!(verified.text, TEXT);
    assert_eq!(verified.signers[0].identities, ["An Archive <archive@archive.example>"]);
}

#[test]
fn of_several_signatures_one_good_one_suffices_unless_a_trusted_one_is_false() {
    let (maker, stranger) = (Maker::new(1, &plain()), Maker::new(2, &plain()));
    let other_text = How { text: "Suite: other\n", ..how() };
    let late = How { lifetime: Some(1000), ..how() };
    let mut deviations = Vec::new();
    for (name, signatures, expected) in [
        ("a stranger's and ours", [stranger.sign(&how()), maker.sign(&how())], Good),
        ("ours and a stranger's", [maker.sign(&how()), stranger.sign(&how())], Good),
        ("an expired one and a good one", [maker.sign(&late), maker.sign(&how())], GoodButNotToGpgv),
        (
            "a false one and a good one",
            [maker.sign(&other_text), maker.sign(&how())],
            Refused("over another text"),
        ),
        ("a stranger's false one", [stranger.sign(&other_text), maker.sign(&how())], Good),
        ("strangers' only", [stranger.sign(&how()), stranger.sign(&how())], Refused("not a trusted key")),
    ] {
        deviations.extend(deviation(name, &maker, &clear_signed(TEXT, "SHA512", &signatures), &expected));
    }
    assert!(deviations.is_empty(), "{deviations:#?}");
}

#[test]
fn a_key_that_is_not_trusted_is_named_beside_those_that_are() {
    let (maker, stranger) = (Maker::new(1, &plain()), Maker::new(2, &plain()));
    let document = clear_signed(TEXT, "SHA512", &[stranger.sign(&how())]);
    let error = verify_inrelease(document.as_bytes(), &maker.keyring(), NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot verify the signature: signed by {} (not a trusted key); trusted: {}\n\
             hint: if you trust the signer, declare its key with `key` and name it in the repository's signed-by",
            stranger.keyring().fingerprints()[0],
            maker.keyring().fingerprints()[0]
        )
    );
    let error = verify_inrelease(document.as_bytes(), &Keyring::default(), NOW).unwrap_err();
    assert!(error.to_string().contains("; trusted: no key"), "{error}");
}

#[test]
fn a_detached_signature_is_judged_alike() {
    let (maker, stranger) = (Maker::new(1, &plain()), Maker::new(2, &plain()));
    let binary = |maker: &Maker| {
        let config = config(&maker.primary, SignatureType::Binary, HashAlgorithm::Sha512, SIGNED, Vec::new());
        config.sign(&maker.primary, &Password::empty(), TEXT.as_bytes()).unwrap()
    };
    let (ours, theirs) = (binary(&maker), binary(&stranger));
    let mut bytes = Vec::new();
    write(&mut bytes, &ours);
    let other = TEXT.replace("stable", "trixie");
    for (name, text, signature, is_good) in [
        ("armoured", TEXT, armour(std::slice::from_ref(&ours)).into_bytes(), true),
        ("binary", TEXT, bytes.clone(), true),
        ("two", TEXT, armour(&[theirs.clone(), ours.clone()]).into_bytes(), true),
        ("a stranger's", TEXT, armour(&[theirs]).into_bytes(), false),
        ("another text", &other, bytes.clone(), false),
        ("cut off", TEXT, bytes[..bytes.len() - 1].to_vec(), false),
        ("a key", TEXT, maker.certificate.clone(), false),
        ("empty", TEXT, Vec::new(), false),
    ] {
        let result = verify_detached(text.as_bytes(), &signature, &maker.keyring(), NOW);
        assert_eq!(result.is_ok(), is_good, "{name}: {result:?}");
        assert_eq!(gpgv_believes(&maker.certificate, &[&signature, text.as_bytes()]), is_good, "{name}");
    }
}

#[test]
fn a_pin_leaves_only_what_it_names() {
    let (first, second) = (Maker::new(1, &plain()), Maker::new(2, &with_subkey(|_| {})));
    let mut both = first.keyring();
    both.merge(second.keyring());
    let [of_first, of_second] = [&first, &second].map(|maker| maker.keyring().fingerprints()[0].clone());
    let subkey: Fingerprint = format!("{:X}", second.subkey.as_ref().unwrap().fingerprint()).parse().unwrap();
    let signed = [&first, &second].map(|maker| clear_signed(TEXT, "SHA512", &[maker.sign(&how())]));
    for (pins, believed) in [
        (vec![of_first.clone()], [true, false]),
        (vec![of_second.clone()], [false, true]),
        (vec![subkey.clone()], [false, true]),
        (vec![of_first.clone(), subkey], [true, true]),
    ] {
        let keyring = both.restrict_to(&pins).unwrap();
        let results = [0, 1].map(|n| verify_inrelease(signed[n].as_bytes(), &keyring, NOW).is_ok());
        assert_eq!(results, believed, "{pins:?}");
    }
    let error = first.keyring().restrict_to(std::slice::from_ref(&of_second)).unwrap_err().to_string();
    assert_eq!(error, format!("cannot find the pinned key {of_second}: the keyring holds {of_first}"));
}

#[test]
fn a_pin_of_one_key_alone_leaves_out_the_subkeys() {
    let maker = Maker::new(3, &Recipe { may_sign: true, ..with_subkey(|_| {}) });
    let primary = maker.keyring().fingerprints()[0].clone();
    let subkey: Fingerprint = format!("{:X}", maker.subkey.as_ref().unwrap().fingerprint()).parse().unwrap();
    let by_primary = clear_signed(TEXT, "SHA512", &[sign(&maker.primary, &how())]);
    let by_subkey = clear_signed(TEXT, "SHA512", &[maker.sign(&how())]);
    for (pin, believed) in [(primary, [true, false]), (subkey, [false, true])] {
        let keyring = maker.keyring().only(&pin);
        let results =
            [&by_primary, &by_subkey].map(|it| verify_inrelease(it.as_bytes(), &keyring, NOW).is_ok());
        assert_eq!(results, believed, "{pin}");
    }
    let stranger = Maker::new(4, &plain()).keyring().fingerprints()[0].clone();
    assert!(maker.keyring().only(&stranger).is_empty());
}

#[test]
fn a_pinned_subkey_does_not_let_its_primary_key_sign() {
    let maker = Maker::new(3, &Recipe { may_sign: true, ..with_subkey(|_| {}) });
    let subkey = format!("{:X}", maker.subkey.as_ref().unwrap().fingerprint()).parse().unwrap();
    let document = clear_signed(TEXT, "SHA512", &[sign(&maker.primary, &how())]);
    assert!(verify_inrelease(document.as_bytes(), &maker.keyring(), NOW).is_ok());
    let pinned = maker.keyring().restrict_to(&[subkey]).unwrap();
    assert!(verify_inrelease(document.as_bytes(), &pinned, NOW).is_err());
}

#[test]
fn a_subkey_that_another_certificate_claims_without_its_consent_stays_its_owners() {
    let owner = Maker::new(3, &with_subkey(|_| {}));
    let thief = Maker::new(4, &plain());
    let stolen = owner.subkey.as_ref().unwrap();
    let claim =
        config(&thief.primary, SignatureType::SubkeyBinding, HashAlgorithm::Sha512, BORN, vec![flags(true)]);
    let thiefs_primary = thief.primary.public_key();
    let claim =
        claim.sign_subkey_binding(&thief.primary, thiefs_primary, &Password::empty(), stolen.public_key());
    let mut certificate = thief.certificate.clone();
    write(&mut certificate, stolen.public_key());
    write(&mut certificate, &claim.unwrap());
    let claimed = Keyring::parse(&certificate).unwrap();

    let document = clear_signed(TEXT, "SHA512", &[owner.sign(&how())]);
    let error = verify_inrelease(document.as_bytes(), &claimed, NOW).unwrap_err().to_string();
    assert!(error.contains("has not signed that it belongs"), "{error}");
    for (mut first, second) in [(claimed.clone(), owner.keyring()), (owner.keyring(), claimed)] {
        first.merge(second);
        let verified = verify_inrelease(document.as_bytes(), &first, NOW).unwrap();
        assert_eq!(verified.signers[0].primary, owner.keyring().fingerprints()[0]);
    }
}

#[test]
fn a_revocation_in_either_copy_of_a_key_counts() {
    let (good, revoked) = (Maker::new(1, &plain()), Maker::new(1, &Recipe { is_revoked: true, ..plain() }));
    let document = clear_signed(TEXT, "SHA512", &[good.sign(&how())]);
    for (one, other) in [(&good, &revoked), (&revoked, &good)] {
        let mut keyring = one.keyring();
        keyring.merge(other.keyring());
        assert_eq!(keyring.fingerprints().len(), 1);
        let error = verify_inrelease(document.as_bytes(), &keyring, NOW).unwrap_err();
        assert!(error.to_string().contains("the key is revoked"), "{error}");
    }
}

#[test]
fn what_is_proved_is_judged_anew_each_time() {
    let recipe = Recipe { lifetime: Some(2_000_000_000), ..plain() };
    let (good, revoked) =
        (Maker::new(1, &recipe), Maker::new(1, &Recipe { is_revoked: true, ..recipe.clone() }));
    let document = clear_signed(TEXT, "SHA512", &[good.sign(&how())]);
    let proofs = Proofs::default();
    let keyring = good.keyring().remembering(proofs.clone());
    verify_inrelease(document.as_bytes(), &keyring, NOW).unwrap();
    assert!(!proofs.used().is_empty());
    let error = verify_inrelease(document.as_bytes(), &keyring, 4_000_000_000).unwrap_err();
    assert!(error.to_string().contains("expired on"), "{error}");
    let mut keyring = keyring;
    keyring.merge(revoked.keyring());
    let error = verify_inrelease(document.as_bytes(), &keyring, NOW).unwrap_err();
    assert!(error.to_string().contains("the key is revoked"), "{error}");
    let stranger = Maker::new(2, &plain()).keyring().remembering(proofs);
    assert!(verify_inrelease(document.as_bytes(), &stranger, NOW).is_err());
}

#[test]
fn a_keyring_is_read_armoured_with_text_around_it_and_several_in_one_file() {
    let makers = [Maker::new(1, &plain()), Maker::new(2, &plain())];
    let armoured = makers.iter().map(|maker| {
        let base64 = base64::engine::general_purpose::STANDARD.encode(&maker.certificate);
        let block = "PGP PUBLIC KEY BLOCK-----";
        format!("a key:\n-----BEGIN {block}\nComment: x\n\n{base64}\n-----END {block}\n")
    });
    let armoured: String = armoured.collect();
    let binary = [makers[0].certificate.clone(), makers[1].certificate.clone()].concat();
    let expected = Keyring::parse(&binary).unwrap().fingerprints();
    assert_eq!(expected.len(), 2);
    assert_eq!(Keyring::parse(armoured.as_bytes()).unwrap().fingerprints(), expected);
    assert_eq!(Keyring::parse(armoured.replace('\n', "\r\n").as_bytes()).unwrap().fingerprints(), expected);
}

#[test]
fn a_private_key_is_refused_where_a_public_one_belongs() {
    let mut bytes = Vec::new();
    write(&mut bytes, &Maker::new(1, &plain()).primary);
    let error = Keyring::parse(&bytes).unwrap_err().to_string();
    assert_eq!(error, "cannot read the key: it holds a private key; use what `gpg --export` writes");
}

#[test]
fn no_cut_or_changed_byte_of_a_signed_document_makes_it_say_something_else() {
    let maker = Maker::new(1, &with_subkey(|_| {}));
    let keyring = maker.keyring().remembering(Proofs::default());
    let signed = clear_signed(TEXT, "SHA512", &[maker.sign(&how())]).into_bytes();
    verify_inrelease(&signed, &keyring, NOW).unwrap();
    for at in 0..signed.len() {
        for change in [0x01, 0x20, 0x80] {
            let mut document = signed.clone();
            document[at] ^= change;
            if let Ok(verified) = verify_inrelease(&document, &keyring, NOW) {
                assert_eq!(verified.text, TEXT, "byte {at}");
            }
        }
        if let Ok(verified) = verify_inrelease(&signed[..at], &keyring, NOW) {
            assert_eq!(verified.text, TEXT, "cut at {at}");
        }
    }
}

/// The suites of Debian that this machine's apt knows: `http://…/dists/SUITE/` and the suite as it is asked for.
fn suites_of_this_machine() -> Vec<(String, String)> {
    let format = "$(ORIGIN)|$(BASE_URI)|$(RELEASE)";
    let output =
        Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]).output();
    let text = String::from_utf8(output.expect("apt-get is there on Debian").stdout).unwrap();
    let mut suites: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Debian|")?.split_once('|'))
        .map(|(uri, suite)| (uri.to_owned(), suite.to_owned()))
        .collect();
    suites.sort();
    suites.dedup();
    suites
}

#[tokio::test]
async fn the_archive_of_this_machine_is_believed_and_a_changed_one_is_not() {
    let suites = suites_of_this_machine();
    assert!(!suites.is_empty(), "`apt-get update` has not been run");
    let keyring_bytes = std::fs::read("/usr/share/keyrings/debian-archive-keyring.gpg").unwrap();
    let keyring = Keyring::parse(&keyring_bytes).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let fetcher = Fetcher::new(Client::new(&Options::default()).unwrap(), store, Progress::silent());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    for (uri, suite) in suites {
        let document = fetcher.text(&format!("{uri}InRelease"), 10 << 20).await.unwrap();
        let verified = verify_inrelease(&document, &keyring, now).unwrap();
        assert!(gpgv_believes(&keyring_bytes, &[&document]), "{suite}");
        assert!(verified.signers.iter().all(|it| it.identities.iter().any(|id| id.contains("Debian"))));
        let release = Release::parse(&verified.text).unwrap();
        release.check(&suite, now, &Validity::default()).unwrap();
        let index = release.index("main", "amd64").unwrap();
        assert!(
            index.path.ends_with("Packages.xz") && index.by_hash.is_some() && index.size > 0,
            "{index:?}"
        );

        let changed = String::from_utf8(document).unwrap().replacen("Debian", "Debiam", 1);
        let error = verify_inrelease(changed.as_bytes(), &keyring, now).unwrap_err();
        assert!(matches!(error, VerifyError::Forged { .. }), "{error}");
        let stranger = Maker::new(1, &plain()).keyring();
        let error = verify_inrelease(changed.as_bytes(), &stranger, now).unwrap_err();
        assert!(matches!(error, VerifyError::Untrusted { .. }), "{error}");
    }
}

"""Reads the copyright files of a root with python-debian, and compares what an account says of them.

Usage: oracle.py BOM ROOT. Prints how many packages there are, and how many of their files are machine-readable; fails
with every difference: identifiers that SPDX doesn't have or has given up, those that no License field of the file
means, those that are missing, and texts that aren't in the file.
"""

import gzip
import json
import os
import re
import sys

import yaml
from debian.copyright import Copyright, NotMachineReadableError
from license_expression import get_license_index

INDEX = [entry for entry in get_license_index() if not entry.get("is_deprecated")]
KEYS = {entry["spdx_license_key"] for entry in INDEX if entry.get("spdx_license_key")}
EXCEPTIONS = {entry["spdx_license_key"] for entry in INDEX if entry.get("is_exception")}
IDENTIFIERS = {key for key in KEYS - EXCEPTIONS if not key.startswith("LicenseRef-")}
LOWER = {key.lower(): key for key in IDENTIFIERS}

GNU = re.compile(r"^(GPL|LGPL|AGPL|GFDL|GFDL-NIV)-?v?(\d+(?:\.\d+)?)(?:\.0)*(\+|-only|-or-later)?$", re.IGNORECASE)
SPELLINGS = {"expat": "MIT", "cc0": "CC0-1.0", "openldap-2.8": "OLDAP-2.8", "zope-2.1": "ZPL-2.1"}
COMMON = {("artistic", "Artistic"): "Artistic-1.0-Perl", ("artistic-1", "Artistic"): "Artistic-1.0-Perl",
          ("artistic-1.0", "Artistic"): "Artistic-1.0-Perl", ("apache", "Apache-2.0"): "Apache-2.0",
          ("bsd", "BSD"): "BSD-3-Clause"}
# One word that DEP-5 doesn't define may be anything, and these two stand for several licences.
WORDS = {"isc", "zlib", "fsfap", "fsful", "fsfullr", "fsfullrwd", "postgresql", "unlicense"}
AMBIGUOUS = {"artistic-1.0", "artistic-1", "w3c"}


def of_name(name, text):
    """Returns the identifier that a name means, where it is certain."""
    low = name.lower()
    gnu = GNU.match(name)
    if gnu:
        family, version, which = gnu.group(1).upper(), gnu.group(2), gnu.group(3) or "-only"
        version = version if "." in version else version + ".0"
        which = "-or-later" if which in ("+", "-or-later") else "-only"
        family, middle = ("GFDL", "-no-invariants") if family == "GFDL-NIV" else (family, "")
        return LOWER.get(f"{family}-{version}{middle}{which}".lower())
    files = set(re.findall(r"/usr/share/common-licenses/([A-Za-z0-9.-]*[A-Za-z0-9])", text or ""))
    if len(files) == 1 and (low, next(iter(files))) in COMMON:
        return COMMON[low, next(iter(files))]
    if low in SPELLINGS:
        return SPELLINGS[low]
    if low in AMBIGUOUS or not (low in WORDS or re.search(r"[-0-9]", low)):
        return None
    return LOWER.get(low) or LOWER.get(low + ".0")


def of_term(term, text):
    """Returns what one name, perhaps with its exception, means."""
    match = re.match(r"^(\S+) with (\S+)(?: exception)?$", term, re.IGNORECASE)
    if not match:
        return of_name(term, text) if re.match(r"^[^\s()\[\];\"<>|]+$", term) else None
    name, keyword = of_name(match.group(1), text), match.group(2).lower()
    versions = {"font": "font-exception-2.0", "classpath": "classpath-exception-2.0"}
    keyword = versions.get(keyword, keyword)
    found = [key for key in EXCEPTIONS if key.lower() in (keyword, keyword + "-exception")]
    return f"{name} WITH {found[0]}" if name and found else None


def expected(copyright):
    """Returns the identifiers that the licences of all files mean, where they are certain."""
    texts = {}
    for paragraph in copyright.all_license_paragraphs():
        texts.setdefault(paragraph.license.synopsis.lower(), paragraph.license.text)
    certain = set()
    for paragraph in copyright.all_files_paragraphs():
        synopsis = " ".join((paragraph.license.synopsis if paragraph.license else "").split())
        terms = re.split(r",? (?:and|or) ", synopsis, flags=re.IGNORECASE)
        plain = r"^[^\s,()\[\];\"<>|]+( with [^,()\[\];\"<>|]+)?$"
        prose = {"later", "newer", "above"} & {term.lower() for term in terms}
        if prose or not all(re.match(plain, term, re.IGNORECASE) for term in terms):
            continue
        for term in terms:
            own = paragraph.license.text if len(terms) == 1 else None
            text = own or texts.get(term.lower()) or paragraph.license.text
            certain.add(of_term(term, text))
    return certain - {None}


def read(root, package):
    """Reads a package's copyright file as somebody would to whom the root is /."""
    path = f"/usr/share/doc/{package}/copyright"
    for _ in range(40):
        parts, here, again = path.strip("/").split("/"), root, False
        for place, part in enumerate(parts):
            link = os.path.join(here, part)
            if os.path.islink(link):
                inside = "/" + os.path.relpath(here, root)
                path = os.path.normpath(os.path.join(inside, os.readlink(link), *parts[place + 1:]))
                again = True
                break
            here = link
        if not again:
            break
    if not os.path.isfile(here):
        return None
    content = open(here, "rb").read()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def words(text):
    return [word for word in text.split() if word != "."]


def differences(package, content, texts):
    licence = package.get("licence")
    if content is None or licence is None:
        if (content is None) != (licence is None):
            yield "only one of file and licence is there"
        return
    terms = set(re.split(r" AND | OR ", re.sub(r"[()]", "", licence["expression"])))
    certain = {term for term in terms if not term.startswith("LicenseRef-")}
    for name in {name for term in certain for name in term.split(" WITH ")}:
        if name not in IDENTIFIERS | EXCEPTIONS:
            yield f"{name} is no identifier"
    for reference in terms - certain:
        if reference not in texts:
            yield f"{reference} has no text"
        elif " ".join(words(texts[reference])) not in " ".join(words(content)):
            yield f"the text of {reference} is not in the file"
    try:
        meant = expected(Copyright(content.splitlines(), strict=False))
    except NotMachineReadableError:
        meant = set()
    if meant - certain:
        yield f"missing: {sorted(meant - certain)}"
    if certain - meant:
        yield f"guessed: {sorted(certain - meant)}"


def is_machine_readable(content):
    try:
        Copyright((content or "").splitlines(), strict=False)
        return True
    except NotMachineReadableError:
        return False


def main():
    account = yaml.load(open(sys.argv[1]), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    packages, n_readable, found = account["changeset"]["packages"], 0, []
    for package in packages:
        content = read(sys.argv[2], package["name"])
        n_readable += is_machine_readable(content)
        for difference in differences(package, content, account.get("licence_texts", {})):
            found.append(f"{package['name']}: {difference}")
    print(json.dumps({"packages": len(packages), "machine_readable": n_readable}))
    sys.exit("\n".join(found) if found else 0)


main()
